// Runs the board under gunicorn and clicks through it in Chromium, with JavaScript switched off, against a real server that sleeps.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { PATIENCE, asleep, openBrowser, picture, run, screenshots, startKit } from "../../e2e/support.mjs";

const ROOT = resolve(import.meta.dirname, "..");
const PASSWORD = "long enough for it";

const OTHERS = [
  ["Seeds for the balcony", "Tomatoes, basil and one surprise."],
  ["Found: a red scarf", "It waits at the front desk."],
  ["Bridge open again", ""],
  ["Apples for everyone", "Take a bag, bring back the bag."],
  ["A very long title that somebody wrote because nobody had told them to stop in time", "And then some more words, which do not fit into the card any more and are cut off after two lines, as they should be."],
  ["Lost: a grey cat", "Answers to Biscuit."],
  ["Biscuit is home", "Thanks to all who looked."],
  ["Band rehearsal moved", "Now on Mondays."],
  ["Bicycle, hardly used", "Blue, three gears, a bell."],
  ["Who has a ladder?", "For an afternoon, to reach the gutter."],
  ["Snow on the hill", "The sledges are in the shed."],
  ["New swings", "The old ones are firewood."],
  ["Choir on Thursday", "We sing at seven, in the old school."],
];

await run("examples/flask", async ({ step, defer }) => {
  const kit = await startKit();
  defer(kit.stop);
  for (const name of ["posts_view", "posts"]) await kit.admin("DELETE", `/api/collections/${name}`);
  const superuser = { SUPERUSER_EMAIL: "root@example.com", SUPERUSER_PASSWORD: kit.password };
  await step("sets the instance up", () => execFileSync("flask", ["--app", "app", "setup"], { cwd: ROOT, env: environment(kit.url, superuser) }));
  for (const [title, body] of OTHERS) {
    await kit.admin("POST", "/api/collections/posts/records", { title, body, status: "published" });
  }

  const site = await step("starts", () => serve(kit.url, defer));
  const browser = await openBrowser(resolve(ROOT, "../../npm"));
  defer(() => browser.close());
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const shots = screenshots("flask");
  defer((failed) => failed && shots.one(page, "failed"));
  const errors = [];
  page.on("console", (message) => message.type() === "error" && !/status of (404|422|503)/.test(message.text()) && errors.push(message.text()));

  const press = (name) => page.getByRole("button", { name, exact: true }).click();
  const follow = (name) => page.getByRole("link", { name, exact: true }).click();
  const heading = (name) => page.getByRole("heading", { name, exact: true }).waitFor();
  const session = async () => (await context.cookies()).find((cookie) => cookie.name === "pb_auth");

  await step("a guest sees the board", async () => {
    await page.goto(site);
    await heading("New pictures");
    await heading("Choir on Thursday");
    assert.equal(await session(), undefined);
  });

  await step("a form that is refused says where", async () => {
    await follow("Sign up");
    await page.getByLabel("Name").fill("Grace");
    await page.getByLabel("Email").fill("grace@example.com");
    await page.getByLabel("Password").fill("short");
    await press("Sign up");
    await page.locator("#password-refused").waitFor();
    assert.equal(await page.getByLabel("Password").getAttribute("aria-invalid"), "true");
    assert.equal(await page.getByLabel("Email").inputValue(), "grace@example.com");
    await shots.all(page, "sign-up");
  });

  await step("signs up", async () => {
    await page.getByLabel("Password").fill(PASSWORD);
    await press("Sign up");
    await page.locator(".who", { hasText: "Grace" }).waitFor();
    const { httpOnly, sameSite, secure } = await session();
    assert.deepEqual({ httpOnly, sameSite, secure }, { httpOnly: true, sameSite: "Lax", secure: false });
  });

  await step("pins a picture", async () => {
    await follow("New post");
    await press("Pin it");
    await page.locator("#title-refused").waitFor();
    await shots.all(page, "new-refused");
    await page.getByLabel("Title").fill("Sunset over the harbour");
    await page.getByLabel("Text").fill("Taken from the ferry, half past nine.\nIt was colder than it looks.");
    await page.getByLabel("Picture").setInputFiles({ name: "sunset.png", mimeType: "image/png", buffer: picture(900, 600) });
    await press("Pin it");
    await heading("Sunset over the harbour");
    await loaded(page.locator(".post img"), 900);
    await shots.all(page, "post");
  });

  await step("the list has its thumb", async () => {
    await follow("All pictures");
    await loaded(page.locator(".card img"), 100);
    await shots.all(page, "board");
  });

  await step("search", async () => {
    await page.getByLabel("Search the board").fill("ferry sunset");
    await press("Search");
    await page.getByText("1 post.").waitFor();
    assert.deepEqual(await page.locator(".card h2").allTextContents(), ["Sunset over the harbour"]);
    await page.getByLabel("Search the board").fill("submarine");
    await press("Search");
    await page.getByText("Nothing has all of these words in it.").waitFor();
    await shots.all(page, "nothing-found");
    await follow("Show all");
  });

  await step("pages", async () => {
    await follow("Older");
    await page.getByText("Page 2 of 2").waitFor();
    await shots.all(page, "second-page");
    await follow("Newer");
  });

  await step("edits", async () => {
    await follow("Sunset over the harbour");
    await follow("Edit");
    await page.getByLabel("Title").fill("Sunset over the old harbour");
    await shots.all(page, "edit");
    await press("Save");
    await heading("Sunset over the old harbour");
    await loaded(page.locator(".post img"), 900);
  });

  await step("a sleeping instance is told, and the page comes back by itself", async () => {
    await kit.faults(asleep);
    const answer = await page.goto(site);
    assert.equal(answer.status(), 503);
    await heading("The board is waking up");
    await shots.all(page, "waking");
    await kit.faults([]);
    await heading("Sunset over the old harbour");
    await page.locator(".who", { hasText: "Grace" }).waitFor();
  });

  await step("a page that is not there", async () => {
    await page.goto(`${site}/posts/nothing`);
    await heading("There is nothing here");
    await shots.all(page, "missing");
    await follow("To the board");
  });

  await step("the keyboard leads through it, and shows where it is", async () => {
    await page.keyboard.press("Tab");
    assert.equal(await page.locator(":focus").textContent(), "Skip to the content");
    for (let i = 0; i < 4; i++) await page.keyboard.press("Tab");
    assert.equal(await page.locator(":focus").getAttribute("name"), "q");
    for (let i = 0; i < 2; i++) await page.keyboard.press("Tab");
    await shots.one(page, "focus");
    assert.equal(await page.locator(":focus").textContent(), "Sunset over the old harbour");
  });

  await step("deletes", async () => {
    await follow("Sunset over the old harbour");
    await follow("Delete");
    await shots.all(page, "delete");
    await press("Delete it");
    await heading("New pictures");
    assert.equal(await page.getByText("Sunset over the old harbour").count(), 0);
  });

  await step("signs out", async () => {
    await press("Sign out");
    await page.getByRole("link", { name: "Sign in", exact: true }).waitFor();
    assert.equal(await session(), undefined);
  });

  await step("signs in, and is where they wanted to be", async () => {
    await page.goto(`${site}/posts/new`);
    await page.getByLabel("Email").fill("grace@example.com");
    await page.getByLabel("Password").fill("not the password");
    await press("Sign in");
    await page.getByRole("alert").waitFor();
    await shots.all(page, "sign-in");
    await page.getByLabel("Password").fill(PASSWORD);
    await press("Sign in");
    await heading("New post");
    assert.equal(new URL(page.url()).pathname, "/posts/new");
  });

  assert.deepEqual(errors, [], "the pages had no errors");
});

