/**
 * One side in a process of its own, so that its compiler, its garbage and its threads count for nobody else.
 *
 *   node node.mjs SIDE URL REPLAY START    SIDE: picobase, pocketbase, fetch, http; URL: of the server; REPLAY: of the burst
 *
 * The parent sends `{ row, calls, ids }` and gets `{ cpu, wall }` in microseconds for all calls together. With START in
 * place of a parent it gets one record and prints how many milliseconds that took since before the import.
 */
import http from "node:http";
import { bare, byFetch, picobase, pocketbase, take } from "./sides.mjs";

const agent = new http.Agent({ keepAlive: true });

/** By node:http. */
function byHttp(url) {
  return new Promise((resolve, reject) => {
    http.get(url, { agent }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => {
        if (response.statusCode == 200) resolve(Buffer.concat(pieces).toString());
        else reject(new Error(`${response.statusCode} ${url}`));
      });
      response.on("error", reject);
    }).on("error", reject);
  });
}

/** Events by node:http: no more than cutting the stream, decoding, and the subscription. Resolves with how to stop. */
function listen(url, each) {
  return new Promise((resolve, reject) => {
    let rest = "";
    const told = async (message) => {
      const data = JSON.parse(message.slice(message.indexOf("data:") + 5));
      if (data.action) return each(data);
      const submit = { clientId: data.clientId, subscriptions: ["bulk/*"] };
      await fetch(`${url}/api/realtime`, { method: "POST", body: JSON.stringify(submit), headers: { "content-type": "application/json" } });
      resolve(() => request.destroy());
    };
    const request = http.get(`${url}/api/realtime`, (response) => {
      response.setEncoding("utf8");
      response.on("data", (piece) => {
        const messages = (rest + piece).split("\n\n");
        rest = messages.pop();
        messages.forEach((message) => void told(message).catch(reject));
      });
      response.on("error", () => {});
    });
    request.on("error", reject);
  });
}

const sides = {
  picobase: async (url) => picobase((await import("@picobase/client")).createClient, url),
  pocketbase: async (url) => pocketbase((await import("pocketbase")).default, url),
  fetch: async (url) => bare(byFetch, url),
  http: async (url) => ({ ...bare(byHttp, url), burst: (ask) => take((each) => listen(url, each), ask) }),
};

const [name, url, replay, start] = process.argv.slice(2);

if (start) {
  const before = performance.now();
  await (await sides[name](url)).get_one(start);
  console.log(performance.now() - before);
  process.exit();
}

if (name == "pocketbase") globalThis.EventSource = (await import("eventsource")).EventSource;
const side = await sides[name](url);
// A burst comes from a server of its own, which does nothing else.
const listener = await sides[name](replay);
const ask = async () => {
  await fetch(`${replay}/burst`, { method: "POST" });
};

/** Does a batch and says what it cost. */
async function batch({ row, calls, ids }) {
  const began = performance.now();
  const before = process.cpuUsage();
  for (let i = 0; i < calls; i++) {
    if (row == "burst") await listener.burst(ask);
    else await side[row](ids[i % ids.length]);
  }
  const { user, system } = process.cpuUsage(before);
  return { cpu: user + system, wall: (performance.now() - began) * 1000 };
}

process.on("message", async (asked) => {
  try {
    process.send(await batch(asked));
  } catch (error) {
    process.send({ error: error.stack });
  }
});
process.send({});
