/** Single calls: their headers, what an answer means, and what is tried again. */
import { type Client, createClient, PicoBaseError } from "@picobase/client";
import { FakeClock, ready } from "../support/clock.js";
import { Script, type Sent } from "../support/script.js";
import { failure, inNode } from "../support/world.js";
import { Skipped } from "./run.js";

const START = 1_800_000_000_000;

/** A client with a clock, against a script. */
async function world<T>(
  clock: FakeClock,
  make: (script: Script) => Client<any>,
  use: (client: Client<any>, script: Script) => Promise<T>,
  answer?: (sent: Sent) => void,
): Promise<T> {
  const script = new Script(answer);
  let client: Client<any> | undefined;
  try {
    client = make(script);
    await ready(client);
    return await use(client, script);
  } finally {
    client?.close();
    await clock.rest();
    clock.end();
  }
}

const exp = (token: string): number => JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))).exp;

export function headers(given: any): Promise<unknown> {
  const { key, session, server_side, accept_language: acceptLanguage, user_headers } = given;
  const isJwt = /^eyJ[^.]*\.eyJ/.test(key?.trim() ?? "");
  if (isJwt && server_side !== inNode) throw new Skipped(`superusers' keys ${server_side ? "on a server" : "in a page"}`);
  const clock = new FakeClock(START, false);
  const make = (script: Script) => createClient("https://h", key, { store: "memory", acceptLanguage, fetch: script.fetch });
  return world(clock, make, async (client, script) => {
    if (session) await client.auth.setSession({ token: session.token, record: { id: "u1" } });
    if (session && session.state !== "live") clock.set(exp(session.token) * 1000);
    if (session?.state === "ended") {
      const ending = client.collection("posts").getList().catch(() => {});
      await clock.rest();
      script.last!.answer(401, '{"status":401,"message":"no","data":{}}');
      await ending;
    }
    const before = script.requests.length;
    const call = given.call === "open" ? client.health.check({ headers: user_headers }) : client.collection("posts").getList(1, 1, { headers: user_headers });
    const ended = call.then(
      () => undefined,
      (error) => error,
    );
    await clock.rest();
    const [sent, more] = script.requests.slice(before);
    if (!sent) throw await ended;
    if (more) throw new Error("more than one request was sent");
    const asks = sent.path.endsWith("/auth-refresh");
    if (asks !== (session?.state === "expired" && given.call !== "open")) throw new Error(`${sent.path} was sent`);
    const names = ["accept-language", "authorization", "x-picobase-key"];
    // A call that must wait for the question has sent nothing yet; the question alone carries the expired token.
    const hidden = asks && given.call !== "question" ? ["authorization"] : [];
    const headers = Object.fromEntries(names.flatMap((name) => (sent.headers.has(name) ? [[name, sent.headers.get(name)]] : [])));
    if (hidden.length && headers.authorization !== session.token) throw new Error("the question does not carry the token");
    if (hidden.length) {
      delete headers.authorization;
      if (key) headers.authorization = `Bearer ${key}`;
    }
    return { headers };
  });
}

export async function redirects({ status, location, base }: any): Promise<unknown> {
  const script = new Script((sent) => sent.answer(status, "", location === null ? {} : { location }));
  const client = createClient(base, null, { store: "memory", fetch: script.fetch });
  try {
    throw await failure(client.health.check());
  } finally {
    client.close();
  }
}

export function errors(given: any, wanted: any): Promise<unknown> {
  const { status, content_type, body, endpoint, call, now } = given;
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const clock = new FakeClock(now ?? 0, true);
  const url = new URL(call.url);
  const make = (script: Script) => createClient(url.origin, null, { store: "memory", maxRetries: 0, fetch: script.fetch });
  const answer = (sent: Sent) => {
    const headers = { ...given.headers, ...(content_type && { "content-type": content_type }) };
    const read = sent.init.body instanceof ReadableStream ? new Response(sent.init.body).arrayBuffer() : Promise.resolve();
    void read.then(() => sent.answer(status, text, headers));
  };
  return world(
    clock,
    make,
    async (client, script) => {
      // Of a stream that was taken nothing can be sent again, so that one answer stands where others would be waited for.
      const once = () => client.send(url.pathname, { method: "POST", body: new Response("x").body });
      const doing = (status === 503 ? once() : start(client, endpoint, call)).then(
        () => ({ ok: true }),
        (error) => {
          if (!(error instanceof PicoBaseError)) throw error;
          // The script's URL: a list has its own parameters in it.
          const sent = script.requests[0]!.url;
          return shown(error, wanted, sent === call.url ? error.url : (error.url?.replace(/\?.*/, "") ?? null), url);
        },
      );
      await clock.until(() => script.requests[0]?.over);
      for (let n = 0; n < 4; n++) await clock.goTo(clock.now + 30_000);
      return doing;
    },
    answer,
  );
}

