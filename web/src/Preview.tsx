import { useEffect, useRef, useState } from "react";

import type { Session } from "./api";

type Frame = { type: "frame"; number: number; step: number; steps: number; media_type: string; data: string };
type End = { type: "end"; state: string };

const AGAIN_MS = 1000;

/** Frames of a video in the making, the newest on a canvas; the connection is taken up again where it broke. */
export function Preview({ session, id, live }: { session: Session; id: string; live: boolean }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [count, setCount] = useState(0);

  useEffect(() => {
    if (!live) return;
    let socket: WebSocket | null = null;
    let timer = 0;
    let over = false;
    let last = 0;

    function connect() {
      const address = new URL(`/api/v1/preview/${id}?after=${last}`, location.href);
      address.protocol = address.protocol.replace("http", "ws");
      socket = new WebSocket(address, ["edgecore.v1", `bearer.${session.token}`]);
      socket.onmessage = (message) => {
        const told = JSON.parse(message.data as string) as Frame | End;
        if (told.type === "end") over = true;
        if (told.type === "frame") {
          last = told.number;
          setCount((before) => before + 1);
          void draw(told, canvas.current);
        }
      };
      socket.onclose = () => {
        if (!over) timer = window.setTimeout(connect, AGAIN_MS);
      };
    }

    connect();
    return () => {
      over = true;
      clearTimeout(timer);
      socket?.close();
    };
  }, [session, id, live]);

  return (
    <>
      <canvas ref={canvas} data-frames={count} aria-label="Live preview" />
      {count === 0 && <p className="hint">{live ? "Waiting for the first frame…" : "No video."}</p>}
    </>
  );
}

async function draw(frame: Frame, canvas: HTMLCanvasElement | null): Promise<void> {
  const bytes = Uint8Array.from(atob(frame.data), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: frame.media_type }));
  if (!canvas) return;
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
  picture.close();
}
