/** What the server pushes: events of records, messages, and lists that stay right. The core does it; this hands it out. */
import type { Client } from "./client.js";
import { type Event, type LiveEvent, Op } from "./core/ops.js";
import type { PicoBaseError } from "./error.js";
import { Listeners, safely } from "./listeners.js";
import type { CallOptions, RecordModel, RecordOptions } from "./types.js";

/** What happened to a record. */
export interface RecordEvent<T = RecordModel> {
  /** Where an `update` overtakes the creation, which the server may tell of later, no `create` comes. */
  action: "create" | "update" | "delete";
  /** The record's id. */
  id: string;
  /** The record as the server sent it. A delete that was found out later has no more than `id` and `collectionName`. */
  record: T;
  /** `catchup`: it happened while the stream was down, and was fetched afterwards; of several changes only the last is known. */
  origin: "live" | "catchup";
  /** The topic of the subscription. */
  topic: string;
}

/** A message on a topic of one's own. */
export interface MessageEvent<D = any> {
  action?: undefined;
  topic: string;
  /** What the server sent; text that is no JSON is a string. */
  data: D;
}

/** Something may be missing that could not be fetched: list again what you show. */
export interface ResyncEvent {
  action: "resync";
  reason: "no_history" | "no_list_access" | "too_much" | "auth_changed" | "unavailable" | (string & {});
}

/** The consumer was too slow and so many events were dropped: list again what you show. */
export interface LaggedEvent {
  action: "lagged";
  missed: number;
}

/** The session has ended: it goes on when somebody has signed in or out. Where nothing can mend it, it is the last event. */
export interface ErrorEvent {
  action: "error";
  error: PicoBaseError;
}

/** All that can come on a topic. */
export type RealtimeEvent<T = RecordModel> = RecordEvent<T> | MessageEvent | ResyncEvent | LaggedEvent | ErrorEvent;

/** How a topic is listened to. `filter`, `expand` and `fields` are for topics of records. */
export interface SubscribeOptions extends Omit<RecordOptions, "requestKey"> {
  /** Which records' events to send. Of a record that no longer passes it the server says nothing; a live query does. */
  filter?: string | null | undefined;
  /** Ends the subscription; where the server has not acknowledged it yet it fails with kind `Cancelled`. */
  signal?: AbortSignal | null | undefined;
  /** How many events may wait for a slow consumer before the oldest are dropped; 1,000 by default. */
  queueMax?: number | null | undefined;
  /** Something may be missing that could not be fetched, for this reason: list again what you show. */
  onResync?: ((reason: ResyncEvent["reason"]) => unknown) | undefined;
  /** So many events were dropped: list again what you show. */
  onLagged?: ((missed: number) => unknown) | undefined;
  /** The session has ended; it goes on when somebody has signed in or out. Where nothing can mend it, it is over. */
  onError?: ((error: PicoBaseError) => unknown) | undefined;
}

/** How the client stands with the server's event stream. `suspended`: the session has ended, or nobody looks at the page. */
export type RealtimeState = "disconnected" | "connecting" | "connected" | "reconnecting" | "suspended";

/** The events of the server: `client.realtime`. */
export class Realtime {
  readonly #client: Client<any>;
  readonly #states = new Listeners<[state: RealtimeState]>();
  #state: RealtimeState = "disconnected";
  /** Ends the platform's hints; set at the first subscription. */
  #stop?: () => void;

  /** @internal */
  constructor(client: Client<any>) {
    this.#client = client;
  }

  /** How it stands with the event stream. */
  get state(): RealtimeState {
    return this.#state;
  }

  /** Is the event stream there? */
  get isConnected(): boolean {
    return this.#state == "connected";
  }

  /** Calls `listener` whenever the state has changed. Returns how to stop. */
  readonly onStateChange = this.#states.add;

