/** The shared vectors, for the parts that answer synchronously. */
import { readFileSync } from "node:fs";

export interface Case {
  name: string;
  in: any;
  out?: any;
  error?: { kind: string; mentions?: string[]; not_mentions?: string[]; fix?: boolean };
}

export function vectors(topic: string): Case[] {
  return JSON.parse(readFileSync(new URL(`../../../tests/vectors/${topic}.json`, import.meta.url), "utf8"), (_, value) => {
    if (value && typeof value === "object" && "$date" in value) return new Date(value.$date);
    if (value && typeof value === "object" && "$float" in value) return Number(value.$float.replace("inf", "Infinity"));
    return value;
  }).cases;
}
