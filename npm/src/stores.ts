/** Where a session is kept between page loads and runs. */
import type { Platform } from "./core/platform.js";
import type { SessionStore } from "./core/ops.js";
import { parseSession, type StoredSession } from "./token.js";

/** What keeps texts by name: localStorage, sessionStorage, React Native's AsyncStorage. */
export interface ItemStorage {
  getItem(key: string): string | null | undefined | Promise<string | null | undefined>;
  setItem(key: string, value: string): unknown;
  removeItem(key: string): unknown;
}

/** `"local"`: what the platform has (localStorage in pages; else memory). `"memory"`: it ends with the client. Or a store of one's own. */
export type StoreOption = "local" | "memory" | SessionStore | ItemStorage;

/** Under which name PocketBase's SDK keeps its session. */
const KEY = "pocketbase_auth";

/**
 * The store of a client; null: in memory.
 *
 * @internal
 */
export function storeOf(option: StoreOption | null | undefined, platform: Platform, key = KEY): SessionStore | null {
  if (option == "memory") return null;
  if (!option || typeof option == "string") return forgiving(platform.store(key));
  return "load" in option ? option : storeIn(option, key);
}

/**
 * A store in what keeps texts by name. Untyped, for it serves both kinds: a browser's answers at once, a user's may answer later or `undefined`.
 *
 * @internal
 */
export function storeIn(storage: ItemStorage, key: string): any {
  return {
    load: () => storage.getItem(key),
    save: (session: string) => storage.setItem(key, session),
    clear: () => storage.removeItem(key),
  };
}

/**
 * What the store holds, where it can be said at once: so the first paint of a page knows who is signed in. A store of one's
 * own is only asked by the core, once.
 *
 * @internal
 */
export function peek(option: StoreOption | null | undefined, store: SessionStore | null, key = KEY): StoredSession | null {
  const own = option && typeof option == "object";
  const text = own ? "getItem" in option && option.getItem(key) : store?.load();
  return typeof text == "string" ? parseSession(text) : null;
}

/**
 * Calls `changed` when another tab has changed what is kept under that name; returns how to stop.
 *
 * @internal
 */
export function onOtherTabs(key = KEY, changed: () => void): () => void {
  const stop = new AbortController();
  const heard = (event: any) => {
    // null: all of it was cleared.
    if (event.key == null || event.key == key) changed();
  };
  if (globalThis.document) globalThis.addEventListener("storage", heard, stop);
  return () => stop.abort();
}

/** A full or forbidden localStorage is no error of a sign-in: the session then lives as long as the page. */
function forgiving(store: SessionStore | null): SessionStore | null {
  const tried = <A extends unknown[], R>(work: (...args: A) => R) => (...args: A): R | null => {
    try {
      return work(...args);
    } catch {
      return null;
    }
  };
  return store && { load: tried(store.load) as any, save: tried(store.save) as any, clear: tried(store.clear) as any };
}
