/** Several writes in one request. */
import type { Client } from "./client.js";
import { type Body, split } from "./body.js";
import { Op } from "./core/ops.js";
import { fail, type PicoBaseError } from "./error.js";
import { pairsOf, queryOf } from "./options.js";
import type { CallOptions, Parameters, RecordOptions } from "./types.js";

/** What became of one write of a batch. */
export interface BatchResult {
  /** The HTTP status: 200, or 204 for a delete. */
  status: number;
  /** The record as it is now; null for a delete. */
  body: any;
}

/** What became of a batch that was sent in chunks. */
export interface Chunked {
  /** The results of all chunks before the one that failed. */
  results: BatchResult[];
  /** Why the first chunk failed that did; its `item` counts the writes of the whole batch. */
  error: PicoBaseError | null;
}

/** What a write of a batch may be given. */
export type BatchWriteOptions = Pick<RecordOptions, "expand" | "fields" | "headers"> & { query?: Parameters | undefined };

/** A write that waits: operation, collection, id, body, options. */
type Write = [op: "create" | "update" | "upsert" | "delete", collection: string, id: string | null, body: Body | null, options?: BatchWriteOptions];

/**
 * Writes that are sent together: `client.createBatch()`.
 *
 * ```ts
 * const batch = client.createBatch();
 * batch.collection("posts").create({ title: "one" });
 * batch.collection("posts").update(id, { title: "two" });
 * const [created, updated] = await batch.send();
 * ```
 */
export class Batch {
  readonly #client: Client<any>;
  readonly #writes: Write[] = [];

  /** @internal */
  constructor(client: Client<any>) {
    this.#client = client;
  }

  /** How many writes there are. */
  get length(): number {
    return this.#writes.length;
  }

  /** The writes to one collection. */
  collection(name: string): BatchCollection {
    return new BatchCollection(name, this.#writes);
  }

  /**
   * Sends all in one request: all of them happen, or none. Fails with the first write that was refused; `item` is its
   * number.
   */
  async send(options?: CallOptions): Promise<BatchResult[]> {
    const [results] = await this.#send(null, options);
    return results.map(resultOf);
  }

  /**
   * Sends them in chunks of the server's limit, or of `size`. Each chunk happens as a whole, all of them together do not:
   * the first that fails ends it. Kind `Validation` where `size` is no whole number above 0.
   */
  async sendChunked({ size, ...options }: CallOptions & { size?: number | undefined } = {}): Promise<Chunked> {
    if (size != null && !(Number.isSafeInteger(size) && size > 0)) fail("Validation", "a chunk cannot have this size", "Pass a whole number above 0.");
    const [results, error] = await this.#send(size ?? 0, options);
    return { results: results.map(resultOf), error };
  }

  async #send(chunk: number | null, options?: CallOptions): Promise<[[number, any][], PicoBaseError | null]> {
    const requests = this.#writes.map(([op, collection, id, body, { headers, ...query } = {}]) => {
      const [json, files] = op == "delete" ? [null, []] : split(body);
      return [op, collection, id, json, files, queryOf(query), pairsOf(headers)];
    });
    return this.#client.call(Op.Batch, [requests, chunk], options);
  }
}

/** The writes of a batch to one collection. */
export class BatchCollection {
  readonly #name: string;
  readonly #writes: Write[];

  /** @internal */
  constructor(name: string, writes: Write[]) {
    this.#name = name;
    this.#writes = writes;
  }

  /** Adds a create. */
  create(body?: Body, options?: BatchWriteOptions): void {
    this.#writes.push(["create", this.#name, null, body ?? null, options]);
  }

  /** Adds an update. */
  update(id: string, body?: Body, options?: BatchWriteOptions): void {
    this.#writes.push(["update", this.#name, id, body ?? null, options]);
  }

  /** Adds an update where a record of the body's `id` exists, else a create. */
  upsert(body?: Body, options?: BatchWriteOptions): void {
    this.#writes.push(["upsert", this.#name, null, body ?? null, options]);
  }

  /** Adds a delete. */
  delete(id: string, options?: BatchWriteOptions): void {
    this.#writes.push(["delete", this.#name, id, null, options]);
  }
}

function resultOf([status, body]: [number, any]): BatchResult {
  return { status, body };
}
