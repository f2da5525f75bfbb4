/**
 * Filters with values put in safely, and how values are written. Synchronous, so in TypeScript; `filter.json` and
 * `query.json` of the shared vectors prove that the core writes the same.
 */
import { fail } from "./error.js";

/** What may stand for a placeholder of a filter, or in a query. Lists and objects are written as their JSON. */
export type Value = string | number | bigint | boolean | Date | null | readonly unknown[] | { [key: string]: any };

/**
 * Puts values into the `{:name}` placeholders of a filter. What a user typed belongs into these, never into the text.
 *
 * Text is quoted, dates become `"YYYY-MM-DD HH:MM:SS.mmmZ"`, numbers are written in plain decimals. Values are never
 * looked at again: one that contains `{:other}` stays as it is.
 *
 * `serverVersion` matters only for servers before 0.39.9, where backslashes are plain characters; `client.filter` knows it
 * from the option of that name.
 *
 * Throws a PicoBaseError of kind `Validation` for a placeholder that has no value or stands inside quotes, for numbers and
 * dates that cannot be written, and for NUL characters.
 *
 * ```ts
 * filter("title ~ {:title} && views > {:views}", { title: '"hi"', views: 3 }); // title ~ "\"hi\"" && views > 3
 * ```
 */
export function filter(template: string, params: Record<string, Value> = {}, serverVersion?: string | null): string {
  const plain = isBeforeEscapes(serverVersion);
  // A placeholder, or a whole literal or comment, in which none may stand.
  const pieces = new RegExp(`{:(\\w+)}|(["'])(?:\\\\${plain ? "\\2" : "."}|(?!\\2).)*\\2?|//[^\\n]*`, "gs");
  return template.replace(pieces, (piece: string, name: string | undefined, quote: string | undefined) => {
    if (!name) {
      const inside = /{:\w+}/.exec(plain || !quote ? piece : piece.replace(/\\./gs, " "))?.[0];
      if (!inside) return piece;
      invalid(`${inside} stands inside ${quote ? "quotes" : "a comment"}`, "Write it without quotes: the value brings its own.");
    }
    const value = Object.hasOwn(params, name) ? params[name] : undefined;
    if (value === undefined) invalid(`{:${name}} has no value`, "Pass a value of that name.");
    const text = written(value, `the value for {:${name}}`);
    return text === null || /^(bigint|number|boolean)$/.test(typeof value) ? `${text}` : literal(text, name, plain);
  });
}

/** Do quotes alone have an escape in the filters of that server? */
function isBeforeEscapes(version: string | null | undefined): boolean {
  const [major = 0, minor = 0, patch = 0] = (version ?? "1").trim().replace("v", "").split(/[.+-]/).map(Number);
  return (major * 1e3 + minor) * 1e3 + patch < 39009;
}

function literal(text: string, name: string, plain: boolean): string {
  if (text.includes("\0")) invalid(`the text for {:${name}} has a NUL character`, "Take it out: the server refuses it.");
  if (plain && text.endsWith("\\")) {
    invalid(`the text for {:${name}} ends in a backslash`, "Servers up to 0.39.8 cannot express that; compare with ~ and leave it out.");
  }
  return `"${text.replace(plain ? /"/g : /["\\]/g, "\\$&")}"`;
}

/**
 * How a value stands in a query, before it is encoded, and in a filter, before it is quoted; null for null.
 *
 * @internal
 */
export function written(value: unknown, what: string): string | null {
  if (value === null || typeof value == "string") return value;
  if (typeof value == "number") return Number.isFinite(value) ? decimals(value) : unwritable(what);
  if (value instanceof Date) {
    const text = Number.isNaN(+value) ? "" : value.toISOString();
    return /^(?!0000)\d{4}-/.test(text) ? text.replace("T", " ") : unwritable(what);
  }
  return (typeof value == "object" ? JSON.stringify(value) : String(value)) ?? unwritable(what);
}

/** The shortest decimals that read back as the same number, without an exponent. */
function decimals(value: number): string {
  const [mantissa, exponent] = String(value).split("e") as [string, string?];
  if (!exponent) return mantissa;
  const digits = mantissa.replace(/\D/g, "");
  return (value < 0 ? "-" : "") + (+exponent < 0 ? "0." + "0".repeat(-exponent - 1) + digits : digits.padEnd(+exponent + 1, "0"));
}

function unwritable(what: string): never {
  invalid(`${what} cannot be written`, "Numbers must be finite, and dates of the years 1 to 9999.");
}

function invalid(message: string, fix: string): never {
  fail("Validation", message, fix);
}
