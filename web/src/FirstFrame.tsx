import { useEffect, useState } from "react";

import { Refused, type Session, type Upload } from "./api";

const TYPES = "image/png,image/jpeg,image/webp";

/** Lets a person choose the clip's first frame, uploads it, and says its id. */
export function FirstFrame({
  session,
  onChange,
}: {
  session: Session;
  onChange: (id: string | undefined) => void;
}) {
  const [file, setFile] = useState<File | null>(null);
  const [problem, setProblem] = useState("");
  const shown = useObjectUrl(file);

  async function choose(chosen: File | undefined) {
    onChange(undefined);
    setFile(null);
    setProblem("");
    if (!chosen) return;
    try {
      const headers = { "Content-Type": chosen.type };
      const upload = await session.call<Upload>("/uploads", { method: "POST", body: chosen, headers });
      setFile(chosen);
      onChange(upload.id);
    } catch (error) {
      setProblem(error instanceof Refused ? error.inWords() : "The server cannot be reached.");
    }
  }

  return (
    <label>
      First frame
      <input type="file" accept={TYPES} onChange={(event) => void choose(event.target.files?.[0])} />
      {shown && <img className="first-frame" src={shown} alt="The first frame" />}
      {problem && (
        <span className="problem" role="alert">
          {problem}
        </span>
      )}
    </label>
  );
}

function useObjectUrl(file: File | null): string | null {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    if (!file) return setUrl(null);
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return url;
}
