/** Whole histories of a client's event stream: what it sends and when, and what its listeners are told. */
import { type Client, createClient } from "@picobase/client";
import { FakeClock, ready } from "../support/clock.js";
import { Script, type Sent } from "../support/script.js";
import { Skipped } from "./run.js";

/** Numbers of operations: see src/core/ops.ts. */
const [SUBSCRIBE, UNSUBSCRIBE, HINT] = [70, 71, 76];

interface Step {
  at: number;
  do: string;
  [argument: string]: any;
}

export async function realtime(given: any): Promise<unknown> {
  const start = given.start * 1000;
  if (given.steps.some((step: Step) => step.hint === "hidden")) throw new Skipped("pages tell only after ten minutes that nobody looks");
  if (given.steps.some((step: Step) => step.reads === false)) throw new Skipped("listeners read at once; iterables have a queue of their own");
  const clock = new FakeClock(start, true);
  const world = new World(given, clock);
  try {
    await world.begin();
    await clock.rest();
    for (const step of given.steps as Step[]) {
      await clock.goTo(start + step.at);
      world.step(step);
      await clock.rest();
    }
    return await world.outcome();
  } finally {
    world.client.close();
    await clock.rest();
    clock.end();
  }
}

interface Listener {
  subscribed: null | { at: number; error?: string };
  got: unknown[];
  /** Ends it, also while it waits. */
  end: () => void;
  /** One of many: only shown when something has become of it. */
  oneOfMany: boolean;
}

class World {
  readonly client: Client<any>;
  readonly #script = new Script();
  readonly #names: Map<string, string>;
  readonly #tokens: Record<string, string>;
  readonly #start: number;
  readonly #listeners = new Map<string, Listener>();
  readonly #failures: unknown[] = [];

  constructor(given: any, readonly clock: FakeClock) {
    this.#tokens = given.tokens ?? {};
    this.#names = new Map(Object.entries<string>(this.#tokens).map(([name, token]) => [token, name]));
    this.#start = given.start * 1000;
    const realtime = Object.fromEntries(Object.entries(given.options ?? {}).map(([name, value]) => [camel(name), value]));
    this.client = createClient("https://h", given.key, { store: "memory", maxRetries: 0, realtime, fetch: this.#script.fetch });
  }

  /** Loads what realtime needs, which takes real time: a topic that is too long is refused before anything is sent. */
  async begin(): Promise<void> {
    await ready(this.client);
    await (this.client as any).call(SUBSCRIBE, ["x".repeat(3000), null, null]).then(
      () => this.#failures.push(new Error("a topic that is too long was taken")),
      () => {},
    );
  }

  get #now(): number {
    return this.clock.now - this.#start;
  }

  step(step: Step): void {
    const { client } = this;
    if (step.do === "subscribe") this.#subscribe(step);
    else if (step.do === "unsubscribe") this.#listeners.get(step.name)!.end();
    else if (step.do === "unsubscribe_topic") this.#must(client.realtime.unsubscribe(step.topic));
    else if (step.do === "unsubscribe_prefix") this.#must(client.realtime.unsubscribeByPrefix(step.prefix));
    else if (step.do === "answer") this.#answer(step);
    else if (step.do === "send") this.#sent(step).send(step.text);
    else if (step.do === "end") this.#sent(step).end();
    else if (step.do === "break") this.#sent(step).break("ECONNRESET");
    else if (step.do === "sign_in") this.#must(client.auth.setSession({ token: this.#tokens[step.token]!, record: step.record }));
    else if (step.do === "sign_out") this.#must(client.auth.signOut());
    else if (step.do === "refresh") this.#must(client.auth.refresh());
    else if (step.do === "hint") (client as any).post(HINT, [step.hint]);
    else if (step.do !== "wait") throw new Error(step.do);
  }

  #must(work: Promise<unknown>): void {
    work.catch((error) => this.#failures.push(error));
  }

  #sent({ request, at }: Step): Sent {
    const sent = this.#script.requests[request];
    if (!sent) throw new Error(`no request ${request} at ${at}`);
    if (sent.dropped) throw new Error(`nobody waits for request ${request} at ${at}`);
    return sent;
  }

  #answer(step: Step): void {
    const sent = this.#sent(step);
    if (step.status === "network") sent.break("ECONNRESET");
    else if (step.stream) sent.stream(step.status, step.headers);
    else sent.answer(step.status, step.body === undefined ? "" : JSON.stringify(step.body), step.headers);
  }

  #subscribe(step: Step): void {
    for (let n = 0; n < (step.times ?? 1); n++) {
      const numbered = (text: string) => text.replace("{n}", String(n));
      const listener: Listener = { subscribed: null, got: [], end: () => {}, oneOfMany: step.times !== undefined };
      this.#listeners.set(numbered(step.name), listener);
      this.#begin(listener, [numbered(step.topic), step.collection ?? null, step.queue_max ?? null], { query: step.query, headers: step.headers });
    }
  }

  /** By the operation itself: it also tells of the end, which callbacks of the facade do not. */
  #begin(listener: Listener, args: unknown[], options: any): void {
    const stop = new AbortController();
    let number: number | undefined;
    let open = true;
    const client = this.client as any;
    client.realtime.begun();
    const onEvent = (event: any[]) => {
      if (open) listener.got.push(told(event));
    };
    client.call(SUBSCRIBE, args, { ...options, signal: stop.signal, onEvent }).then(
      (made: number) => {
        number = made;
        listener.subscribed = { at: this.#now };
      },
      (error: any) => {
        if (open) listener.subscribed = { at: this.#now, error: error.kind };
      },
    );
    listener.end = () => {
      open = false;
      if (number === undefined) stop.abort();
      else client.post(UNSUBSCRIBE, [number]);
    };
  }

  async outcome(): Promise<unknown> {
    if (this.#failures.length) throw this.#failures[0];
    const requests = await Promise.all(this.#script.requests.map((sent) => this.#shown(sent)));
    const shown = [...this.#listeners].filter(([, listener]) => !listener.oneOfMany || listener.subscribed);
    return {
      requests,
      open: this.#script.requests.flatMap((sent, n) => (sent.over || sent.dropped ? [] : [n])),
      // As they are now: closing the client tells them that they have ended.
      listeners: Object.fromEntries(shown.map(([name, { subscribed, got }]) => [name, { subscribed, got: [...got] }])),
      state: this.client.realtime.state,
    };
  }

  async #shown(sent: Sent): Promise<unknown> {
    const authorization = sent.headers.get("authorization");
    const { json } = await sent.body();
    return {
      at: sent.at - this.#start,
      method: sent.method,
      url: sent.url.slice("https://h".length),
      authorization: authorization === null ? "none" : authorization.startsWith("Bearer ") ? "key" : this.#names.get(authorization),
      ...(json !== undefined && { body: json }),
    };
  }
}

/** An event as the vectors write it. */
function told([kind, ...rest]: any[]): unknown {
  const [a, b, c, d] = rest;
  if (kind === "record") return { action: a, id: d.id, origin: b, topic: c, record: d };
  if (kind === "message") return { topic: a, data: b };
  if (kind === "resync") return { resync: a };
  if (kind === "lagged") return { lagged: a };
  return kind === "error" ? { error: a.kind } : { end: true };
}

/** `catch_up_skew_ms` as `catchUpSkew`. */
function camel(name: string): string {
  return name.replace(/_ms$/, "").replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}
