// Builds the site, serves it, and visits it with and without JavaScript, against a real server that sleeps, dies and comes back.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { PATIENCE, asleep, build, install, openBrowser, run, screenshots, startKit } from "../../e2e/support.mjs";

const ROOT = resolve(import.meta.dirname, "..");
const RECORDS = "/api/collections/posts/records";

await run("examples/astro", async ({ step, defer }) => {
  install(ROOT);
  const kit = await startKit();
  defer(kit.stop);
  await kit.admin("POST", RECORDS, { title: "Bridge open again", body: "The first bicycle crossed at dawn.", status: "published" });
  await kit.admin("POST", RECORDS, { title: "Apples for everyone", body: "The orchard shares its harvest on Saturday.", status: "published" });
  for (const [name, body] of [["alice", "Ask for the recipe"], ["bob", "Only for Bob"]]) {
    const users = await kit.admin("GET", `/api/collections/users/records?filter=email="${name}@example.com"`);
    await kit.admin("POST", "/api/collections/private_notes/records", { owner: users.items[0].id, body });
  }

  await step("builds", () => build(ROOT));
  const site = await serve(kit.url, defer);
  const browser = await openBrowser(ROOT);
  defer(() => browser.close());
  const shots = screenshots("astro");
  const visit = async (options) => {
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(PATIENCE);
    return page;
  };
  const plain = await visit({ javaScriptEnabled: false });
  defer((failed) => failed && shots.one(plain, "failed-plain"));

  const signIn = async (page, email, password = kit.password) => {
    await page.goto(`${site}/sign-in`);
    await page.getByLabel("Email").fill(email);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
  };
  const sessionCookie = async (page) => (await page.context().cookies(site)).find(({ name }) => name.startsWith("pb_auth"));

  await step("a guest without JavaScript sees the posts", async () => {
    await plain.goto(site);
    await plain.getByRole("heading", { name: "Apples for everyone" }).waitFor();
    assert.equal(await sessionCookie(plain), undefined, "a guest has no cookie");
  });

  await step("the members' page sends a guest to sign in", async () => {
    await plain.goto(`${site}/members`);
    await plain.getByRole("heading", { name: "Sign in" }).waitFor();
    await shots.all(plain, "sign-in");
  });

  await step("a wrong password is told", async () => {
    await signIn(plain, "alice@example.com", "not the password");
    assert.match(await plain.getByRole("alert").textContent(), /authenticate|password|credentials/i);
    assert.equal(await plain.getByLabel("Email").inputValue(), "alice@example.com");
    assert.equal(await sessionCookie(plain), undefined);
    await shots.all(plain, "refused");
  });

  await step("signs in without JavaScript", async () => {
    await signIn(plain, "alice@example.com");
    await plain.getByRole("heading", { name: "Notes of Alice" }).waitFor();
    await plain.getByText("Ask for the recipe").waitFor();
    assert.equal(await plain.getByText("Only for Bob").count(), 0);
    const cookie = await sessionCookie(plain);
    assert.ok(cookie.httpOnly && cookie.secure && cookie.sameSite === "Lax", JSON.stringify({ ...cookie, value: "" }));
  });

  await step("keeps and deletes a note", async () => {
    await plain.getByLabel("New note").fill("Bring the ladder back");
    await plain.getByRole("button", { name: "Keep" }).click();
    await plain.getByText("Bring the ladder back").waitFor();
    await shots.all(plain, "members");
    await plain.getByRole("button", { name: "Delete “Ask for the recipe”" }).click();
    await plain.getByText("Ask for the recipe").waitFor({ state: "detached" });
  });

  await step("visitors at the same time see each their own", async () => {
    const bob = await visit({ javaScriptEnabled: false });
    await signIn(bob, "bob@example.com");
    await bob.getByText("Only for Bob").waitFor();
    const pages = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const { name, value } = await sessionCookie(n % 2 ? bob : plain);
        const answer = await fetch(`${site}/members`, { headers: { cookie: n % 4 > 1 ? `${name}=${value}` : "" }, redirect: "manual" });
        return { who: n % 4 > 1 ? ["Alice", "Bob"][n % 2] : null, status: answer.status, text: await answer.text() };
      }),
    );
    for (const { who, status, text } of pages) {
      assert.equal(status, who ? 200 : 303);
      assert.equal(text.includes("Bring the ladder back"), who === "Alice");
      assert.equal(text.includes("Only for Bob"), who === "Bob");
    }
    await bob.context().close();
  });

  await step("a session is renewed while it is used, and ends when it is revoked", async () => {
    const other = await visit({ javaScriptEnabled: false });
    await kit.admin("PATCH", "/api/collections/users", { authToken: { duration: 3600 } });
    await signIn(other, "bob@example.com");
    const before = await sessionCookie(other);
    await kit.admin("PATCH", "/api/collections/users", { authToken: { duration: 604_800 } });
    await other.goto(`${site}/members`);
    const after = await sessionCookie(other);
    assert.ok(after.expires > before.expires + 24 * 3600, "the new cookie lives longer");

    const [bob] = (await kit.admin("GET", '/api/collections/users/records?filter=email="bob@example.com"')).items;
    const password = "another-horse-battery";
    await kit.admin("PATCH", `/api/collections/users/records/${bob.id}`, { password, passwordConfirm: password });
    await other.goto(`${site}/members`);
    await other.getByText("Your session has ended").waitFor();
    assert.equal(await sessionCookie(other), undefined);
    await other.context().close();
  });

  const page = await visit();
  defer((failed) => failed && shots.one(page, "failed"));
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  page.on("console", (message) => message.type() === "error" && /hydrat/i.test(message.text()) && errors.push(message.text()));
  const post = (title) => page.getByRole("heading", { name: title, exact: true });
  /** The island listens once its subscription is acknowledged. */
  const listening = () => eventually(async () => (await kit.requests()).some((r) => r.path === "/api/realtime" && r.method === "POST" && r.status === 204));

  await step("the island is live, and holds no secret", async () => {
    await signIn(page, "alice@example.com");
    await page.getByRole("heading", { name: "Notes of Alice" }).waitFor();
    await page.goto(site);
    await listening();
    await kit.admin("POST", RECORDS, { title: "Lost: a grey cat", body: "Answers to Biscuit.", status: "published" });
    await post("Lost: a grey cat").waitFor();
    assert.equal(await page.evaluate(() => document.cookie + JSON.stringify(localStorage)), "{}");
    await shots.all(page, "news");
  });

  await step("a sleeping instance is told, then the list is there", async () => {
    await kit.faults(asleep);
    await page.goto(site, { waitUntil: "commit" });
    await page.getByText("Waking up…").waitFor();
    await shots.all(page, "waking");
    await kit.faults([]);
    await post("Lost: a grey cat").waitFor();
    await page.getByText("Waking up…").waitFor({ state: "detached" });
  });

  await step("a sleeping instance, without JavaScript", async () => {
    await kit.faults(asleep);
    await plain.goto(site, { waitUntil: "commit" });
    await plain.getByText("Waking up…").waitFor();
    await kit.faults([]);
    await plain.getByRole("heading", { name: "Lost: a grey cat" }).waitFor();
  });

  await step("the list is right after the server was killed", async () => {
    const [cat] = (await kit.admin("GET", `${RECORDS}?filter=title~"cat"`)).items;
    await kit.kill();
    await kit.start();
    await kit.admin("DELETE", `${RECORDS}/${cat.id}`);
    await kit.admin("POST", RECORDS, { title: "Biscuit is home", status: "published" });
    await post("Biscuit is home").waitFor();
    await post("Lost: a grey cat").waitFor({ state: "detached" });
    const titles = await page.locator(".posts h2").allTextContents();
    assert.deepEqual(titles, ["Biscuit is home", "Apples for everyone", "Bridge open again"]);
  });

  await step("signs out", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("link", { name: "Sign in" }).waitFor();
    assert.equal(await sessionCookie(page), undefined);
    await page.goto(`${site}/members`);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
  });

  await step("a form of another site is refused", async () => {
    const answer = await fetch(`${site}/sign-out`, { method: "POST", headers: { Origin: "https://elsewhere.example", "Content-Type": "application/x-www-form-urlencoded" }, body: "" });
    assert.equal(answer.status, 403);
  });

  await step("the dev server works as well", async () => {
    page.setDefaultTimeout(3 * PATIENCE); // it compiles what the page asks for
    process.env.PICOBASE_URL = kit.url;
    process.env.ASTRO_TELEMETRY_DISABLED = "1";
    const { dev } = await import("astro");
    const server = await dev({ root: ROOT, logLevel: "warn", server: { host: "127.0.0.1" } });
    defer(() => server.stop());
    await page.goto(`http://localhost:${server.address.port}`);
    await post("Biscuit is home").waitFor();
    await kit.admin("POST", RECORDS, { title: "Band rehearsal moved", status: "published" });
    await post("Band rehearsal moved").waitFor();
  });

  assert.deepEqual(errors, [], "the page threw nothing");
});

/** The built site, on a port that the system has chosen: one that was looked for before may be taken by the time it listens. */
async function serve(url, defer) {
  const env = { ...process.env, PICOBASE_URL: url, PICOBASE_API_KEY: "", HOST: "127.0.0.1", PORT: "0" };
  const server = spawn(process.execPath, ["dist/server/entry.mjs"], { cwd: ROOT, env, stdio: ["ignore", "pipe", "inherit"] });
  defer(() => server.kill());
  const port = await new Promise((done, failed) => {
    server.once("exit", (code) => failed(new Error(`the site ended (${code}) before it listened`)));
    createInterface(server.stdout).on("line", (line) => {
      console.log(line);
      const [, port] = /Server listening on \S*:(\d+)/.exec(line) ?? [];
      if (port) done(port);
    });
  });
  return `http://localhost:${port}`;
}

async function eventually(isSo) {
  for (const end = Date.now() + PATIENCE; !(await isSo()); ) {
    assert.ok(Date.now() < end, `not so after ${PATIENCE} ms: ${isSo}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