  /**
   * Calls `listener` with what happens on a topic: `posts/*` for all records of a collection, `posts/RECORD_ID` for one, any other
   * for messages of one's own. Resolves, with how to end it, when the server has acknowledged it; from then on it goes on
   * through every gap. A message of a topic of one's own is `{topic, data}`.
   *
   * Kind `Timeout` where the server did not acknowledge it in time, `Validation` where it refused the options.
   */
  subscribe<T = RecordModel>(
    topic: string,
    listener: (event: RecordEvent<T> & { data: any }) => unknown,
    options?: SubscribeOptions,
  ): Promise<() => Promise<void>> {
    return subscribe(this.#client, topic, listener, options);
  }

  /**
   * What happens on a topic, one after the other. It subscribes when it is first asked for an event, and ends with the loop that
   * reads it, or with `signal`.
   *
   * ```ts
   * for await (const event of client.realtime.events<Post>("posts/*")) {
   *   if (event.action == "create") console.log(event.record.title);
   * }
   * ```
   */
  events<T = RecordModel>(topic: string, options: SubscribeOptions = {}): AsyncGenerator<RealtimeEvent<T>, void, undefined> {
    const lagged = (missed: number) => ({ action: "lagged", missed }) as const;
    return iterate<RealtimeEvent<T>>(options, lagged, async (next, end) => {
      const stop = await begin(this.#client, topic, options, (event) => (event[0] == "end" ? end() : next(named(event))));
      return () => void stop();
    });
  }

  /** Ends all subscriptions of a topic, whatever their options; without one, all of this client. */
  async unsubscribe(topic?: string): Promise<void> {
    this.end(topic);
  }

  /**
   * Ends the subscriptions of a topic, of a collection's topic, or all of either.
   *
   * @internal
   */
  end(topic?: string, collection?: string): void {
    if (this.#stop) this.#client.post(Op.UnsubscribeTopic, [topic ?? null, collection ?? null]);
  }

  /** Ends all subscriptions whose topic begins so. */
  async unsubscribeByPrefix(prefix: string): Promise<void> {
    if (this.#stop) this.#client.post(Op.UnsubscribePrefix, [prefix]);
  }

  /**
   * Someone listens: from now on the core must know of network and page.
   *
   * @internal
   */
  begun(): void {
    this.#stop ??= this.#client.platform.hints?.((hint) => this.#client.post(Op.Hint, [hint])) ?? (() => {});
  }

  /** @internal */
  heard(state: string): void {
    if (state == this.#state) return;
    this.#state = state as RealtimeState;
    this.#states.tell(this.#state);
  }

  /** @internal */
  close(): void {
    // A subscription that begins after it must not listen to the page for ever.
    (this.#stop ??= () => {})();
    this.heard("disconnected");
  }
}

/** @internal */
export function subscribe(
  client: Client<any>,
  topic: string,
  listener: (event: any) => unknown,
  options: SubscribeOptions = {},
  collection?: string,
): Promise<() => Promise<void>> {
  const special: { [kind: string]: ((about: any) => unknown) | null | undefined } = {
    resync: options.onResync,
    lagged: options.onLagged,
    error: options.onError,
    end: null,
  };
  const tell = (event: Event) => {
    if (event[0] in special) safely(special[event[0]], event[1]);
    else safely(listener, named(event));
  };
  return begin(client, topic, options, tell, collection);
}

/** Subscribes; `tell` gets every event. Resolves with how to end it: then nothing is told any more. */
async function begin(
  client: Client<any>,
  topic: string,
  { queueMax = null, ...options }: SubscribeOptions,
  tell: (event: Event) => void,
  collection: string | null = null,
): Promise<() => Promise<void>> {
  let open = true;
  /** What comes before the caller has what ends it. */
  let early: Event[] | null = [];
  client.realtime.begun();
  const onEvent = (event: Event) => {
    if (early) return void early.push(event);
    if (open) tell(event);
    open &&= event[0] != "end";
  };
  const listener = await client.call<number>(Op.Subscribe, [topic, collection, queueMax], { ...options, onEvent });
  void (async () => {
    for (let turns = 0; turns < 9; turns++) await null;
    const events = early!;
    early = null;
    events.forEach(onEvent);
  })();
  const { signal } = options;
  const stop = async () => {
    signal?.removeEventListener("abort", stop);
    if (open) client.post(Op.Unsubscribe, [listener]);
    open = false;
  };
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) void stop();
  return stop;
}

const inList = ["index", "id", "record"];

/** What stands in an event, in this order. */
const members: { [kind: string]: string[] } = {
  message: ["topic", "data"],
  resync: ["reason"],
  lagged: ["missed"],
  error: ["error"],
  snapshot: ["records"],
  enter: inList,
  change: inList,
  leave: ["index", "id"],
  move: ["from", "to", "id"],
};

/** An event with names. */
function named([kind, ...values]: Event | LiveEvent): any {
  if (kind == "record") {
    const [action, origin, topic, record] = values as [string, string, string, any];
    return { action, origin, topic, record, id: record.id };
  }
  const event: any = kind == "message" ? {} : { action: kind };
  members[kind]!.forEach((name, i) => (event[name] = values[i]));
  return event;
}

/** Which list a live query keeps. `timeout` is for the first snapshot, and for each call after it. */
export interface LiveOptions extends Omit<CallOptions, "requestKey"> {
  /** Which records; put values in with `client.filter`. */
  filter?: string | null | undefined;
  /** The fields to sort by: `-created,id`. Without it the order is the server's. */
  sort?: string | null | undefined;
  /** How many records the list may have: 1 to 1,000, 500 by default. */
  limit?: number | null | undefined;
  expand?: string | null | undefined;
  fields?: string | null | undefined;
  /**
   * How often the whole list is asked for although nothing was heard, in milliseconds; by default as often as `realtime.liveness`
   * says. What changes without a write of its own (a rule, a related record, a view) is noticed then.
   */
  recheckEvery?: number | null | undefined;
}

/** One change of a live query's list. Indexes are those at the moment at which it is applied. */
export type LiveChange<T = RecordModel> =
  | { action: "snapshot"; records: readonly T[] }
  | { action: "enter" | "change"; index: number; id: string; record: T }
  | { action: "leave"; index: number; id: string }
  /** `to`: where it stands once it has been taken out at `from`. */
  | { action: "move"; from: number; to: number; id: string }
  | ErrorEvent;

/**
 * A list that stays as a fresh one would be, whoever writes and whatever breaks. Close it when it is not needed any more.
 *
 * ```ts
 * const live = await client.collection<Post>("posts").live({ filter: "status = 'published'", sort: "-created", limit: 20 });
 * const show = () => console.log(live.records.map((post) => post.title));
 * live.subscribe(show);
 * ```
 */
export class LiveQuery<T = RecordModel> {
  readonly #listeners = new Listeners<[]>();
  readonly #changes = new Listeners<[change: LiveChange<T> | null]>();
  #records: readonly T[] = [];
  #error: PicoBaseError | null = null;
  #waiting = false;
  #open = true;
  #end?: (told: boolean) => void;

  /** The list: another array whenever something in it has changed, and never changed itself. */
  get records(): readonly T[] {
    return this.#records;
  }

  /** Why the list stands still, where the session has ended; null again when it goes on. */
  get error(): PicoBaseError | null {
    return this.#error;
  }

  /** Calls `listener` when `records` or `error` are others; once for changes that came together. Returns how to stop. */
  readonly subscribe: (listener: () => unknown) => () => void = this.#listeners.add;

  /** The list as it is, then each change. It ends with the loop that reads it, or when the live query is closed. */
  changes(options: { signal?: AbortSignal | null | undefined } = {}): AsyncGenerator<LiveChange<T>, void, undefined> {
    // Who reads too slowly gets the list as it has become.
    const snapshot = (_?: number, queue: unknown[] = []) => {
      queue.length = 0;
      return { action: "snapshot", records: this.#records } as const;
    };
    return iterate<LiveChange<T>>(options, snapshot, async (next, end) => {
      next(snapshot());
      if (!this.#open) end();
      return this.#changes.add((change) => (change ? next(change) : end()));
    });
  }

  /** Ends it: the list changes no more. */
  close(): void {
    this.#close(false);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  begun(end: (told: boolean) => void): void {
    if (this.#open) this.#end = end;
    else end(true);
  }

  /** @internal */
  heard(event: LiveEvent): void {
    if (!this.#open) return;
    if (event[0] == "end") return this.#close(true);
    this.#error = event[0] == "error" ? (event[1] as PicoBaseError) : null;
    this.#records = applied(this.#records, event);
    this.#changed();
    this.#changes.tell(named(event));
  }

  /**
   * The stream is there, so the list goes on; where nothing in it has changed, no event says so.
   *
   * @internal
   */
  goesOn(): void {
    if (!this.#error) return;
    this.#error = null;
    this.#changed();
  }

  /** Changes come in sets; who shows the list need not show each step. */
  #changed(): void {
    if (!this.#waiting) queueMicrotask(() => ((this.#waiting = false), this.#listeners.tell()));
    this.#waiting = true;
  }

  /** `told`: the core has ended it by itself. */
  #close(told: boolean): void {
    if (!this.#open) return;
    this.#open = false;
    this.#end?.(told);
    this.#changes.tell(null);
  }
}

/** @internal */
export async function live<T>(client: Client<any>, collection: string, options: LiveOptions = {}): Promise<LiveQuery<T>> {
  const { limit = null, recheckEvery = null, ...rest } = options;
  const query = new LiveQuery<T>();
  client.realtime.begun();
  let there: () => void;
  const snapshot = new Promise<void>((told) => (there = told));
  const onEvent = (event: LiveEvent) => {
    query.heard(event);
    there();
  };
  const close = () => query.close();
  const number = await client.call<number>(Op.Live, [collection, limit, recheckEvery], { ...rest, onEvent });
  const ignore = client.realtime.onStateChange((state) => state == "connected" && query.goesOn());
  rest.signal?.addEventListener("abort", close);
  query.begun((told) => {
    ignore();
    rest.signal?.removeEventListener("abort", close);
    if (!told) client.post(Op.LiveEnd, [number]);
    there();
  });
  // Just when it was there.
  if (rest.signal?.aborted) close();
  await snapshot;
  return query;
}

function applied<T>(records: readonly T[], event: LiveEvent): readonly T[] {
  const [kind, at] = event as [string, any];
  if (kind == "snapshot") return at;
  if (kind == "error") return records;
  const list = [...records];
  if (kind == "enter") list.splice(at, 0, event[3] as T);
  else if (kind == "change") list[at] = event[3] as T;
  else {
    const taken = list.splice(at, 1);
    if (kind == "move") list.splice(event[2] as number, 0, ...taken);
  }
  return list;
}

/**
 * What is told, one after the other. `start` begins when the first is wanted, and returns how to end it. Of a reader who is too
 * slow the oldest are dropped; `dropped` says so in their place.
 */
function iterate<E>(
  { signal, queueMax }: { signal?: AbortSignal | null; queueMax?: number | null },
  dropped: (count: number, queue: E[]) => E,
  start: (next: (event: E) => void, end: () => void) => Promise<() => void>,
): AsyncGenerator<E, void, undefined> {
  const queue: E[] = [];
  let missed = 0;
  let over = false;
  let wake = () => {};
  const end = () => {
    over = true;
    wake();
  };
  const next = (event: E) => {
    if (queue.push(event) > (queueMax ?? 1000)) {
      queue.shift();
      missed++;
    }
    wake();
  };
  async function* all(): AsyncGenerator<E, void, undefined> {
    const stop = await start(next, end);
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();
    try {
      while (!over || queue[0]) {
        if (missed) {
          const count = missed;
          missed = 0;
          yield dropped(count, queue);
        } else if (queue[0]) yield queue.shift()!;
        else await new Promise<void>((go) => (wake = go));
      }
    } finally {
      signal?.removeEventListener("abort", end);
      stop();
    }
  }
  const events = all();
  const back = events.return;
  // By itself a generator that waits for an event would end only after that.
  events.return = (value) => {
    end();
    return back.call(events, value);
  };
  return events;
}
