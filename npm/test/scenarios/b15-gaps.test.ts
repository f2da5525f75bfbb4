/** B15: streams that break, stall or grow old are replaced, and what was missed is fetched. */
import { describe, expect } from "vitest";
import { Stage } from "../support/stage.js";
import { it, sleep, until } from "../support/world.js";

describe.concurrent("a writer goes on, and in the end the state is the server's", () => {
  for (const how of ["reset", "close"] as const) {
    it(`the stream is cut twice (${how})`, async ({ world }) => {
      const stage = await Stage.new(world);
      const watch = await stage.watch();
      stage.write();
      await stage.more(15);
      await stage.cut(how);
      await stage.more(15);
      await stage.cutFor(how);
      await stage.more(15);
      await stage.converges(watch);
      expect(watch.caughtUp()).toBeGreaterThan(0);
      expect([watch.resyncs, watch.lagged]).toEqual([[], []]);
    });
  }

  it("the stream says nothing any more", async ({ world }) => {
    const stage = await Stage.new(world, { liveness: 1000 });
    const watch = await stage.watch();
    stage.write();
    await stage.more(15);
    await stage.cutFor("stall");
    // What was written since can have come by another stream only.
    const { written } = stage;
    await until(() => watch.events.some((event) => event.record.n > written));
    await stage.more(10);
    // The stalled one too: the proxy does not see by itself that nobody holds on to it.
    await stage.proxy.cut("reset", "/api/realtime");
    await stage.converges(watch);
    expect(watch.caughtUp()).toBeGreaterThan(0);
  });

  it("the server is killed and comes back", async ({ world }) => {
    const stage = await Stage.new(world);
    const watch = await stage.watch();
    stage.write();
    await stage.more(15);
    await stage.server.restart(1000);
    await stage.more(30);
    await stage.converges(watch);
  });

  it("the stream is replaced when it is old, without a gap and without a double", async ({ world }) => {
    // In the overlap the old one must speak, also where each write takes its time.
    const stage = await Stage.new(world, { maxAge: 1000, overlap: 4000 });
    const watch = await stage.watch();
    stage.write();
    await until(async () => (await stage.streams()).length >= 3);
    await stage.more(15);
    await stage.converges(watch);
    expect([watch.resyncs, watch.lagged, watch.caughtUp()]).toEqual([[], [], 0]);
  });

  it("without catching up a gap is told", async ({ world }) => {
    const stage = await Stage.new(world, { catchUp: false });
    const watch = await stage.watch();
    await stage.cut("reset");
    await until(() => watch.resyncs.length === 1);
    expect(watch.caughtUp()).toBe(0);
  });

  it("the session has ended elsewhere: it is told once, and events go on after the next sign-in", async ({ world }) => {
    const stage = await Stage.new(world);
    const email = "alice@example.com";
    const { password } = await import("../support/kit.js");
    await stage.client.auth.signIn(email, password);
    const events: string[] = [];
    stage.client.auth.onAuthStateChange((event) => void events.push(event));
    const errors: any[] = [];
    const got: any[] = [];
    await stage.client.collection("private_notes").subscribe("*", (e) => got.push(e), { onError: (error: unknown) => void errors.push(error) });
    const id = stage.client.authStore.record!.id;
    await stage.server.admin("PATCH", `/api/collections/users/records/${id}`, { password: "another-password", passwordConfirm: "another-password" });
    await stage.cut("reset");
    await until(() => errors.length === 1);
    expect(errors[0].kind).toBe("SessionExpired");
    await stage.client.auth.signIn(email, "another-password");
    await until(async () => {
      await stage.client.collection("private_notes").create({ owner: id, body: "x" });
      await sleep(100);
      return got.length > 0;
    });
    expect(events.filter((event) => event === "SESSION_EXPIRED")).toHaveLength(1);
    expect(errors).toHaveLength(1);
  });
});
