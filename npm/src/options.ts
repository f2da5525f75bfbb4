/** What a user gives to a call beside its arguments, as the engine takes it. */
import type { Options, Pairs } from "./core/ops.js";
import { written } from "./filter.js";
import type { CallOptions, Parameters, Progress } from "./types.js";

/**
 * What every call may be given, and query parameters of any name.
 *
 * @internal
 */
export type AnyOptions = CallOptions & Pick<Options, "onEvent"> & { [name: string]: any };

/**
 * The engine's options. All that is no option of calls is a query parameter, as in PocketBase's SDK.
 *
 * @internal
 */
export function optionsOf({ timeout, signal, requestKey, headers, onEvent, ...query }: AnyOptions): Options {
  return { timeout, signal: signal ?? undefined, headers: pairsOf(headers), query: queryOf(query), onEvent };
}

/** @internal */
export function queryOf({ query, ...own }: { query?: Parameters; [name: string]: any }): Pairs {
  const pairs = query && Symbol.iterator in query ? [...pairsOf(own), ...pairsOf(query)] : pairsOf({ ...own, ...query });
  for (let i = 1; i < pairs.length; i += 2) pairs[i] = written(pairs[i], `the query parameter ${pairs[i - 1]}`);
  return pairs;
}

/**
 * Names and values, one behind the other, without those that are not there.
 *
 * @internal
 */
export function pairsOf(given: object | null | undefined): Pairs {
  const pairs: [string, unknown][] = !given ? [] : Symbol.iterator in given ? [...(given as any)] : Object.entries(given);
  return pairs.filter(([, value]) => value != null && typeof value != "function").flat();
}

/**
 * Who watches an upload, as the engine calls it.
 *
 * @internal
 */
export function watcherOf(onProgress: ((progress: Progress) => void) | undefined): ((done: number, total: number | null) => void) | null {
  return onProgress ? (done, total) => onProgress({ done, total }) : null;
}
