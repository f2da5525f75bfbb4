/**
 * How values are written where they cross into the module and out of it. The table of tags stands in
 * `bindings-wasm/src/frame.rs`, the other side.
 */
import { isFile } from "../body.js";

/** What is written under a tag of its own: 6 an object as a handle, whatever it is; 7 JSON text; 9 bytes by value, or those of a text. */
export class Tagged {
  constructor(
    readonly tag: 6 | 7 | 9,
    readonly content: any,
  ) {}
}

/** The body of an answer that is read as it comes. It is given up when the module lets go of it, unless somebody took it. */
export class Body {
  reader?: ReadableStreamDefaultReader<Uint8Array>;
  taken = false;
  constructor(
    readonly stream: ReadableStream<Uint8Array>,
    readonly abort: () => void,
  ) {}
}

/** A file whose upload is watched. */
export class Tracked {
  constructor(
    readonly data: any,
    readonly progress: (sent: number, total: number | null) => void,
  ) {}
}

const utf8 = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The next number that is none of the keys. The module has 31 bits for it, and some keys live long. */
export function next(last: number, taken: Map<number, unknown>): number {
  do last = (last % 0x7fffffff) + 1;
  while (taken.has(last));
  return last;
}

/** Values of JavaScript that the module holds, by number. */
export class Handles extends Map<number, any> {
  #last = 0;

  add(value: unknown): number {
    this.set((this.#last = next(this.#last, this)), value);
    return this.#last;
  }

  /** Forgets it. */
  release(handle: number): void {
    const value = this.get(handle);
    this.delete(handle);
    if (value instanceof Body && !value.taken) value.abort();
  }
}

/** Can it be read only once? */
export const isStream = (data: any): boolean => data instanceof Body || "getReader" in data || Symbol.asyncIterator in data;

/** A value within JSON: all but strings, numbers and the like cross as handles, lists and dates too. */
export const json = (value: unknown): unknown => (value === Object(value) ? new Tagged(6, value) : value);

/**
 * Makes what writes values. Its memory is used again and again, so that nothing is allocated for most calls: what it
 * returns holds until the next time. `head` bytes stay free at the beginning; the length of the rest is written there.
 */
export function writerTo(handles: Handles): (values: unknown[], head?: 4) => Uint8Array {
  let bytes = new Uint8Array(1024);
  let length = 0;

  const room = (more: number) => {
    if (length + more <= bytes.length) return;
    const larger = new Uint8Array((length + more) * 2);
    larger.set(bytes);
    bytes = larger;
  };
  const byte = (value: number) => {
    // Also for a number that may follow.
    room(5);
    bytes[length++] = value;
  };
  const number = (value: number) => {
    for (let bit = 0; bit < 32; bit += 8) bytes[length++] = value >>> bit;
  };
  const float = (value: number) => raw(new Uint8Array(Float64Array.of(value).buffer));
  const raw = (more: Uint8Array) => {
    room(more.length);
    bytes.set(more, length);
    length += more.length;
  };
  const tagged = (tag: number, value: number) => {
    byte(tag);
    number(value);
  };
  const text = (tag: number, text: string) => {
    room(5 + text.length * 3);
    const { written } = utf8.encodeInto(text, bytes.subarray(length + 5));
    tagged(tag, written);
    length += written;
  };
  const put = (value: any): void => {
    const type = typeof value;
    if (value == null) byte(0);
    else if (type == "boolean") byte(value ? 1 : 2);
    else if (type == "string") text(3, value);
    else if (type == "number") text(4, `${value}`);
    else if (value instanceof Tagged) {
      const { tag, content } = value;
      if (tag == 6) tagged(6, handles.add(content));
      else if (typeof content == "string") text(tag, content);
      else {
        tagged(9, content.length);
        raw(content);
      }
    } else if (Array.isArray(value)) {
      tagged(5, value.length);
      for (const item of value) put(item);
    } else if (value instanceof Date) {
      byte(8);
      float(+value);
    } else if (value instanceof Tracked || value instanceof Body || value instanceof FormData || isFile(value)) {
      // Bytes that the platform sends itself: files, streams, forms.
      const data: any = value instanceof Tracked ? value.data : value;
      tagged(12, handles.add(value));
      float(data.size ?? data.byteLength ?? -1);
      byte(+!isStream(data));
    } else tagged(6, handles.add(value));
  };
  return (values, head) => {
    length = head ?? 0;
    for (const value of values) put(value);
    const end = length;
    if (head) {
      length = 0;
      number(end - head);
    }
    return bytes.subarray(0, end);
  };
}

/** Reads the values that the module wrote. */
export function read(bytes: Uint8Array, handles: Handles): any[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const size = () => view.getUint32((at += 4) - 4, true);
  const piece = () => {
    const length = size();
    return bytes.subarray(at, (at += length));
  };
  const list = (): any[] => {
    const values = [];
    for (let left = size(); left--; ) values.push(value());
    return values;
  };
  const value = (): any => {
    switch (bytes[at++]) {
      case 1:
        return true;
      case 2:
        return false;
      case 3:
        return decode(piece());
      case 5:
        return list();
      case 6:
        return handles.get(size());
      case 7:
        return JSON.parse(decode(piece()));
      case 9:
        return piece().slice();
      case 10:
        return Object.fromEntries(Array.from({ length: size() }, () => [value(), value()]));
      case 11:
        return view.getFloat64((at += 8) - 8, true);
      default:
        return null;
    }
  };
  const values = [];
  while (at < bytes.length) values.push(value());
  return values;
}

/** The text in memory. */
export const decode = (bytes: Uint8Array): string => decoder.decode(bytes);
