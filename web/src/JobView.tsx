import { useEffect, useState } from "react";

import { ENDED, type Job, type Session } from "./api";
import { Preview } from "./Preview";
import { bytes, dollars, seconds } from "./words";

const WAIT_SECONDS = 20;
const PAUSE_MS = 1000;
const TALLEST_REM = 26;

export function JobView({ session, id, onEnded }: { session: Session; id: string; onEnded: () => void }) {
  const job = useJob(session, id, onEnded);
  if (!job) return <section className="job" aria-label="Video" aria-busy="true" />;
  const { width, height } = job.spec;
  const shape = { aspectRatio: `${width} / ${height}`, width: `min(100%, ${(TALLEST_REM * width) / height}rem)` };
  return (
    <section className="job" aria-label="Video">
      <div className="stage" style={shape}>
        {job.state === "DELIVERED" ? (
          <Player session={session} job={job} />
        ) : (
          <Preview session={session} id={id} live={!ENDED.includes(job.state)} />
        )}
      </div>
      <p className="prompt">{job.spec.prompt}</p>
      <div className="state" data-state={job.state} role="status">
        <strong>{job.state}</strong> <span>{told(job)}</span>
        <progress value={job.progress} max={1} />
      </div>
      {job.error && (
        <p className="problem" role="alert">
          {job.error.message || job.error.code}
        </p>
      )}
      <dl>
        <dt>Estimated</dt>
        <dd>{dollars(job.cost_estimated)}</dd>
        <dt>Cost</dt>
        <dd>{dollars(job.cost_actual)}</dd>
      </dl>
      {!ENDED.includes(job.state) && (
        <button className="quiet" onClick={() => void session.fetch(`/jobs/${id}/cancel`, { method: "POST" })}>
          Cancel
        </button>
      )}
      {job.state === "DELIVERED" && <Downloads session={session} job={job} />}
    </section>
  );
}

function told(job: Job): string {
  if (job.state === "QUEUED" && job.queue_position) return `number ${job.queue_position} in the queue`;
  if (ENDED.includes(job.state)) return "";
  const step = job.stage && job.steps ? `${job.stage} ${job.step ?? 0}/${job.steps}` : (job.stage ?? "");
  return job.eta_seconds === null ? step : `${step} · about ${seconds(job.eta_seconds)} left`;
}

/** The job, followed by long polls until it is over and its cost is known. */
function useJob(session: Session, id: string, onEnded: () => void): Job | null {
  const [job, setJob] = useState<Job | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    async function follow() {
      let tag = "";
      for (let ended = false; !signal.aborted; ) {
        try {
          const headers: Record<string, string> = tag ? { "If-None-Match": tag } : {};
          const path = tag ? `/status/${id}?wait=${WAIT_SECONDS}` : `/status/${id}`;
          const response = await session.fetch(path, { headers, signal });
          if (response.status === 304) continue;
          tag = response.headers.get("etag") ?? "";
          const found = (await response.json()) as Job;
          setJob(found);
          if (ENDED.includes(found.state)) {
            if (!ended) onEnded();
            ended = true;
            if (found.cost_actual !== null) return;
            await pause(signal);
          }
        } catch {
          await pause(signal);
        }
      }
    }
    void follow();
    return () => stop.abort();
  }, [session, id, onEnded]);
  return job;
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    setTimeout(done, PAUSE_MS);
    signal.addEventListener("abort", () => done(), { once: true });
  });
}

/** Bytes behind a sign-in as a link of this page; freed with the component. */
function useBlob(session: Session, path: string): string | null {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    let made = "";
    session
      .fetch(path, { signal: stop.signal })
      .then((response) => response.blob())
      .then((blob) => {
        made = URL.createObjectURL(blob);
        setUrl(made);
      })
      .catch(() => undefined);
    return () => {
      stop.abort();
      URL.revokeObjectURL(made);
    };
  }, [session, path]);
  return url;
}

const PLAYABLE = ["mp4", "webm"];

function Player({ session, job }: { session: Session; job: Job }) {
  const shown = job.renditions.find((one) => PLAYABLE.includes(one.format));
  return shown ? <Playing session={session} path={shown.url} /> : <p>No browser plays ProRes; download it below.</p>;
}

function Playing({ session, path }: { session: Session; path: string }) {
  const url = useBlob(session, path);
  return url ? <video src={url} controls autoPlay loop muted playsInline /> : null;
}

function Downloads({ session, job }: { session: Session; job: Job }) {
  async function save(path: string, name: string) {
    const url = URL.createObjectURL(await (await session.fetch(path)).blob());
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    URL.revokeObjectURL(url);
  }
  return (
    <div className="downloads">
      {job.renditions.map((one) => (
        <button
          key={one.format}
          className="quiet"
          onClick={() => void save(one.url, `${job.id}.${one.format === "prores" ? "mov" : one.format}`)}
        >
          {one.format} <small>{bytes(one.size_bytes)}</small>
        </button>
      ))}
    </div>
  );
}
