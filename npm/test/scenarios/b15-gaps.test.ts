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
      for (let n = 0; n < 2; n++) {
        await stage.more(15);
        expect(await stage.proxy.cut(how, "/api/realtime")).toEqual({ connections: 1 });
      }
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
    await stage.proxy.cut("stall", "/api/realtime");
    const before = watch.events.length;
    await until(() => watch.events.length > before);
    await stage.more(10);
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
    const stage = await Stage.new(world, { maxAge: 600 });
    const watch = await stage.watch();
    stage.write();
    await stage.more(80);
    await stage.converges(watch);
    const streams = (await stage.proxy.requests("/api/realtime")).filter((r) => r.method === "GET");
    expect(streams.length).toBeGreaterThanOrEqual(3);
    expect([watch.resyncs, watch.lagged, watch.caughtUp()]).toEqual([[], [], 0]);
  });

  it("without catching up a gap is told", async ({ world }) => {
    const stage = await Stage.new(world, { catchUp: false });
    const watch = await stage.watch();
    await stage.proxy.cut("reset", "/api/realtime");
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
    await stage.proxy.cut("reset", "/api/realtime");
    await until(() => errors.length === 1);
    expect(errors[0].kind).toBe("SessionExpired");
    await stage.client.auth.signIn(email, "another-password");
    await sleep(500);
    await until(async () => {
      await stage.client.collection("private_notes").create({ owner: id, body: "x" });
      await sleep(100);
      return got.length > 0;
    });
    expect(events.filter((event) => event === "SESSION_EXPIRED")).toHaveLength(1);
    expect(errors).toHaveLength(1);
  });
});
