import { type FormEvent, useEffect, useMemo, useState } from "react";

import { type Estimate, type Job, json, Refused, type Request, type Session } from "./api";
import { Conditions, type Told } from "./Conditions";
import { dollars, seconds } from "./words";

const SIZES = ["64×64", "96×64", "128×128"];
const LENGTHS = [9, 17, 25, 33];
const FORMATS = ["mp4", "webm", "prores"];
const ESTIMATE_AFTER_MS = 400;
const FAST_STEPS = 4;

export function Composer({ session, onSubmitted }: { session: Session; onSubmitted: (job: Job) => void }) {
  const [prompt, setPrompt] = useState("a red circle moving right");
  const [size, setSize] = useState("64×64");
  const [frames, setFrames] = useState(17);
  const [steps, setSteps] = useState(20);
  const [fast, setFast] = useState(false);
  const [formats, setFormats] = useState(["mp4"]);
  const [told, setTold] = useState<Told>({});
  const [refused, setRefused] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);

  const request = useMemo<Request>(() => {
    const [width = 64, height = 64] = size.split("×").map(Number);
    const pace: Partial<Request> = fast ? { steps: FAST_STEPS, variant: "distilled" } : {};
    return { prompt, width, height, frames, steps, formats, ...pace, ...told };
  }, [prompt, size, frames, steps, fast, formats, told]);
  const estimate = useEstimate(session, request);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setRefused(null);
    try {
      const key = { "Idempotency-Key": crypto.randomUUID() };
      onSubmitted(await session.call<Job>("/generate", json(request, key)));
    } catch (error) {
      setRefused(error instanceof Refused ? error : new Refused(0, "The server cannot be reached."));
    } finally {
      setBusy(false);
    }
  }

  const toggle = (name: string) =>
    setFormats((now) => (now.includes(name) ? now.filter((one) => one !== name) : [...now, name]));

  return (
    <section className="composer" aria-label="New video">
      <form onSubmit={(event) => void submit(event)}>
        <label>
          What should it show?
          <textarea value={prompt} rows={3} required onChange={(event) => setPrompt(event.target.value)} />
        </label>
        <div className="row">
          <label>
            Size
            <select value={size} onChange={(event) => setSize(event.target.value)}>
              {SIZES.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
          <label>
            Frames
            <select value={frames} onChange={(event) => setFrames(Number(event.target.value))}>
              {LENGTHS.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
          <label>
            Steps
            <input
              type="number"
              min={1}
              max={50}
              value={fast ? FAST_STEPS : steps}
              disabled={fast}
              onChange={(event) => setSteps(Number(event.target.value))}
            />
          </label>
        </div>
        <label className="check">
          <input type="checkbox" checked={fast} onChange={() => setFast(!fast)} /> Fast, by the distilled variant
        </label>
        <Conditions session={session} told={told} onTold={setTold} />
        <fieldset>
          <legend>Formats</legend>
          {FORMATS.map((name) => (
            <label key={name} className="check">
              <input type="checkbox" checked={formats.includes(name)} onChange={() => toggle(name)} /> {name}
            </label>
          ))}
        </fieldset>
        <EstimateTable estimate={estimate} />
        {refused && <Problem refused={refused} />}
        <button disabled={busy || !prompt.trim() || formats.length === 0}>{busy ? "Submitting…" : "Generate"}</button>
      </form>
    </section>
  );
}

/** The newest answer for what is in the form, once the user pauses; null while there is none. */
function useEstimate(session: Session, request: Request): Estimate | null {
  const [estimate, setEstimate] = useState<Estimate | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      session
        .call<Estimate>("/estimate", { ...json(request), signal: stop.signal })
        .then(setEstimate)
        .catch(() => !stop.signal.aborted && setEstimate(null));
    }, ESTIMATE_AFTER_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [session, request]);
  return estimate;
}

function EstimateTable({ estimate }: { estimate: Estimate | null }) {
  if (!estimate) return <p className="hint">No estimate for this.</p>;
  const best = estimate.recommended;
  return (
    <table className="estimate" aria-label="Estimate">
      <tbody>
        {estimate.candidates.map((one) => (
          <tr
            key={`${one.backend} ${one.model}`}
            title={one.detail}
            className={best?.backend === one.backend && best.model === one.model ? "best" : one.available ? "" : "off"}
          >
            <td>
              {one.backend} <small>{one.model}</small>
            </td>
            <td className="number">{dollars(one.amount)}</td>
            <td className="number">{one.eta_seconds === null ? "" : seconds(one.eta_seconds)}</td>
          </tr>
        ))}
      </tbody>
      {best && <caption>{best.reason}</caption>}
    </table>
  );
}

function Problem({ refused }: { refused: Refused }) {
  const fields = Object.entries(refused.fields);
  return (
    <div className="problem" role="alert">
      {fields.length === 0 ? refused.message : fields.map(([name, rule]) => <p key={name}>{`${name} ${rule}`}</p>)}
    </div>
  );
}
