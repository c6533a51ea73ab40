import { useCallback, useEffect, useState } from "react";

import { type Job, Session } from "./api";
import { Composer } from "./Composer";
import { JobList } from "./JobList";
import { JobView } from "./JobView";
import { SignIn } from "./SignIn";

export function App() {
  const [session, setSession] = useState<Session | null>(null);
  const [known, setKnown] = useState(false);
  const end = useCallback(() => setSession(null), []);

  useEffect(() => {
    void Session.resume(end).then((found) => {
      setSession(found);
      setKnown(true);
    });
  }, [end]);

  if (!known) return null;
  return session ? <Studio session={session} /> : <SignIn onEnd={end} onSession={setSession} />;
}

function Studio({ session }: { session: Session }) {
  const [selected, setSelected] = useState<string | null>(null);
  const [listed, setListed] = useState(0);
  const changed = useCallback(() => setListed((count) => count + 1), []);
  const submitted = useCallback(
    (job: Job) => {
      setSelected(job.id);
      changed();
    },
    [changed],
  );

  return (
    <>
      <header>
        <h1>
          <img src="/icon.svg" alt="" width={28} height={28} /> EDGECORE <span>Studio</span>
        </h1>
        <nav>
          <a href="/docs">API</a>
          <span>{session.user.name || session.user.email}</span>
          <button className="quiet" onClick={() => void session.signOut()}>
            Sign out
          </button>
        </nav>
      </header>
      <main>
        <Composer session={session} onSubmitted={submitted} />
        {selected ? (
          <JobView key={selected} session={session} id={selected} onEnded={changed} />
        ) : (
          <section className="empty" aria-label="Video">
            <p>Your video appears here, from the first rough frame on.</p>
          </section>
        )}
        <JobList session={session} version={listed} selected={selected} onSelect={setSelected} />
      </main>
    </>
  );
}
