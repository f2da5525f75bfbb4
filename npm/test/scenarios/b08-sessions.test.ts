/** B8: every way to sign in, and what a session hears of it. */
import { describe, expect } from "vitest";
import type { Client } from "@picobase/client";
import { mail, password } from "../support/kit.js";
import { failure, inBrowser, it, unique, until } from "../support/world.js";

const address = (word: string) => `${unique(word)}@example.com`;

/** The events of a client, as they come. */
function events(client: Client): string[] {
  const seen: string[] = [];
  client.auth.onAuthStateChange((event) => void seen.push(event));
  return seen;
}

/** Whom the server takes the client for: the owner of a note that it writes now. */
async function actsAsItself(client: Client): Promise<boolean> {
  const note = { owner: client.authStore.record?.id, body: "x" };
  return client.collection("private_notes").create(note).then(
    () => true,
    () => false,
  );
}

// One after the other: each hashes passwords, which takes the server long, and what waits for it has its deadline.
describe("by password", () => {
  it("sign-up, out, and in again", async ({ world }) => {
    const client = world.client();
    const seen = events(client);
    const email = address("signup");
    const session = await client.auth.signUp(email, password, { name: "Ada" });
    expect(session?.record).toMatchObject({ name: "Ada", email });
    expect(session!.expiresAt!).toBeGreaterThan(Date.now());
    expect(client.authStore).toMatchObject({ token: session!.token, isValid: true, isSuperuser: false });
    expect(client.authStore.record).toMatchObject({ name: "Ada" });
    expect((await client.auth.getUser())?.email).toBe(email);
    expect((await client.auth.getSession())?.token).toBe(session!.token);
    expect(await actsAsItself(client)).toBe(true);

    await client.auth.signOut();
    expect(client.authStore).toMatchObject({ token: "", record: null, isValid: false });
    expect(await client.auth.getSession()).toBeNull();
    expect(await failure(client.auth.signIn(email, "wrong-password"))).toMatchObject({ kind: "Validation", status: 400 });
    const answer = await client.collection("users").authWithPassword(email, password);
    expect(answer).toMatchObject({ token: client.authStore.token, record: { email } });
    expect((await client.collection("private_notes").getList(1, 1)).totalItems).toBe(1);
    await until(() => seen.length === 4);
    expect(seen).toEqual(["INITIAL_SESSION", "SIGNED_IN", "SIGNED_OUT", "SIGNED_IN"]);
  });

  it("where verification must come first there is no session yet", async ({ world }) => {
    const client = world.client();
    const members = client.collection("members");
    const email = address("member");
    expect(await members.auth.signUp(email, password)).toBeNull();
    expect(await failure(members.authWithPassword(email, password))).toMatchObject({ kind: "Forbidden" });
    await members.requestVerification(email);
    await members.confirmVerification((await mail(email)).token);
    expect((await members.authWithPassword(email, password)).record.verified).toBe(true);
  });

  it("password reset by mail", async ({ world }) => {
    const client = await world.user();
    const email = client.authStore.record!.email;
    await client.auth.signOut();
    await client.collection("users").requestPasswordReset(email);
    await client.collection("users").confirmPasswordReset((await mail(email)).token, "another-password", "another-password");
    expect(client.authStore.token).toBe("");
    expect(await failure(client.auth.signIn(email, password))).toMatchObject({ kind: "Validation" });
    await client.auth.signIn(email, "another-password");
  });

  it("a changed address ends the session", async ({ world }) => {
    const client = await world.user();
    const seen = events(client);
    const email = address("changed");
    await client.collection("users").requestEmailChange(email);
    await client.collection("users").confirmEmailChange((await mail(email)).token, password);
    await until(() => seen.includes("SESSION_EXPIRED"));
    expect(seen).toEqual(["INITIAL_SESSION", "SESSION_EXPIRED"]);
    expect(await failure(client.collection("posts").getList())).toMatchObject({ kind: "SessionExpired", attempts: 0 });
    await client.auth.signIn(email, password);
    await client.collection("posts").getList(1, 1);
  });

  it("updating one's own record updates the session, a new password keeps it, deleting it signs out", async ({ world }) => {
    const client = await world.user();
    const id = client.authStore.record!.id;
    const seen = events(client);
    const users = client.collection("users");
    await users.update(id, { name: "Grace" });
    expect(client.authStore.record!.name).toBe("Grace");
    await users.update(id, { oldPassword: password, password: "another-password", passwordConfirm: "another-password" });
    expect(await actsAsItself(client)).toBe(true);
    await users.delete(id);
    await until(() => seen.at(-1) === "SIGNED_OUT");
    expect(seen.slice(0, 2)).toEqual(["INITIAL_SESSION", "USER_UPDATED"]);
    expect(client.authStore).toMatchObject({ token: "", record: null });
  });

  it("a service signs in by itself, once for many calls", async ({ world }) => {
    if (inBrowser) return; // Credentials are for servers.
    const proxy = await world.proxy();
    const client = world.client(proxy.url, { credentials: { identity: "alice@example.com", password } });
    await Promise.all(Array.from({ length: 10 }, () => client.collection("private_notes").getList(1, 1)));
    expect(await proxy.requests("auth-with-password")).toHaveLength(1);
    expect(client.authStore.record!.email).toBe("alice@example.com");
  });
});