/** This process's environment, with the instance at `url`. */
function environment(url, more) {
  return { ...process.env, PICOBASE_URL: url, PICOBASE_API_KEY: "", ...more };
}

/** The board under gunicorn, on a port that the system chooses. */
async function serve(url, defer) {
  const env = environment(url, { BOARD_COLD_START_TIMEOUT: "2" });
  const gunicorn = spawn("gunicorn", ["--bind", "127.0.0.1:0"], { cwd: ROOT, env, stdio: ["ignore", "inherit", "pipe"] });
  const ended = new Promise((done) => gunicorn.once("exit", done).once("error", done));
  defer(() => {
    gunicorn.kill();
    return ended;
  });
  const said = [];
  const site = await new Promise((done, failed) => {
    createInterface(gunicorn.stderr).on("line", (line) => {
      said.push(line);
      const listening = /Listening at: (http:\S+)/.exec(line);
      if (listening) done(listening[1]);
    });
    ended.then(() => failed(new Error(`gunicorn ended before it listened: ${said.join("\n")}`)));
  });
  defer((failed) => failed && console.error(said.join("\n")));
  const answer = await fetch(`${site}/sign-in`, { signal: AbortSignal.timeout(PATIENCE) });
  assert.ok(answer.ok, `${answer.status}`);
  return site;
}

/** Waits until the picture is there, in that width. Without a script in the page. */
async function loaded(image, width) {
  await image.scrollIntoViewIfNeeded();
  for (const end = Date.now() + PATIENCE; (await image.evaluate((element) => element.naturalWidth)) !== width; ) {
    assert.ok(Date.now() < end, `no picture of ${width} pixels after ${PATIENCE} ms`);
    await new Promise((wait) => setTimeout(wait, 50));
  }
}
