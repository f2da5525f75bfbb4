/**
 * How values are written where they cross into the module and out of it. The table of tags stands in
 * `bindings-wasm/src/frame.rs`, the other side.
 */

/** JSON text that is to be a value on the other side. */
export class JsonText {
  constructor(readonly text: string) {}
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

/** Values of JavaScript that the module holds, by number. */
export class Handles {
  #values: unknown[] = [,];
  #free: number[] = [];

  add(value: unknown): number {
    const handle = this.#free.pop() ?? this.#values.length;
    this.#values[handle] = value;
    return handle;
  }

  get(handle: number): any {
    return this.#values[handle];
  }

  /** Forgets it. */
  release(handle: number): void {
    const value = this.#values[handle];
    this.#values[handle] = undefined;
    this.#free.push(handle);
    if (value instanceof Body && !value.taken) value.abort();
  }

  get size(): number {
    return this.#values.length - 1 - this.#free.length;
  }
}

/** Writes values. Used again and again, so that nothing is allocated for most calls. */
export class Writer {
  bytes = new Uint8Array(1024);
  length = 0;
  readonly #handles: Handles;

  constructor(handles: Handles) {
    this.#handles = handles;
  }

  /** Itself, empty. */
  begin(): this {
    this.length = 0;
    return this;
  }

  #room(more: number): void {
    if (this.length + more > this.bytes.length) {
      const larger = new Uint8Array((this.length + more) * 2);
      larger.set(this.bytes);
      this.bytes = larger;
    }
  }

  #tag(tag: number, number?: number): void {
    this.#room(5);
    this.bytes[this.length++] = tag;
    if (number != null) for (let i = 0; i < 4; i++) this.bytes[this.length++] = number >>> (8 * i);
  }

  #float(value: number): void {
    this.#room(8);
    new DataView(this.bytes.buffer).setFloat64(this.length, value, true);
    this.length += 8;
  }

  #text(tag: number, text: string): void {
    this.#room(5 + text.length * 3);
    const { written } = utf8.encodeInto(text, this.bytes.subarray(this.length + 5));
    this.#tag(tag, written);
    this.length += written;
  }

  /** Any value; `json`: lists are JSON too and cross as handles. */
  put(value: any, json?: boolean): void {
    const type = typeof value;
    if (value == null) this.#tag(0);
    else if (type == "string") this.#text(3, value);
    else if (type == "number") this.#text(4, `${value}`);
    else if (type == "boolean") this.#tag(value ? 1 : 2);
    else if (value instanceof JsonText) this.#text(7, value.text);
    else if (!json && Array.isArray(value)) this.list(value);
    else if (!json && value instanceof Date) {
      this.#tag(8);
      this.#float(+value);
    } else if (!json && isSource(value)) {
      const data = value instanceof Tracked ? value.data : value;
      this.#tag(12, this.#handles.add(value));
      this.#float(data.size ?? data.byteLength ?? -1);
      this.#room(1);
      this.bytes[this.length++] = +!isStream(data);
    } else this.#tag(6, this.#handles.add(value));
  }

  /** A list of values. */
  list(values: any[], json?: boolean): void {
    this.#tag(5, values.length);
    for (const value of values) this.put(value, json);
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#tag(9, bytes.length);
    this.#room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
}

/** Can it be read only once? */
export const isStream = (data: any): boolean => data instanceof Body || "getReader" in data || Symbol.asyncIterator in data;

/** Bytes that the platform sends itself: files, streams, forms. */
function isSource(value: any): boolean {
  return (
    value instanceof Tracked ||
    value instanceof Body ||
    value instanceof ArrayBuffer ||
    ArrayBuffer.isView(value) ||
    "arrayBuffer" in value ||
    "getReader" in value ||
    Symbol.asyncIterator in value ||
    (typeof FormData != "undefined" && value instanceof FormData)
  );
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
        return decoder.decode(piece());
      case 5:
        return list();
      case 6:
        return handles.get(size());
      case 7:
        return JSON.parse(decoder.decode(piece()));
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
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes);
