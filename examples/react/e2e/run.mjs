// Builds the app, serves it, and clicks through it in Chromium against a real server that sleeps, dies and comes back.

import assert from "node:assert/strict";
import { resolve } from "node:path";
import { PATIENCE, asleep, build, install, openBrowser, picture, run, screenshots, startKit } from "../../e2e/support.mjs";

const ROOT = resolve(import.meta.dirname, "..");

await run("examples/react", async ({ step, defer }) => {
  install(ROOT);
  const kit = await startKit();
  defer(kit.stop);
  await kit.admin("POST", "/api/collections/posts/records", { title: "Seeds for the balcony", body: "Tomatoes, basil and one surprise.", status: "published" });
  await kit.admin("POST", "/api/collections/posts/records", { title: "Found: a red scarf", body: "It waits at the front desk.", status: "published" });

  await step("builds", () => build(ROOT, { VITE_PICOBASE_URL: kit.url, VITE_PICOBASE_KEY: "" }));
  const address = await serve(defer);
  const browser = await openBrowser(ROOT);
  defer(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  const shots = screenshots("react");
  defer((failed) => failed && shots.one(page, "failed"));
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));

  const post = (title) => page.getByRole("heading", { name: title, exact: true });
  const live = () => page.getByLabel("Connection: Live").waitFor();
  const titles = () => page.locator(".post h3").allTextContents();

  await step("a guest sees the posts", async () => {
    await page.goto(address);
    await post("Found: a red scarf").waitFor();
    await live();
    await shots.all(page, "guest");
  });

  await step("a wrong password is told, with what helps", async () => {
    await page.getByLabel("Email").fill("alice@example.com");
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    const alert = page.getByRole("alert");
    await alert.waitFor();
    assert.match(await alert.textContent(), /authenticate|password|credentials/i);
    assert.ok((await alert.locator(".fix").textContent()).length > 10, "the error has a fix");
    await shots.all(page, "refused");
  });

  await step("signs in", async () => {
    await page.getByLabel("Password").fill(kit.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("Alice").waitFor();
  });

  await step("a reload keeps the session", async () => {
    await page.reload();
    await page.getByText("Alice").waitFor();
    await live();
  });

  await step("a refused field says so", async () => {
    await page.getByRole("button", { name: "Pin it" }).click();
    await page.locator("small.refused").waitFor();
    assert.equal(await page.getByLabel("Title").getAttribute("aria-invalid"), "true");
    await shots.all(page, "field");
  });

  await step("an update from outside appears", async () => {
    await kit.admin("POST", "/api/collections/posts/records", { title: "Choir on Thursday", body: "We sing at seven, in the old school.", status: "published" });
    await post("Choir on Thursday").waitFor();
  });

  await step("uploads a cover with progress", async () => {
    const line = await page.context().newCDPSession(page);
    await line.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 150_000 });
    await page.getByLabel("Title").fill("Sunset over the harbour");
    await page.getByLabel("Text").fill("Taken from the ferry, half past nine.");
    await page.getByLabel("Cover").setInputFiles({ name: "sunset.png", mimeType: "image/png", buffer: picture(1200, 900) });
    await page.evaluate(() => {
      window.seen = new Set();
      setInterval(() => window.seen.add(document.querySelector("progress")?.value), 20);
    });
    await page.getByRole("button", { name: "Pin it" }).click();
    await page.getByRole("progressbar", { name: "Upload" }).waitFor();
    await shots.all(page, "upload");
    // It is slow until it was seen, however long that takes.
    await page.waitForFunction(() => [...window.seen].filter((value) => value > 0 && value < 1).length > 2);
    await line.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    await post("Sunset over the harbour").waitFor();
    await page.locator(".post img").waitFor();
    await page.waitForFunction(() => document.querySelector(".post img").naturalWidth === 100);
    // The post may come before the answer to the form.
    await page.waitForFunction((title) => title.value === "", await page.getByLabel("Title").elementHandle());
    await line.detach();
    await shots.all(page, "posts");
  });

  await step("a sleeping instance is told, then the list is there", async () => {
    await kit.faults(asleep);
    await page.reload();
    await page.getByText("Waking up…").waitFor();
    await shots.all(page, "waking");
    await kit.faults([]);
    await post("Sunset over the harbour").waitFor();
    await page.getByText("Waking up…").waitFor({ state: "detached" });
    await live();
  });

  await step("deletes", async () => {
    await page.getByRole("button", { name: "Delete “Sunset over the harbour”" }).click();
    await post("Sunset over the harbour").waitFor({ state: "detached" });
  });

  await step("the list is right after the server was killed", async () => {
    const [scarf] = (await kit.admin("GET", "/api/collections/posts/records?filter=title~%22scarf%22")).items;
    await kit.kill();
    await page.getByLabel("Connection: Live").waitFor({ state: "detached" });
    await shots.all(page, "reconnecting");
    await kit.start();
    await kit.admin("DELETE", `/api/collections/posts/records/${scarf.id}`);
    await kit.admin("POST", "/api/collections/posts/records", { title: "We are back", status: "published" });
    await post("We are back").waitFor();
    await post("Found: a red scarf").waitFor({ state: "detached" });
    await live();
    assert.deepEqual(await titles(), ["We are back", "Choir on Thursday", "Seeds for the balcony"]);
  });

  await step("a session that was revoked is told, and a guest can go on", async () => {
    const [alice] = (await kit.admin("GET", '/api/collections/users/records?filter=email="alice@example.com"')).items;
    const password = "another-horse-battery";
    await kit.admin("PATCH", `/api/collections/users/records/${alice.id}`, { password, passwordConfirm: password });
    await kit.kill();
    await kit.start();
    await page.getByText("Your session has ended").waitFor();
    await shots.all(page, "ended");
    await page.getByRole("button", { name: "go on as a guest" }).click();
    await page.getByText("Your session has ended").waitFor({ state: "detached" });
    await live();
    await page.getByRole("alert").waitFor({ state: "detached" });

    await page.getByLabel("Email").fill("alice@example.com");
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("Alice").waitFor();
  });

  await step("signs out", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in to write" }).waitFor();
    assert.equal(await page.evaluate(() => localStorage.getItem("pocketbase_auth")), null);
  });

  await step("signs up", async () => {
    await page.getByRole("button", { name: "I am new here" }).click();
    await page.getByLabel("Name").fill("Grace");
    await page.getByLabel("Email").fill("grace@example.com");
    await page.getByLabel("Password").fill("short");
    await page.getByRole("button", { name: "Sign up" }).click();
    await page.locator("small.refused").waitFor();
    await shots.all(page, "sign-up");
    await page.getByLabel("Password").fill("long enough for it");
    await page.getByRole("button", { name: "Sign up" }).click();
    await page.getByText("Grace").waitFor();
  });

  await step("the dev server works as well", async () => {
    page.setDefaultTimeout(3 * PATIENCE); // it compiles what the page asks for
    const { createServer } = await import("vite");
    process.env.VITE_PICOBASE_URL = kit.url;
    const server = await createServer({ root: ROOT, logLevel: "warn", server: { host: "127.0.0.1", port: 4400 } });
    defer(() => server.close());
    await server.listen();
    await page.goto(server.resolvedUrls.local[0]);
    await post("We are back").waitFor();
    await live();
  });

  assert.deepEqual(errors, [], "the page threw nothing");
});

/** `vite preview` on a free port. */
async function serve(defer) {
  const { preview } = await import("vite");
  const server = await preview({ root: ROOT, logLevel: "warn", preview: { host: "127.0.0.1", port: 4300 } });
  defer(() => server.close());
  return server.resolvedUrls.local[0];
}
