/** Tokens, and whole histories of a session. */
import { type Client, createClient } from "@picobase/client";
import { FakeClock, ready } from "../support/clock.js";
import { Script, type Sent } from "../support/script.js";
import type { Pure } from "./pure.js";

/** What the core reads, and what the synchronous store says of the same token. */
export async function tokens(pure: Pure, given: any): Promise<unknown> {
  const out = pure("tokens", given);
  const clock = new FakeClock(given.now * 1000, false);
  const script = new Script();
  const client = createClient("https://h", null, { store: "memory", fetch: script.fetch });
  try {
    await ready(client);
    client.authStore.save(given.token, null);
    if (client.authStore.isValid === out.expired && given.token) throw new Error(`isValid is ${client.authStore.isValid}`);
  } finally {
    client.close();
    await clock.rest();
    clock.end();
  }
  return out;
}

interface Step {
  at: number;
  do: string;
  [argument: string]: any;
}

export async function session_life(given: any, wanted: any): Promise<unknown> {
  const clock = new FakeClock(0, false);
  const life = new Life(given, clock);
  try {
    for (const step of given.steps as Step[]) {
      clock.set((given.start + step.at) * 1000);
      life.step(step);
      await ready(life.client!);
      await clock.rest();
    }
    return await life.outcome(wanted);
  } finally {
    life.client?.close();
    await clock.rest();
    clock.end();
  }
}

/** A client, what it sends to, and what came of its calls. */
class Life {
  client: Client<any> | undefined;
  readonly #names: Map<string, string>;
  readonly #tokens: Record<string, string>;
  readonly #key: string | null;
  readonly #events: { event: string; token: string | null }[][] = [];
  readonly #calls: ({ authorization: string } | { error: string } | "still waiting")[] = [];
  readonly #refreshes: Sent[] = [];
  /** What the next sign-in, update or delete is answered. */
  readonly #answers: [status: number, body: string][] = [];
  readonly #failures: unknown[] = [];
  #stored: string | null = null;

  constructor(given: any, readonly clock: FakeClock) {
    this.#tokens = given.tokens;
    this.#names = new Map(Object.entries<string>(given.tokens).map(([name, token]) => [token, name]));
    this.#key = given.key ?? null;
  }

  step(step: Step): void {
    const { client } = this;
    const [collection, id] = [step.collection, step.id];
    if (step.do === "load") this.#load(step.stored);
    else if (step.do === "listen") this.#listen();
    else if (step.do === "call") this.#call((n) => client!.collection("posts").getList(1, 30, { headers: { "X-Call": n } }));
    else if (step.do === "health") this.#call((n) => client!.health.check({ headers: { "X-Call": n } }));
    else if (step.do === "refresh_answer") this.#answerRefresh(step);
    else if (step.do === "sign_in") {
      this.#answers.push([200, this.#answerOf(step)]);
      this.#must(client!.auth.signIn("a@example.com", "secret"));
    } else if (step.do === "sign_out") this.#must(client!.auth.signOut());
    else if (step.do === "update_record") {
      this.#answers.push([200, JSON.stringify(step.answer)]);
      this.#must(client!.collection(collection).update(id, { name: "new" }));
    } else if (step.do === "delete_record") {
      this.#answers.push([204, ""]);
      this.#must(client!.collection(collection).delete(id));
    } else throw new Error(step.do);
  }

  #load(stored: any): void {
    if (stored) this.#stored = JSON.stringify({ token: this.#token(stored.token), record: stored.record });
    const script = new Script((sent) => this.#answer(sent));
    this.client = createClient("https://h", this.#key, {
      maxRetries: 0,
      fetch: script.fetch,
      store: {
        load: () => this.#stored,
        save: (session) => void (this.#stored = session),
        clear: () => void (this.#stored = null),
      },
    });
    this.#listen();
  }

  #listen(): void {
    const told: { event: string; token: string | null }[] = [];
    this.#events.push(told);
    this.client!.auth.onAuthStateChange((event, session) => void told.push({ event, token: session && this.#name(session.token) }));
  }

  #token(name: string): string {
    const token = this.#tokens[name];
    if (token === undefined) throw new Error(`there is no token ${name}`);
    return token;
  }

  #name(token: string): string {
    const name = this.#names.get(token);
    if (name === undefined) throw new Error(`an unknown token: ${token}`);
    return name;
  }

  #answerOf(step: Step): string {
    return JSON.stringify({ token: this.#token(step.token), record: step.record });
  }

  /** Work that must succeed. */
  #must(work: Promise<unknown>): void {
    work.catch((error) => this.#failures.push(error));
  }

  /** A call whose outcome is asked for. */
  #call(make: (n: string) => Promise<unknown>): void {
    const n = this.#calls.push("still waiting") - 1;
    make(String(n)).then(
      () => {
        if (this.#calls[n] === "still waiting") throw new Error("answered, but never sent");
      },
      (error) => (this.#calls[n] = { error: error.kind }),
    );
  }

  #answerRefresh(step: Step): void {
    const waiting = this.#refreshes.find((sent) => sent.waits);
    if (!waiting) throw new Error("no auth-refresh waits");
    if (step.status === "network") waiting.break("ECONNRESET");
    else waiting.answer(step.status, step.status === 200 ? this.#answerOf(step) : '{"message":"no","data":{}}');
  }

  #answer(sent: Sent): void {
    const authorization = sent.headers.get("authorization");
    const call = sent.headers.get("x-call");
    if (sent.path.endsWith("/auth-refresh")) {
      if (sent.method !== "POST") throw new Error(`${sent.method} ${sent.path}`);
      this.#refreshes.push(sent);
    } else if (call !== null) {
      const bearer = authorization !== null && this.#key !== null && authorization === `Bearer ${this.#key}`;
      this.#calls[+call] = { authorization: authorization === null ? "none" : bearer ? "key" : this.#name(authorization) };
      const health = '{"code":200,"message":"API is healthy.","data":{}}';
      sent.answer(200, sent.path === "/api/health" ? health : '{"page":1,"perPage":30,"totalItems":0,"totalPages":0,"items":[]}');
    } else {
      const next = this.#answers.shift();
      if (!next) throw new Error(`an unexpected request: ${sent.method} ${sent.path}`);
      sent.answer(...next);
    }
  }

  async outcome(wanted: any): Promise<unknown> {
    if (this.#failures.length) throw this.#failures[0];
    const collections = this.#refreshes.map((sent, n) => {
      const name = sent.path.split("/")[3]!;
      const allowed = wanted.refresh_collections?.[n];
      return allowed?.includes(name) ? allowed : [name];
    });
    const { authStore } = this.client!;
    const user = authStore.token ? authStore.record : null;
    return {
      events: this.#events[0],
      late_events: this.#events[1] ?? null,
      calls: this.#calls,
      refreshes: this.#refreshes.map((sent) => this.#name(sent.headers.get("authorization")!)),
      refresh_collections: collections,
      stored: this.#stored && this.#name(JSON.parse(this.#stored).token),
      user,
    };
  }
}
