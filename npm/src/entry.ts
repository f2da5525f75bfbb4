/** Makes `createClient` for a platform. */
import { type AnySchema, type Client, type ClientOptions, open } from "./client.js";
import { createEngine } from "./core/engine.js";
import type { Platform } from "./core/platform.js";

/**
 * Makes a client. It can be used at once: the WebAssembly module loads with the first client, and calls wait for it.
 *
 * `url` and `key` (the instance's API key) come from `PICOBASE_URL` and `PICOBASE_API_KEY` where no URL is given and there is an
 * environment. A client without a URL can be given one with `setUrl`. What is wrong with the configuration every call tells,
 * with kind `Configuration`.
 *
 * ```ts
 * const client = createClient("https://my-app.picobase.com", "pk_…", { timeout: 10_000 });
 * ```
 */
export type CreateClient = <S = AnySchema>(url?: string | URL | null, key?: string | null, options?: ClientOptions) => Client<S>;

/** @internal */
export function entry(platform: Platform): CreateClient {
  return (url, key, options = {}) => open(platform, createEngine(platform, options.fetch), url, key, options);
}
