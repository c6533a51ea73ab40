// The gateway's API as Studio uses it: shapes, errors in words, and a session that renews itself.

export type Rendition = { format: string; url: string; size_bytes: number; media_type: string };

export type Job = {
  id: string;
  state: string;
  progress: number;
  stage: string | null;
  step: number | null;
  steps: number | null;
  queue_position: number | null;
  eta_seconds: number | null;
  error: { code: string; message: string } | null;
  renditions: Rendition[];
  thumbnail_url: string | null;
  cost_estimated: string | null;
  cost_actual: string | null;
  spec: { prompt: string; width: number; height: number; frames: number; fps: number };
  created_at: string;
};

export type Candidate = {
  backend: string;
  model: string;
  amount: string;
  low: string;
  high: string;
  eta_seconds: number | null;
  available: boolean;
  detail: string;
};

export type Estimate = {
  candidates: Candidate[];
  recommended: { backend: string; model: string; reason: string } | null;
};

export type Request = {
  prompt: string;
  width: number;
  height: number;
  frames: number;
  steps: number;
  formats: string[];
  seed?: number;
  variant?: "standard" | "distilled";
  upscale?: boolean;
  image?: string;
  flow_guidance?: { motion: [number, number]; strength: number };
  adapters?: { id: string; scale?: number }[];
};

export type Upload = { id: string; width: number; height: number };

export type Adapter = { id: string; name: string; hint: string };

export type User = { id: string; email: string; name: string; role: string };

type Tokens = { access_token: string; refresh_token: string; user: User };

export const ENDED = ["DELIVERED", "ERROR", "CANCELLED"];

/** What the API refused, in words for a person; `fields` by name. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly fields: Record<string, string> = {},
  ) {
    super(message);
  }

  /** The fields and their rules, or the message where no field is named. */
  inWords(): string {
    const fields = Object.entries(this.fields);
    return fields.length === 0 ? this.message : fields.map(([name, rule]) => `${name} ${rule}`).join("; ");
  }
}

const KEPT = "edgecore.refresh";

/** A signed-in user. Tokens live in memory; only the refresh token outlives a reload of the tab. */
export class Session {
  private constructor(
    private tokens: Tokens,
    private readonly onEnd: () => void,
  ) {}

  static async signIn(email: string, password: string, onEnd: () => void): Promise<Session> {
    return Session.keep(await post<Tokens>("/auth/login", { email, password }), onEnd);
  }

  /** The session of this tab from before a reload, or null. */
  static async resume(onEnd: () => void): Promise<Session | null> {
    const refresh_token = sessionStorage.getItem(KEPT);
    if (!refresh_token) return null;
    try {
      return Session.keep(await post<Tokens>("/auth/refresh", { refresh_token }), onEnd);
    } catch {
      sessionStorage.removeItem(KEPT);
      return null;
    }
  }

  private static keep(tokens: Tokens, onEnd: () => void): Session {
    sessionStorage.setItem(KEPT, tokens.refresh_token);
    return new Session(tokens, onEnd);
  }

  get user(): User {
    return this.tokens.user;
  }

  get token(): string {
    return this.tokens.access_token;
  }

  async signOut(): Promise<void> {
    sessionStorage.removeItem(KEPT);
    const { refresh_token } = this.tokens;
    await this.fetch("/auth/logout", json({ refresh_token })).catch(() => undefined);
    this.onEnd();
  }

  /** One request; a token that has run out is renewed once. Throws Refused. */
  async call<T>(path: string, options: RequestInit = {}): Promise<T> {
    return (await this.fetch(path, options)).json() as Promise<T>;
  }

  async fetch(path: string, options: RequestInit = {}): Promise<Response> {
    const first = await this.send(path, options);
    if (first.status !== 401) return checked(first);
    await this.renew();
    return checked(await this.send(path, options));
  }

  private send(path: string, options: RequestInit): Promise<Response> {
    const headers = { ...options.headers, Authorization: `Bearer ${this.tokens.access_token}` };
    return fetch(path.startsWith("/api/") ? path : `/api/v1${path}`, { ...options, headers });
  }

  private renewing: Promise<void> | null = null;

  // Once for all callers: a refresh token is good for one use.
  private renew(): Promise<void> {
    this.renewing ??= post<Tokens>("/auth/refresh", { refresh_token: this.tokens.refresh_token })
      .then((tokens) => {
        this.tokens = tokens;
        sessionStorage.setItem(KEPT, tokens.refresh_token);
      })
      .catch((error: unknown) => {
        sessionStorage.removeItem(KEPT);
        this.onEnd();
        throw error;
      })
      .finally(() => {
        this.renewing = null;
      });
    return this.renewing;
  }
}

export function json(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", ...headers },
  };
}

async function post<T>(path: string, body: unknown): Promise<T> {
  const response = await checked(await fetch(`/api/v1${path}`, json(body)));
  return (response.status === 204 ? undefined : await response.json()) as T;
}

async function checked(response: Response): Promise<Response> {
  if (response.ok || response.status === 304) return response;
  const problem = (await response.json().catch(() => ({}))) as {
    detail?: string;
    errors?: { field: string; rule: string; nearest?: unknown }[];
  };
  const fields = Object.fromEntries(
    (problem.errors ?? []).map(({ field, rule, nearest }) => [
      field,
      nearest === undefined ? rule : `${rule}; nearest: ${String(nearest)}`,
    ]),
  );
  throw new Refused(response.status, problem.detail ?? `The server answered ${response.status}.`, fields);
}
