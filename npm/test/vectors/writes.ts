/** Bodies of writes: forms and batches. */
import { type Client, createClient } from "@picobase/client";
import type { Proxy } from "../support/kit.js";
import { Script } from "../support/script.js";
import { queryOf } from "./urls.js";

/** A file of one byte; without a name it is a Blob, which has none. */
function file({ filename, content_type: type = "" }: any): Blob {
  return filename === undefined ? new Blob(["x"], { type }) : new File(["x"], filename, { type });
}

/** A body with its files in their fields, in order. */
function withFiles(body: any, files: any[] = []): any {
  const all = { ...body };
  for (const one of files) all[one.field] = one.field in all && Array.isArray(all[one.field]) ? [...all[one.field], file(one)] : [file(one)];
  return all;
}

/** Op.Create, see src/core/ops.ts. */
const CREATE = 26;

/** Creates a record; where fields take turns only the operation itself can say that. */
function create(client: Client<any>, body: any, files: any[]): Promise<unknown> {
  const fields = files.map((one) => one.field);
  const takeTurns = fields.some((field, n) => fields.indexOf(field) < n && fields[n - 1] !== field);
  if (!takeTurns) return client.collection("posts").create(withFiles(body, files));
  const parts = files.map((one) => [one.field, one.filename ?? null, one.content_type ?? null, file(one)]);
  return (client as any).call(CREATE, ["posts", body, parts, false, null]);
}

/** The bytes of a form as they arrive, part by part: what is really sent, whatever a platform makes of names. */
function partsOf(text: string, contentType: string, wanted: any[] = []): any[] {
  const boundary = /boundary="?([^";]+)/.exec(contentType)![1]!;
  return text
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((part, n) => {
      const at = part.indexOf("\r\n\r\n");
      const head = part.slice(2, at).split("\r\n");
      const disposition = head.find((line) => /^content-disposition:/i.test(line))!.replace(/^[^:]*: */, "");
      const type = head.find((line) => /^content-type:/i.test(line))?.replace(/^[^:]*: */, "");
      const [, name, filename] = /name="([^"]*)"(?:; filename="([^"]*)")?/.exec(disposition)!;
      // `%22` may be a quote, or that very text.
      const plain = (text: string, wanted = text) => (wanted.replace(/["\r\n]/g, encodeURIComponent) === text ? wanted : text);
      const content = part.slice(at + 4, -2);
      if (filename === undefined) return { name: plain(name!, wanted[n]?.name), disposition, json: JSON.parse(content) };
      if (content !== "x") throw new Error(`the content of ${filename} is ${JSON.stringify(content)}`);
      return { name: plain(name!, wanted[n]?.name), disposition, filename: plain(filename, wanted[n]?.filename), content_type: type };
    });
}

export async function multipart(client: Client<any>, proxy: Proxy, given: any, wanted: any): Promise<unknown> {
  await proxy.forget();
  const { error } = await create(client, given.body, given.files).then(() => ({ error: null }), (error) => ({ error }));
  const [sent] = await proxy.requests();
  if (!sent) throw error;
  const type = sent.headers["content-type"] ?? "";
  if (type.startsWith("application/json")) return { json_body: JSON.parse(sent.body) };
  const parts = partsOf(sent.body, type, wanted.parts);
  return { parts: parts.map((part, n) => Object.fromEntries(Object.entries(part).filter(([name]) => name in (wanted.parts[n] ?? part)))) };
}

export async function batch({ requests, limit }: any): Promise<unknown> {
  const script = new Script((sent) => {
    if (sent.path !== "/api/batch") return sent.answer(200, "{}");
    void sent.body().then(({ json, form }) => {
      const count = (json ?? JSON.parse(form!.get("@jsonPayload") as string)).requests.length;
      sent.answer(200, JSON.stringify(Array.from({ length: count }, () => ({ status: 200, body: {} }))));
    });
  });
  const client = createClient("https://h", null, { store: "memory", fetch: script.fetch });
  try {
    const batch = client.createBatch();
    for (const { op, collection, id, body, query, headers, files } of requests) {
      const posts = batch.collection(collection);
      const options = { query: queryOf(query), headers };
      const full = files ? withFiles(body, files) : body;
      if (op === "create") posts.create(full, options);
      else if (op === "update") posts.update(id ?? "", full, options);
      else if (op === "upsert") posts.upsert(full, options);
      else if (op === "delete") posts.delete(id ?? "", options);
      else throw new Error(op);
    }
    if (limit === undefined) await batch.send();
    else {
      const { error } = await batch.sendChunked({ size: limit });
      if (error) throw error;
    }
    const sent = await Promise.all(script.requests.map((one) => one.body()));
    const payloads = sent.map(({ json, form }) => json ?? JSON.parse(form!.get("@jsonPayload") as string));
    const parts = sent.map(({ form }) => (form ? [...form.keys()].slice(1) : []));
    if (limit === undefined) return { payload: payloads[0], parts: parts[0] };
    return { chunks: payloads.map((payload) => payload.requests.length), chunk_parts: parts.filter((names) => names.length) };
  } finally {
    client.close();
  }
}
