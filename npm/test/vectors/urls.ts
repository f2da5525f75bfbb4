/** Addresses: base URL, paths, queries, filters, file URLs, cookies. */
import { createClient, fromCookies, toCookies } from "@picobase/client";
import { Script } from "../support/script.js";
import { failure } from "../support/world.js";

const nothing = JSON.stringify({ page: 1, perPage: 30, totalItems: 0, totalPages: 0, items: [] });

/** A client that is closed when `use` has ended, and whose every request is answered by an empty page. */
async function scripted<T>(url: string, use: (client: ReturnType<typeof createClient>, script: Script) => Promise<T>): Promise<T> {
  const script = new Script((sent) => sent.answer(200, nothing));
  const client = createClient(url, null, { store: "memory", fetch: script.fetch });
  try {
    return await use(client, script);
  } finally {
    client.close();
  }
}

/** The same addresses by the core, as they are sent, and by the synchronous functions. */
export function base_url(given: any): Promise<unknown> {
  return scripted(given.url, async (client, script) => {
    const call = client.send(given.path ?? "/api/health");
    let base: string;
    try {
      base = client.baseURL;
    } catch (error: any) {
      const told = await failure(call);
      if (told.kind !== error.kind) throw new Error(`the core says ${told}, the facade ${error}`);
      throw told;
    }
    await call;
    const joined = script.last!.url;
    return { base, origin: new URL(base).origin, joined: given.path ? joined : undefined };
  });
}

export function path(given: any): Promise<unknown> {
  const p = given.params;
  return scripted("https://h", async (client, script) => {
    const calls: Record<string, () => Promise<unknown>> = {
      "/api/collections/{c}/records/{id}": () => client.collection(p.c).getOne(p.id),
      "/api/collections/{c}/records": () => client.collection(p.c).getList(),
      "/api/files/{c}/{id}/{name}": () => client.storage.download({ collectionId: p.c, id: p.id }, p.name),
      "/api/rpc/{name}": () => client.rpc(p.name),
      "/api/backups/{key}": () => client.backups.delete(p.key),
      "/api/health": () => client.health.check(),
      "/api/collections/{c}/truncate": () => client.collections.truncate(p.c),
    };
    const call = calls[given.template];
    if (!call) throw new Error(`no call has the path ${given.template}`);
    await call().catch((error) => {
      // An answer that a call does not like tells nothing about its path.
      if (error.kind !== "Decode") throw error;
    });
    return { path: script.last!.path };
  });
}

/** A value of a query or a filter, as a user would pass it. */
function value(given: any): any {
  const keys = given && typeof given === "object" && !Array.isArray(given) ? Object.keys(given) : [];
  if (keys.length !== 1) return given;
  if (keys[0] === "$date") return new Date(given.$date);
  if (keys[0] === "$float") return { nan: NaN, inf: Infinity, "-inf": -Infinity }[given.$float as string];
  return given;
}

/** `[[name, value], …]` as a user would pass them. */
export const queryOf = (params: [string, any][] = []): [string, any][] => params.map(([name, given]) => [name, value(given)]);

export function query(given: any): Promise<unknown> {
  return scripted("https://h", async (client, script) => {
    await client.send("/api/x", { query: queryOf(given.params) });
    return { query: script.last!.url.replace(/^[^?]*\??/, "") };
  });
}

export async function filter(given: any): Promise<unknown> {
  const serverVersion = ({ new: "0.39.9", old: "0.39.8" } as Record<string, string>)[given.server];
  if (!serverVersion) throw new Error(`no such server: ${given.server}`);
  const params = Object.fromEntries(Object.entries(given.params ?? {}).map(([name, one]) => [name, value(one)]));
  const client = createClient("https://h", null, { store: "memory", serverVersion });
  try {
    return { filter: client.filter(given.template, params) };
  } finally {
    client.close();
  }
}

export function file_urls({ base, record, filename, thumb, download, token }: any): Promise<unknown> {
  return scripted(base, async (client) => {
    const options = { thumb, download, token };
    const url = client.storage.getUrl(record, filename, options);
    if (client.files.getURL(record, filename, options) !== url) throw new Error("getURL and getUrl differ");
    return { url };
  });
}

export async function cookies(given: any, wanted: any): Promise<unknown> {
  if ("cookie_header" in given) return { session: fromCookies(given.cookie_header, given.name) };
  const { name, path, domain, max_age: maxAge, secure, http_only: httpOnly, same_site: sameSite } = given.options ?? {};
  const made = toCookies(given.session, { name, path, domain, maxAge, secure, httpOnly, sameSite }, given.existing);
  const cookies = made.map((cookie, n) => {
    if (new TextEncoder().encode(cookie).length > 4096) throw new Error(`a cookie of more than 4096 bytes: ${cookie}`);
    const [pair, ...attributes] = cookie.split("; ");
    const at = pair!.indexOf("=");
    // Attributes are a set: those that are the wanted ones stand in the wanted order.
    const right = wanted.cookies[n]?.attributes;
    const same = right && [...right].sort().join() === [...attributes].sort().join();
    return { name: pair!.slice(0, at), value: pair!.slice(at + 1), attributes: same ? right : attributes };
  });
  return { cookies };
}
