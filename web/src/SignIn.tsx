import { type FormEvent, useState } from "react";

import { Refused, Session } from "./api";

export function SignIn({ onEnd, onSession }: { onEnd: () => void; onSession: (session: Session) => void }) {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem("");
    try {
      onSession(await Session.signIn(String(form.get("email")), String(form.get("password")), onEnd));
    } catch (error) {
      setProblem(error instanceof Refused ? error.message : "The server cannot be reached.");
      setBusy(false);
    }
  }

  return (
    <form className="sign-in" onSubmit={(event) => void submit(event)}>
      <h1>
        <img src="/icon.svg" alt="" width={36} height={36} /> EDGECORE <span>Studio</span>
      </h1>
      <label>
        Email
        <input name="email" type="email" autoComplete="username" required autoFocus />
      </label>
      <label>
        Password
        <input name="password" type="password" autoComplete="current-password" required />
      </label>
      <p className="problem" role="alert">
        {problem}
      </p>
      <button disabled={busy}>{busy ? "Signing in…" : "Sign in"}</button>
    </form>
  );
}
