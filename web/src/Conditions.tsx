import { type Dispatch, type SetStateAction, useEffect, useState } from "react";

import type { Adapter, Request, Session } from "./api";
import { FirstFrame } from "./FirstFrame";

/** What a request may say beside its words: all that our own models can be told. */
export type Told = Pick<Request, "image" | "flow_guidance" | "adapters" | "upscale">;

const MOTION_MOST = 16;

export function Conditions({
  session,
  told,
  onTold,
}: {
  session: Session;
  told: Told;
  onTold: Dispatch<SetStateAction<Told>>;
}) {
  const tell = (more: Told) => onTold((now) => ({ ...now, ...more }));
  return (
    <details className="conditions">
      <summary>First frame, motion, adapters</summary>
      <FirstFrame session={session} onChange={(image) => tell({ image })} />
      <Motion flow={told.flow_guidance} onFlow={(flow_guidance) => tell({ flow_guidance })} />
      <Adapters session={session} onAdapters={(adapters) => tell({ adapters })} />
      <label className="check">
        <input
          type="checkbox"
          checked={told.upscale ?? false}
          onChange={(event) => tell({ upscale: event.target.checked || undefined })}
        />
        Upscale to twice width and height
      </label>
    </details>
  );
}

type Flow = Request["flow_guidance"];

function Motion({ flow, onFlow }: { flow: Flow; onFlow: (flow: Flow) => void }) {
  const { motion = [0, 0], strength = 1 } = flow ?? {};
  const [right, down] = motion;
  const set = (changed: Partial<NonNullable<Flow>>) => onFlow({ motion, strength, ...changed });
  return (
    <>
      <label className="check">
        <input
          type="checkbox"
          checked={flow !== undefined}
          onChange={(event) => onFlow(event.target.checked ? { motion, strength } : undefined)}
        />
        Steer the motion
      </label>
      {flow && (
        <div className="row">
          <Pixels name="Right, px a frame" value={right} onValue={(value) => set({ motion: [value, down] })} />
          <Pixels name="Down, px a frame" value={down} onValue={(value) => set({ motion: [right, value] })} />
          <label>
            Strength
            <input
              type="range"
              min={0}
              max={1}
              step={0.05}
              value={strength}
              onChange={(event) => set({ strength: Number(event.target.value) })}
            />
          </label>
        </div>
      )}
    </>
  );
}

function Pixels({ name, value, onValue }: { name: string; value: number; onValue: (value: number) => void }) {
  return (
    <label>
      {name}
      <input
        type="number"
        min={-MOTION_MOST}
        max={MOTION_MOST}
        step={0.1}
        value={value}
        onChange={(event) => onValue(Number(event.target.value))}
      />
    </label>
  );
}

/** The user's adapters to choose from; nothing while there are none. */
function Adapters({ session, onAdapters }: { session: Session; onAdapters: (chosen: Request["adapters"]) => void }) {
  const [known, setKnown] = useState<Adapter[]>([]);
  const [chosen, setChosen] = useState<string[]>([]);
  useEffect(() => {
    session
      .call<{ data: Adapter[] }>("/adapters")
      .then((page) => setKnown(page.data))
      .catch(() => setKnown([]));
  }, [session]);

  function toggle(id: string) {
    const now = chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id];
    setChosen(now);
    onAdapters(now.length ? now.map((one) => ({ id: one })) : undefined);
  }

  if (known.length === 0) return null;
  return (
    <fieldset>
      <legend>Adapters</legend>
      {known.map((one) => (
        <label key={one.id} className="check" title={one.hint}>
          <input type="checkbox" checked={chosen.includes(one.id)} onChange={() => toggle(one.id)} /> {one.name}
        </label>
      ))}
    </fieldset>
  );
}
