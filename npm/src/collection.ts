/** The records of a collection. */
import { Auth, RecordAuth } from "./auth.js";
import { type Body, split } from "./body.js";
import { Op } from "./core/ops.js";
import { watcherOf } from "./options.js";
import { live, type LiveOptions, type LiveQuery, subscribe, type RecordEvent, type SubscribeOptions } from "./realtime.js";
import { Row } from "./rows.js";
import type {
  CallOptions,
  FullListOptions,
  ListOptions,
  ListResult,
  Many,
  RecordModel,
  RecordOptions,
  WriteOptions,
} from "./types.js";

/**
 * The records of a collection: `client.collection("posts")`. `M` is what a record looks like; each method takes another
 * type where `fields` or `expand` make it one.
 *
 * All methods fail with a PicoBaseError.
 *
 * ```ts
 * const posts = client.collection<Post>("posts");
 * const page = await posts.getList(1, 20, { filter: client.filter("title ~ {:q}", { q }), sort: "-created" });
 * ```
 */
export class Collection<M = RecordModel> extends RecordAuth<M> {
  /** Signing in to this collection, if it is one for users. */
  get auth(): Auth<M> {
    return new Auth(this.client, this.name);
  }

  /** One page of records. Pages count from 1; 30 records a page by default, 1,000 at most. */
  getList<T = M>(page = 1, perPage = 30, options?: ListOptions): Promise<ListResult<T>> {
    return this.client.call(Op.Row, [Row.RecordsList, [this.name], null, 0], { page, perPage, ...options });
  }

  /** One record. Kind `NotFound` where there is none, or the rules hide it. */
  getOne<T = M>(id: string, options?: RecordOptions): Promise<T> {
    return this.client.call(Op.Row, [Row.RecordsOne, [this.name, id], null, 0], options);
  }

  /**
   * All records. Without a `sort` the list is walked by id: records that exist for the whole walk appear exactly once,
   * whatever is written meanwhile. With one it goes by page numbers, and records that move between pages can be missed.
   */
  getFullList<T = M>(options?: FullListOptions): Promise<T[]>;
  /** The same with the size of a request first, as older versions of PocketBase's SDK have it. */
  getFullList<T = M>(batch: number, options?: ListOptions): Promise<T[]>;
  getFullList<T = M>(first: FullListOptions | number = {}, second?: ListOptions): Promise<T[]> {
    const { batch = null, ...options } = typeof first == "number" ? { batch: first, ...second } : first;
    return this.client.call(Op.GetFullList, [this.name, batch], options);
  }

  /**
   * All records, one after the other; the next ones are fetched while these are worked on.
   *
   * ```ts
   * for await (const post of client.collection("posts").iterate()) console.log(post.title);
   * ```
   */
  async *iterate<T = M>({ batch = null, ...options }: Omit<FullListOptions, "batch"> & { batch?: number | null | undefined } = {}): AsyncGenerator<T, void, undefined> {
    const { client } = this;
    const { signal } = options;
    const walk = [await client.call<number>(Op.Walk, [this.name, batch], options)];
    try {
      for (let page; (page = await client.call<T[] | null>(Op.WalkNext, walk, signal ? { signal } : undefined)); ) yield* page;
    } finally {
      client.post(Op.WalkEnd, walk);
    }
  }

  /** The first record that the filter finds. Kind `NotFound` where there is none. */
  getFirstListItem<T = M>(filter: string, options?: ListOptions): Promise<T> {
    return this.client.call(Op.GetFirst, [this.name, filter], options);
  }

  /** The records of these ids, in their order, and which of them are missing. There may be any number of them. */
  async getMany<T = M>(ids: readonly string[], options?: RecordOptions): Promise<Many<T>> {
    const [records, missing] = await this.client.call<[T[], string[]]>(Op.GetMany, [this.name, ids], options);
    return { records, missing };
  }

  /**
   * Creates a record. Files may stand in the body: `{ title: "a", cover: file, attachments: [one, two] }`; so may a FormData be
   * the body.
   *
   * Kind `Validation` where fields are refused (see `fields`), `Conflict` where a unique value is taken.
   */
  create<T = M>(body?: Body, options: WriteOptions = {}): Promise<T> {
    return this.#write(Op.Create, [this.name], body, options);
  }

  /**
   * Changes the fields that the body names; `views+`, `tags-` and `+attachments` add, remove and put in front. A record that
   * is the session's own changes the session too.
   */
  update<T = M>(id: string, body?: Body, options: WriteOptions = {}): Promise<T> {
    return this.#write(Op.Update, [this.name, id], body, options);
  }

  /** Deletes a record. One that is the session's own signs out. */
  async delete(id: string, options?: CallOptions): Promise<true> {
    await this.client.call(Op.Delete, [this.name, id], options);
    return true;
  }

  /**
   * Calls `listener` with what happens to a record (its id), or to all of them (`*`). Done once the server has acknowledged;
   * gives how to stop. Kind `NotFound` for an empty id.
   *
   * ```ts
   * const stop = await client.collection("posts").subscribe("*", ({ action, record }) => console.log(action, record.title));
   * ```
   */
  subscribe<T = M>(topic: string, listener: (event: RecordEvent<T>) => void, options?: SubscribeOptions): Promise<() => Promise<void>> {
    return subscribe(this.client, topic, listener as any, options, this.name);
  }

  /** Ends all subscriptions of a topic (`*` or an id), or without one all of this collection. */
  async unsubscribe(topic?: string): Promise<void> {
    this.client.realtime.end(topic, this.name);
  }

  /**
   * A list that stays right, whoever writes and whatever breaks: what `filter` and `sort` say, and then its changes.
   *
   * ```ts
   * const drafts = await client.collection("posts").live({ filter: "status = 'draft'", sort: "-created" });
   * const stop = drafts.subscribe(() => render(drafts.records));
   * ```
   */
  live<T = M>(options?: LiveOptions): Promise<LiveQuery<T>> {
    return live(this.client, this.name, options);
  }

  async #write<T>(op: Op, place: string[], body: Body | undefined, { safeRetry, onProgress, ...options }: WriteOptions): Promise<T> {
    return this.client.call(op, [...place, ...split(body), !!safeRetry, watcherOf(onProgress)], options);
  }
}
