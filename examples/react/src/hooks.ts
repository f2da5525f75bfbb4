import type { InstanceState, LiveOptions, LiveQuery, PicoBaseError } from "@picobase/client";
import { useCallback, useEffect, useState, useSyncExternalStore, useTransition } from "react";
import { client, type Schema, type User } from "./picobase";

/** A value that changes outside of React. */
class Value<T> {
  #listeners = new Set<() => void>();
  #value: T;

  constructor(value: T) {
    this.#value = value;
  }
  readonly get = () => this.#value;
  readonly set = (value: T) => {
    this.#value = value;
    for (const listener of this.#listeners) listener();
  };
  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };
}

function useValue<T>(value: Value<T>): T {
  return useSyncExternalStore(value.subscribe, value.get);
}

// The auth store answers at once, so the first paint knows who is signed in.
const session = new Value({ user: client.authStore.record as User | null, expired: false });
client.auth.onAuthStateChange((event, now) => {
  session.set({ user: (now?.record as User | undefined) ?? null, expired: event === "SESSION_EXPIRED" });
});

/** Who is signed in, and whether the last session ended without a sign-out. */
export const useSession = () => useValue(session);

const instance = new Value<InstanceState>("ready");
client.onState(instance.set);

/** Does the instance answer, or is it waking up? Calls wait for it by themselves; this is only for the page to say so. */
export const useInstanceState = () => useValue(instance);

/** How the event stream stands. */
export function useRealtimeState() {
  return useSyncExternalStore(client.realtime.onStateChange, () => client.realtime.state);
}

/** A list that stays what the server would answer. `records` is undefined until the first answer. */
export function useLive<K extends keyof Schema>(collection: K, options: LiveOptions = {}) {
  const [query, setQuery] = useState<LiveQuery<Schema[K]>>();
  const [failure, setFailure] = useState<PicoBaseError>();
  const [round, setRound] = useState(0);
  const wanted = JSON.stringify(options);

  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    client
      .collection(collection)
      .live({ ...(JSON.parse(wanted) as LiveOptions), signal })
      .then(
        (live) => (signal.aborted ? live.close() : setQuery(live)),
        (error: PicoBaseError) => signal.aborted || setFailure(error),
      );
    return () => {
      stop.abort();
      setQuery(undefined);
      setFailure(undefined);
    };
  }, [collection, wanted, round]);

  const subscribe = useCallback((listener: () => void) => query?.subscribe(listener) ?? (() => {}), [query]);
  const records = useSyncExternalStore(subscribe, () => query?.records);
  const stopped = useSyncExternalStore(subscribe, () => query?.error);
  const retry = useCallback(() => setRound((n) => n + 1), []);
  return { records, error: failure ?? stopped ?? undefined, retry };
}

/** Runs something that can fail, one at a time, and keeps its error for the page. */
export function useAction<A extends unknown[]>(action: (...args: A) => Promise<unknown>) {
  const [pending, start] = useTransition();
  const [error, setError] = useState<PicoBaseError>();
  const run = (...args: A) => {
    setError(undefined);
    start(async () => {
      try {
        await action(...args);
      } catch (failure) {
        setError(failure as PicoBaseError);
      }
    });
  };
  return { run, pending, error };
}
