/** What a user gives to create and update: splits it into JSON and the files. */
import type { FilePart } from "./core/ops.js";
import { fail } from "./error.js";

/** What a file may be. On Node also a Readable, and what `fs.openAsBlob` gives. */
export type FileData = Blob | ArrayBuffer | ArrayBufferView | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/** The fields of a record, files among them, or a form. */
export type Body = { [field: string]: any } | FormData;

/**
 * The JSON of a body and its files. An object without files is passed on as it is, and never copied.
 *
 * Names of files that stand in a list with new ones stay in the JSON: the server puts both together.
 *
 * @internal
 */
export function split(body: Body | null | undefined): [json: object, files: FilePart[]] {
  const files: FilePart[] = [];
  const source = body instanceof FormData ? objectOf(body) : (body ?? {});
  let json = source;
  for (const [field, value] of Object.entries(source)) {
    const list: unknown[] = Array.isArray(value) ? value : [value];
    const found = list.filter(isFile);
    if (!found.length) continue;
    for (const data of found as any[]) files.push([field, data.name ?? null, data.type || null, data]);
    const { [field]: _, ...rest } = json as Record<string, unknown>;
    json = found.length < list.length ? { ...rest, [field]: list.filter((item) => !isFile(item)) } : rest;
  }
  return [json, files];
}

/** @internal */
export function isFile(value: any): value is FileData {
  return (
    !!value &&
    typeof value == "object" &&
    ("arrayBuffer" in value || "getReader" in value || Symbol.asyncIterator in value || ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
  );
}

/**
 * Fails where a file is wanted and nobody has chosen one: what is created would be there without it.
 *
 * @internal
 */
export function noFile(): never {
  fail("Validation", "there is no file to upload", "Pass a File, Blob or bytes.");
}

/** A form as an object: names that stand several times are lists, `@jsonPayload` is what it says. */
function objectOf(form: FormData): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const name of new Set(form.keys())) {
    const values = form.getAll(name).map((value) => (typeof value == "string" ? inferred(value) : value));
    if (name == "@jsonPayload") for (const payload of form.getAll(name)) Object.assign(fields, JSON.parse(payload as string));
    else fields[name] = values.length > 1 ? values : values[0];
  }
  return fields;
}

/** The text of a form's field as the server reads it: booleans and numbers are such. */
function inferred(text: string): unknown {
  return text == "true" || text == "false" || (/^-?\d/.test(text) && text == `${+text}`) ? JSON.parse(text) : text;
}
