import { useEffect, useState } from "react";

import { ENDED, type Job, type Session } from "./api";
import { dollars, when } from "./words";

const PAGE = 20;
const REFRESH_MS = 5000;

type Props = { session: Session; version: number; selected: string | null; onSelect: (id: string) => void };

export function JobList({ session, version, selected, onSelect }: Props) {
  const [jobs, setJobs] = useState<Job[]>([]);
  const [more, setMore] = useState<string | null>(null);
  const moving = jobs.some((job) => !ENDED.includes(job.state));

  useEffect(() => {
    const stop = new AbortController();
    const load = () =>
      session
        .call<{ data: Job[]; next: string | null }>(`/jobs?limit=${PAGE}`, { signal: stop.signal })
        .then((page) => {
          setJobs((now) => [...page.data, ...now.filter((job) => job.id < (page.data.at(-1)?.id ?? ""))]);
          setMore((now) => now ?? page.next);
        })
        .catch(() => undefined);
    void load();
    const timer = moving ? setInterval(() => void load(), REFRESH_MS) : undefined;
    return () => {
      clearInterval(timer);
      stop.abort();
    };
  }, [session, version, moving]);

  async function older() {
    const page = await session.call<{ data: Job[]; next: string | null }>(`/jobs?limit=${PAGE}&after=${more}`);
    setJobs((now) => [...now, ...page.data]);
    setMore(page.next);
  }

  return (
    <section className="list" aria-label="Jobs">
      <h2>Jobs</h2>
      {jobs.length === 0 && <p className="hint">None yet.</p>}
      <ul>
        {jobs.map((job) => (
          <li key={job.id}>
            <button aria-current={job.id === selected} onClick={() => onSelect(job.id)}>
              <span className="dot" data-state={job.state} />
              <span className="what">{job.spec.prompt}</span>
              <small>{job.state}</small>
              <small>{dollars(job.cost_actual ?? job.cost_estimated)}</small>
              <small>{when(job.created_at)}</small>
            </button>
          </li>
        ))}
      </ul>
      {more && (
        <button className="quiet" onClick={() => void older()}>
          Older jobs
        </button>
      )}
    </section>
  );
}