/** A call that expects such an answer, on that URL where there is one. */
function start(client: Client<any>, endpoint: string, { method, url }: { method: string; url: string }): Promise<unknown> {
  const { pathname, search } = new URL(url);
  const [, , kind, collection, , id] = pathname.split("/");
  if (endpoint === "auth") return client.auth.signIn("a@example.com", "secret");
  if (endpoint === "batch") {
    const batch = client.createBatch();
    for (let n = 0; n < 3; n++) batch.collection("posts").create({ title: "a" });
    return batch.send();
  }
  if (endpoint === "empty") return client.collection(collection!).delete(id!);
  if (method === "POST") return client.collection(collection!).create({ title: "a" });
  if (method === "PATCH") return client.settings.update({});
  if (kind === "files" || search) return client.send(pathname + search, { method });
  return id ? client.collection(collection!).getOne(id) : client.collection(collection!).getList();
}

/** An error as the vectors write it. Where they say what a text must mention, those that it does mention are told. */
function shown(error: PicoBaseError, wanted: any, url: string | null, call: URL): unknown {
  const mentioned = (text: string, all: string[] = []) => all.filter((one) => text.includes(one));
  const body = error.body ?? "";
  const most = wanted.body_excerpt_max ?? Infinity;
  const length = [...body].length;
  return {
    kind: error.kind,
    status: error.status,
    code: error.code,
    message: error.message,
    message_mentions: mentioned(error.message, wanted.message_mentions),
    fields: error.fields,
    mfa_id: error.mfaId,
    retry_after_ms: error.retryAfter,
    item: error.item,
    url: wanted.url && new URL(wanted.url).pathname === call.pathname ? url : wanted.url,
    has_fix: error.fix !== "",
    fix_mentions: mentioned(error.fix, wanted.fix_mentions),
    body_excerpt_mentions: mentioned(body, wanted.body_excerpt_mentions),
    body_excerpt_max: length <= most ? wanted.body_excerpt_max : length,
  };
}

/** What Node says of connections that fail. Pages are told nothing, so there all of it is `broken`. */
const codes: Record<string, string> = { refused: "ECONNREFUSED", broken: "ECONNRESET", tls: "CERT_HAS_EXPIRED", unknown_host: "ENOTFOUND" };

export function retry_policy({ method, safe, outcome, replayable, bytes_taken }: any): Promise<unknown> {
  const [kind, status] = outcome.split(":");
  if (!inNode && ["refused", "tls", "unknown_host"].includes(kind)) throw new Skipped("pages are not told why a connection failed");
  if (!inNode && !replayable && !bytes_taken) throw new Skipped("pages read a stream to its end before they send it");
  const clock = new FakeClock(START, true);
  const make = (script: Script) => createClient("https://h", null, { store: "memory", fetch: script.fetch });
  return world(clock, make, async (client, script) => {
    const piece = new TextEncoder().encode("abc");
    const stream = () => new ReadableStream({ start: (c) => (c.enqueue(piece), c.close()) });
    const hasBody = !["GET", "HEAD", "DELETE"].includes(method);
    const body = !hasBody ? undefined : replayable ? new Blob([piece]) : stream();
    const call = client.send("/api/one", { method, body, safe }).catch(() => {});
    await clock.until(() => script.requests[0]);
    const first = script.requests[0]!;
    if (bytes_taken) await new Response(first.init.body as BodyInit).arrayBuffer();
    if (kind === "status") first.answer(+status, status === "200" ? "{}" : "");
    else first.break(codes[kind]);
    await clock.rest();
    // Another call tells whether the gate is closed: it then waits, and does not go out at once.
    const other = client.send("/api/two").catch(() => {});
    await clock.rest();
    const gate = script.requests.some((sent) => sent.path === "/api/two") ? "none" : "close";
    // Whoever asks whether the instance is awake again is told that it is.
    const awake = () => script.requests.forEach((sent) => sent.path !== "/api/one" && sent.waits && sent.answer(200, "{}"));
    for (let n = 0; n < 4; n++) {
      await clock.goTo(clock.now + 300);
      awake();
    }
    await clock.goTo(clock.now + 1000);
    const retry = script.requests.filter((sent) => sent.path === "/api/one").length > 1;
    client.close();
    await Promise.all([call, other]);
    return { retry, gate };
  });
}
