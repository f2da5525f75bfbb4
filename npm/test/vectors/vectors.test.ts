/** The shared test vectors, each topic by the way in which a user would meet it; what nobody sees, by the core's own functions. */
import { beforeAll, describe, expect, test } from "vitest";
import { openProxy, type Proxy } from "../support/kit.js";
import { createClient } from "@picobase/client";
import * as calls from "./calls.js";
import { loadPure, type Pure } from "./pure.js";
import { realtime } from "./realtime.js";
import { hold, nothingIsLeftOut, type Run, same } from "./run.js";
import * as sessions from "./sessions.js";
import * as urls from "./urls.js";
import * as writes from "./writes.js";

let pure: Pure;
let proxy: Proxy;

beforeAll(async () => {
  pure = await loadPure();
});

const of = (topic: string) => (given: any) => pure(topic, given);

/** By the client, and by the core alone: both must hold. */
const both = (topic: string, run: Run) => async (given: any, wanted: any) => {
  if (!wanted) {
    await expect(async () => pure(topic, given), "the core alone fails too").rejects.toThrow();
  } else {
    const out = pure(topic, given);
    expect(same(wanted, out), `the core alone says ${JSON.stringify(out)}`).toBe(true);
  }
  return run(given, wanted);
};

const runners: Record<string, Run> = {
  base_url: urls.base_url,
  path: both("path", urls.path),
  query: urls.query,
  filter: urls.filter,
  file_urls: urls.file_urls,
  cookies: urls.cookies,
  redact: of("redact"),
  redirects: calls.redirects,
  headers: calls.headers,
  errors: calls.errors,
  retry_after: of("retry_after"),
  backoff: ({ attempt, random }) => pure("backoff", { attempt, random: Math.floor(random * 2 ** 32) }),
  retry_policy: calls.retry_policy,
  tokens: (given) => sessions.tokens(pure, given),
  refresh: of("refresh"),
  session_life: sessions.session_life,
  multipart: async (given, wanted) => {
    proxy ??= await openProxy();
    const client = createClient(proxy.url, null, { store: "memory", maxRetries: 0 });
    try {
      return await writes.multipart(client, proxy, given, wanted);
    } finally {
      client.close();
    }
  },
  batch: writes.batch,
  sse: of("sse"),
  realtime,
};

describe("vectors", () => {
  test("no case is left out", () => nothingIsLeftOut(runners));

  for (const [topic, run] of Object.entries(runners)) {
    test(topic, async () => {
      const skipped = await hold(topic, run);
      if (skipped.length) console.info(`${topic}: ${skipped.length} not run here:\n  ${skipped.join("\n  ")}`);
    });
  }
});