describe("other ways", () => {
  it("password and one-time password, as two factors", async ({ world }) => {
    const client = world.client();
    const secured = client.collection("secured");
    const email = address("secured");
    const root = await world.superuser();
    await root.collection("secured").create({ email, password, passwordConfirm: password, verified: true });
    const { mfaId } = await failure(secured.authWithPassword(email, password));
    const { otpId } = await secured.requestOTP(email);
    const { otp } = await mail(email);
    const { record } = await secured.authWithOTP(otpId, otp, { mfaId: mfaId! });
    expect(record.email).toBe(email);
    expect(client.authStore.isValid).toBe(true);
  });

  it("the ways that a collection knows", async ({ world }) => {
    const methods = await world.client().collection("users").listAuthMethods();
    expect(methods.password).toMatchObject({ enabled: true, identityFields: ["email"] });
    expect(methods.oauth2.providers.map((p) => p.name)).toContain("oidc");
  });

  it("OAuth2 by code, also by the callback's address; a state that is not ours is refused", async ({ world }) => {
    const client = world.client();
    const redirect = "http://127.0.0.1:9/callback";
    const visit = async (url: string, email: string) => {
      // The provider sends the user on to the app, which is not there: the address is what counts.
      const { Location } = await followed(`${url}&login_hint=${email}`);
      return new URL(Location);
    };
    const email = address("oauth");
    const begun = await client.auth.beginOAuth2("oidc", redirect);
    expect(new URL(begun.url).searchParams.get("code_challenge_method")).toBe("S256");
    if (inBrowser) return; // Redirects cannot be looked into from a page; the all-in-one test below visits the provider there.
    const back = await visit(begun.url, email);
    expect(await failure(client.auth.finishOAuth2({ code: back.searchParams.get("code")!, state: "other" }))).toBeTruthy();
    const session = await client.auth.finishOAuth2({ code: back.searchParams.get("code")!, state: begun.state });
    expect(session.record.email).toBe(email);
    expect(session.meta.isNew).toBe(true);
    expect(Object.keys(session)).not.toContain("meta");

    const again = world.client();
    const second = await again.auth.beginOAuth2("oidc", redirect);
    const url = await visit(second.url, email);
    // Another client finishes: a page that was loaded anew, or the next request to a server.
    expect((await failure(world.client().auth.finishOAuth2(url.href))).kind).toBe("Validation");
    const finished = await world.client().auth.finishOAuth2(url.href, { saved: second.saved });
    expect(finished.record.id).toBe(session.record.id);
    await again.auth.setSession(finished);
    const linked = await again.collection("users").listExternalAuths(session.record.id);
    expect(linked).toMatchObject([{ provider: "oidc" }]);
    await again.collection("users").unlinkExternalAuth(session.record.id, "oidc");
    expect(await again.collection("users").listExternalAuths(session.record.id)).toEqual([]);
  });

  it("OAuth2 in one call, the address handed to a callback", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    const email = address("allinone");
    const answer = await client.collection("users").authWithOAuth2({
      provider: "oidc",
      urlCallback: (url: string) => void fetch(`${url}&login_hint=${email}`, { mode: "no-cors" }).catch(() => {}),
      createData: { name: "Eve" },
    });
    expect(answer.record).toMatchObject({ email, name: "Eve" });
    expect(client.authStore.isValid).toBe(true);
    await until(async () => (await proxy.stats()).in_flight, (n) => n === 0);
  });

  it("impersonation is a client of its own", async ({ world }) => {
    const root = await world.superuser();
    const alice = await world.client().collection("users").authWithPassword("alice@example.com", password);
    const other = await root.collection("users").impersonate(alice.record.id, 600);
    world.later(() => other.close());
    expect(other.authStore.record!.id).toBe(alice.record.id);
    expect(await actsAsItself(other)).toBe(true);
    expect(root.authStore.isSuperuser).toBe(true);
    expect((await root.collection("noaccess").getList(1, 1)).page).toBe(1);
    expect(await failure(other.collection("noaccess").getList(1, 1))).toMatchObject({ kind: "Forbidden" });
  });

  it("a refresh brings a new token, a session can be set", async ({ world }) => {
    const client = await world.user();
    const seen = events(client);
    const before = client.authStore.token;
    await new Promise((done) => setTimeout(done, 1100)); // Tokens count in seconds.
    const { token } = await client.collection("users").authRefresh();
    expect(token).not.toBe(before);
    expect(client.authStore.token).toBe(token);
    const other = world.client();
    await other.auth.setSession({ token, record: client.authStore.record });
    expect(await actsAsItself(other)).toBe(true);
    await until(() => seen.length === 2);
    expect(seen).toEqual(["INITIAL_SESSION", "TOKEN_REFRESHED"]);
  });

  it("a listener is told no more once it has gone", async ({ world }) => {
    const client = world.client();
    const seen: string[] = [];
    const unsubscribe = client.auth.onAuthStateChange((event) => void seen.push(event));
    await until(() => seen.length === 1);
    unsubscribe();
    await client.auth.signIn("alice@example.com", password);
    expect(seen).toEqual(["INITIAL_SESSION"]);
  });
});

/** Where a page sends its visitor. */
async function followed(url: string): Promise<{ Location: string }> {
  const answer = await fetch(url, { redirect: "manual" });
  return { Location: answer.headers.get("location")! };
}

describe("the token of an expired or ended session", () => {
  it("PocketBase's store: save, clear, onChange, and the record of a superuser", async ({ world }) => {
    const client = world.client();
    const heard: string[] = [];
    const stop = client.authStore.onChange((token) => void heard.push(token), true);
    await client.collection("users").authWithPassword("bob@example.com", password);
    const { token, record } = client.authStore;
    client.authStore.clear();
    expect(client.authStore.token).toBe("");
    expect((await client.collection("private_notes").getList(1, 1)).totalItems).toBe(0);
    client.authStore.save(token, record);
    expect(client.authStore.token).toBe(token);
    expect(await actsAsItself(client)).toBe(true);
    expect(heard).toEqual(["", token, "", token]);
    stop();
  });
});
