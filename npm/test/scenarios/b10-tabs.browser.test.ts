/** B10 in a browser: the session is in localStorage, and tabs of one origin know of each other. */
import { createClient } from "@picobase/client";
import { describe, expect } from "vitest";
import { kit, password } from "../support/kit.js";
import { it, unique, until } from "../support/world.js";

/** Another page of this origin, with a client of its own, as a tab has it. */
async function tab(world: { later(end: () => unknown): void }, key: string): Promise<any> {
  const frame = document.createElement("iframe");
  frame.src = `/test/support/tab.html?${new URLSearchParams({ url: kit.url, key })}`;
  const loaded = new Promise((done) => (frame.onload = done));
  document.body.append(frame);
  world.later(() => frame.remove());
  await loaded;
  return until(() => (frame.contentWindow as any).tab);
}

describe("tabs", () => {
  it("sign-in, change and sign-out of one tab reach the other, each once", async ({ world }) => {
    const storageKey = unique("auth");
    world.later(() => localStorage.removeItem(storageKey));
    const client = createClient(kit.url, null, { storageKey });
    world.later(() => client.close());
    const other = await tab(world, storageKey);
    await until(() => other.seen.length === 1);
    expect(other.token()).toBe("");

    const email = `${unique("tab")}@example.com`;
    await client.auth.signUp(email, password);
    await until(() => other.token() === client.authStore.token);
    expect(await other.me()).toBe(email);
    await client.collection("users").update(client.authStore.record!.id, { name: "Other" });
    await until(() => other.name() === "Other");

    const seen: string[] = [];
    client.auth.onAuthStateChange((event) => void seen.push(event));
    await other.signOut();
    await until(() => client.authStore.token === "");
    await until(() => seen.length === 2);
    expect(seen).toEqual(["INITIAL_SESSION", "SIGNED_OUT"]);
    expect([...other.seen]).toEqual(["INITIAL_SESSION", "SIGNED_IN", "USER_UPDATED", "SIGNED_OUT"]);
    expect((await client.collection("users").getList()).totalItems).toBe(0);
  });

  it("a page knows its user at once, in the format of PocketBase's SDK", async ({ world }) => {
    const storageKey = unique("auth");
    world.later(() => localStorage.removeItem(storageKey));
    const { token, record } = (await world.user()).authStore;
    localStorage.setItem(storageKey, JSON.stringify({ token, record }));
    const client = createClient(kit.url, null, { storageKey });
    world.later(() => client.close());
    expect(client.authStore).toMatchObject({ token, isValid: true });
    expect(client.authStore.record!.id).toBe(record!.id);
    expect((await client.collection("users").getList()).totalItems).toBe(1);
    await client.auth.signOut();
    expect(localStorage.getItem(storageKey)).toBeNull();
  });
});
