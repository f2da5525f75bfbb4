/** What answers synchronously is written in TypeScript: here the shared vectors prove that it is the same. */
import { describe, expect, it } from "vitest";
import { PicoBaseError } from "../../src/error.js";
import { baseOf, segment, Storage } from "../../src/files.js";
import { filter } from "../../src/filter.js";
import { queryOf } from "../../src/options.js";
import { type Case, vectors } from "./vectors.js";

function check(topic: string, run: (given: any) => unknown, only: (given: any) => boolean = () => true): void {
  const cases = vectors(topic).filter((one) => only(one.in));
  it(`has cases of ${topic}`, () => expect(cases.length).toBeGreaterThan(20));
  it.each(cases)("$name", ({ in: given, out, error }: Case) => {
    if (!error) return expect(run(given)).toEqual(Object.values(out)[0]);
    let failure: any;
    try {
      run(given);
    } catch (e) {
      failure = e;
    }
    expect(failure).toBeInstanceOf(PicoBaseError);
    expect(failure.kind).toBe(error.kind);
    expect(failure.fix).not.toBe("");
    const shown = `${failure.message} ${failure.fix}`.toLowerCase();
    for (const text of error.mentions ?? []) expect(shown).toContain(text.toLowerCase());
    for (const text of error.not_mentions ?? []) expect(shown).not.toContain(text);
  });
}

describe("filter", () => check("filter", (c) => filter(c.template, c.params, c.server === "old" ? "0.39.8" : "0.39.9")));

describe("base_url", () => check("base_url", (c) => baseOf(c.url)));

describe("path", () => check("path", (c) => c.template.replace(/{(\w+)}/g, (_: string, name: string) => segment(c.params[name]))));

describe("file_urls", () =>
  check("file_urls", ({ base, record, filename, ...options }) => new Storage({ url: base } as any).getUrl(record, filename, options)));

describe("query", () =>
  check("query", ({ params }) => {
    const pairs = queryOf({ query: params });
    return pairs.map((text, i) => segmentOrEmpty(text as string) + (i % 2 ? "&" : "=")).join("").slice(0, -1);
  }));

// In a query the core encodes; what stands there is what this proves.
const segmentOrEmpty = (text: string) => (text ? segment(text) : "");

describe("filter dialects", () => {
  it.each(["0.39.9", "v0.40.6", "1.0", "1.0.0-rc.1", undefined, null])("%s escapes backslashes", (version) => {
    expect(filter("a = {:a}", { a: "\\" }, version)).toBe('a = "\\\\"');
  });
  it.each(["0.39.8", "0.23.0", "v0.36", " 0.30.1+build "])("%s does not", (version) => {
    expect(filter("a = {:a}", { a: "x\\y" }, version)).toBe('a = "x\\y"');
  });
  it("looks at escapes in literals as the server does", () => {
    expect(filter('a = "\\{:t}"', {})).toBe('a = "\\{:t}"');
    expect(() => filter('a = "\\{:t}"', { t: 1 }, "0.39.8")).toThrow("quotes");
    expect(() => filter('a = "\\\\{:t}"', { t: 1 })).toThrow("quotes");
    expect(() => filter("a = 1 // \\{:t}", { t: 1 })).toThrow("comment");
  });
  it("has no word for undefined", () => {
    expect(() => filter("a = {:a}", { a: undefined as any })).toThrow("no value");
  });
});
