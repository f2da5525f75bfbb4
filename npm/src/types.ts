/** The public types that belong to no one module. */
import type { Value } from "./filter.js";

/** What every record has. */
export interface BaseRecord {
  id: string;
  collectionId: string;
  collectionName: string;
}

/** A record whose fields nobody has declared. */
export interface RecordModel extends BaseRecord {
  [field: string]: any;
  expand?: { [field: string]: any };
}

/** One page of a list. */
export interface ListResult<T> {
  page: number;
  perPage: number;
  /** -1 with `skipTotal`. */
  totalItems: number;
  /** -1 with `skipTotal`. */
  totalPages: number;
  items: T[];
}

/** Records by id. */
export interface Many<T> {
  /** The records, in the order of the ids that were asked for. */
  records: T[];
  /** The ids that do not exist or are hidden. */
  missing: string[];
}

/** How far a transfer has come, in bytes. */
export interface Progress {
  /** So far. A transfer that is sent again begins at 0 again. */
  done: number;
  /** In all; null where that is not known. */
  total: number | null;
}

/** Names and values: an object, or pairs where a name stands several times. null and undefined are left out. */
export type Parameters = { readonly [name: string]: Value | undefined } | Iterable<readonly [string, Value | undefined]>;

/** What every call may be given. */
export interface CallOptions {
  /** How long the call may take, in milliseconds, waits and retries included; 0: without end. 30 s by default. */
  timeout?: number | undefined;
  /** Cancels the call: it fails with kind `Cancelled`. */
  signal?: AbortSignal | null | undefined;
  /** An earlier call of this key that is still under way is cancelled. Without a key nothing is ever cancelled by itself. */
  requestKey?: string | null | undefined;
  /** Headers beside those of the client; they win. */
  headers?: { readonly [name: string]: string | null | undefined } | Iterable<readonly [string, string]> | undefined;
  /** Query parameters of any name. */
  query?: Parameters | undefined;
}

/** What may be given where one call needs several requests, or none: nothing that would go with a request. */
export type WaitOptions = Pick<CallOptions, "signal" | "timeout" | "requestKey">;

/** What a call that answers records may be given. */
export interface RecordOptions extends CallOptions {
  /** The relations to send along: `author,comments.author`. */
  expand?: string | null | undefined;
  /** The fields to send: `id,title,expand.author.name`; `*` for all. */
  fields?: string | null | undefined;
}

/** What a call that answers a list may be given. */
export interface ListOptions extends RecordOptions {
  /** A filter; put values in with `client.filter`. */
  filter?: string | null | undefined;
  /** The fields to sort by: `-created,title`. */
  sort?: string | null | undefined;
  /** Leave the totals out? They cost the server a second query. */
  skipTotal?: boolean | null | undefined;
}

/** What a call that answers a whole list may be given. */
export interface FullListOptions extends ListOptions {
  /** How many records a request fetches. */
  batch?: number | undefined;
}

/** What a write may be given. */
export interface WriteOptions extends RecordOptions {
  /** May the write be repeated when its answer is lost? A create then happens once all the same: the client makes the id. */
  safeRetry?: boolean | undefined;
  /** Called as the files go out. */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * A record with relations sent along. Each of them may be missing: the server leaves out what is empty or hidden.
 *
 * ```ts
 * const post = await client.collection<WithExpand<Post, { author: User }>>("posts").getOne(id, { expand: "author" });
 * post.expand?.author?.name;
 * ```
 */
export type WithExpand<M, E> = M & { expand?: { [K in keyof E]?: E[K] } };
