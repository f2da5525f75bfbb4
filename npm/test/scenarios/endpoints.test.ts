/** Every endpoint of the core's table, called at least once by a method of the package, on a server of its own. */
import type { Client } from "@picobase/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mail, password, type Server, superuserToken } from "../support/kit.js";
import { failure, unique, until, World } from "../support/world.js";

const source = Object.values(import.meta.glob("../../../sdk-core/src/endpoints.rs", { query: "?raw", import: "default", eager: true }))[0] as string;

/** The names in the table. */
const table = [...source.matchAll(/^ {4}\d+ \w+ "([\w.]+)" /gm)].map((match) => match[1]!);

const world = new World();
const called = new Set<string>();
let server: Server;
let client: Client;
let root: Client;

beforeAll(async () => {
  server = await world.server();
  client = world.client(server.url, { afterSend: (report) => void called.add(report.endpoint) });
  root = client.withSession(await superuserToken());
});

afterAll(() => world.end());

const thing = (name: string) => ({ name, type: "base", listRule: "", fields: [{ type: "text", name: "title" }] });

// In this order: a guest becomes a user, and the last looks at what the others have called.
describe("endpoints", { shuffle: false }, () => {
  test("collections", async () => {
    const all = root.collections;
    const made = await all.create(thing("things"));
    expect((await all.getOne("things")).id).toBe(made.id);
    expect(await failure(all.create(thing("things")))).toMatchObject({ status: 400, fields: { name: {} } });
    expect(await all.update("things", { listRule: null, createRule: "" })).toMatchObject({ listRule: null, createRule: "" });
    for (const title of ["a", "b"]) await root.collection("things").create({ title });
    expect(await all.truncate("things")).toBe(true);
    expect((await root.collection("things").getList(1, 1)).totalItems).toBe(0);
    const before = await all.getFullList({ sort: "name" });
    expect(before.map((c) => c.name)).toContain("posts");
    expect((await all.getList(1, 3, { filter: "type = 'auth'", sort: "name" })).items).toHaveLength(3);
    expect((await all.getFirstListItem("type = 'view'")).name).toBe("posts_view");
    expect(await failure(all.getFirstListItem("name = 'nothing'"))).toMatchObject({ kind: "NotFound" });
    await all.import([thing("imported")], false);
    expect(await all.getFullList()).toHaveLength(before.length + 1);
    await all.import(before, true);
    expect(await failure(all.getOne("imported"))).toMatchObject({ kind: "NotFound" });
    expect(await all.delete("things")).toBe(true);
    const scaffolds = await all.getScaffolds();
    expect(scaffolds.auth!.passwordAuth.enabled).toBe(true);
    expect((await all.getAllOAuth2Providers()).map((p) => p.name)).toContain("google");
    await root.collection("posts").create({ title: "seen" });
    expect(await all.dryRunViewQuery("SELECT id, title FROM posts")).toBeTruthy();
    expect(await failure(client.collections.getScaffolds())).toMatchObject({ status: 401 });
  });

  test("settings", async () => {
    expect((await root.settings.getAll()).meta.appName).toBe("Testkit");
    expect((await root.settings.update({ meta: { appName: "Renamed" } })).meta.appName).toBe("Renamed");
    expect(await failure(root.settings.update({ meta: { appName: "" } }))).toMatchObject({ kind: "Validation", fields: { "meta.appName": {} } });
    const to = `${unique("test")}@example.com`;
    await root.settings.testEmail("users", to, "verification");
    expect((await mail(to)).text + (await mail(to)).html).not.toBe("");
    expect(await failure(root.settings.testS3("storage"))).toMatchObject({ kind: "Validation", status: 400 });
    const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxGAixQrT7pZqIkeR
K8ObbQXsF0Pbc71fUYrBy20trKahRANCAARkauGfEUf7K3QcVc9FGezXO2ygs+/B
C5ZFBsteJECO7H65OL7Qz0/+8RnIFGpjXGpwHY4yy7HdtD7QPh8nixvY
-----END PRIVATE KEY-----`;
    const { secret } = await root.settings.generateAppleClientSecret("com.example.app", "TEAM567890", "KEY4567890", key, 3600);
    expect(secret.split(".")).toHaveLength(3);
  });

  test("logs", async () => {
    const mark = unique("mark");
    await failure(client.collection(mark).getList());
    const filter = `data.url ~ '${mark}'`;
    // The server writes its logs a few seconds later.
    const { items } = await until(() => root.logs.getList(1, 5, { filter, sort: "-created" }), (page) => page.items.length > 0);
    expect((await root.logs.getOne(items[0]!.id)).data).toMatchObject({ method: "GET", status: 404 });
    expect((await root.logs.getStats({ filter })).reduce((sum, hour) => sum + hour.total, 0)).toBe(1);
    expect(await root.logs.truncate()).toBe(true);
  });

  test("backups", async () => {
    const { backups } = root;
    expect(await backups.create("one.zip")).toBe(true);
    expect(await failure(backups.create("No Name"))).toMatchObject({ kind: "Validation", fields: { name: {} } });
    const [one] = await backups.getFullList();
    expect(one).toMatchObject({ key: "one.zip" });
    const bytes = await (await backups.download("one.zip")).arrayBuffer();
    expect(bytes.byteLength).toBe(one!.size);
    const url = backups.getDownloadURL(await root.files.getToken(), "one.zip");
    expect((await (await fetch(url)).arrayBuffer()).byteLength).toBe(one!.size);
    await backups.upload(new File([bytes], "copy.zip"));
    await backups.upload({ file: new File([bytes], "named.zip") });
    expect((await backups.getFullList()).map((b) => b.key).sort()).toEqual(["copy.zip", "named.zip", "one.zip"]);
    expect(await backups.delete("copy.zip")).toBe(true);
    expect(await failure(backups.restore("missing.zip"))).toMatchObject({ kind: "Validation" });
    expect(await failure(backups.download("missing.zip"))).toMatchObject({ kind: "NotFound" });
  });

  test("crons, SQL, health", async () => {
    expect((await root.crons.getFullList()).map((job) => job.id)).toContain("__pbLogsCleanup__");
    expect(await root.crons.run("__pbLogsCleanup__")).toBe(true);
    expect(await failure(root.crons.run("nothing"))).toMatchObject({ kind: "NotFound" });
    const made = await root.collection("noaccess").create({ title: "by sql" });
    const answer = await root.sql.run("SELECT id, title, NULL AS gap FROM noaccess");
    expect(answer.columns.map((column) => column.name)).toEqual(["id", "title", "gap"]);
    expect(answer.rows).toEqual([[made.id, "by sql", null]]);
    expect(await failure(root.sql.run("SELECT FROM"))).toMatchObject({ kind: "Validation" });
    expect((await client.health.check()).data.canBackup).toBeUndefined();
    expect((await root.health.check()).data.canBackup).toBeDefined();
  });

  test("records, files, batch, realtime", async () => {
    const posts = client.collection("posts");
    const made = await posts.create({ title: "one", attachments: new File(["text"], "a.txt") });
    await posts.update(made.id, { n: 1 });
    await posts.getOne(made.id);
    await posts.getList();
    expect(await (await client.storage.download(made, made.attachments[0])).text()).toBe("text");
    const stop = await posts.subscribe("*", () => {});
    await stop();
    const batch = client.createBatch();
    batch.collection("posts").delete(made.id);
    await batch.send();
    const gone = await posts.create({ title: "gone" });
    await posts.delete(gone.id);
  });

  test("auth", async () => {
    const users = client.collection("users");
    const email = `${unique("auth")}@example.com`;
    await client.auth.signUp(email, password);
    const { id } = client.authStore.record!;
    await users.authRefresh();
    await users.listAuthMethods();
    await users.requestVerification(email);
    await users.confirmVerification((await mail(email, "Verify")).token);
    expect(client.authStore.record!.verified).toBe(true);
    const changed = `${unique("auth")}@example.com`;
    await users.requestEmailChange(changed);
    await users.confirmEmailChange((await mail(changed)).token, password);
    await users.requestPasswordReset(changed);
    await users.confirmPasswordReset((await mail(changed, "password")).token, "another-password", "another-password");
    await users.authWithPassword(changed, "another-password");
    const other = await root.collection("users").impersonate(id, 60);
    expect(other.authStore.record!.id).toBe(id);
    other.close();
    const secured = client.collection("secured");
    const careful = `${unique("secured")}@example.com`;
    await root.collection("secured").create({ email: careful, password, passwordConfirm: password, verified: true });
    const { mfaId } = await failure(secured.authWithPassword(careful, password));
    const { otpId } = await secured.requestOTP(careful);
    await secured.authWithOTP(otpId, (await mail(careful)).otp, { mfaId: mfaId! });
    const { record } = await users.authWithOAuth2({
      provider: "oidc",
      urlCallback: (url: string) => void fetch(`${url}&login_hint=${unique("o")}@example.com`, { mode: "no-cors" }).catch(() => {}),
    });
    expect(record.id).toBeTruthy();
  });

  test("none was left out", () => {
    expect(table.length).toBeGreaterThan(45);
    expect(table.filter((name) => !called.has(name))).toEqual([]);
  });
});
