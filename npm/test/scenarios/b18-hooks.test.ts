/** B18: a hook before and after each call. */
import { describe, expect } from "vitest";
import { failure, it, onUncaught, until } from "../support/world.js";

describe("B18", () => {
  it("before a call headers and query can be set; after it there is a report", async ({ world }) => {
    const proxy = await world.proxy();
    const reports: any[] = [];
    const client = world.client(proxy.url, {
      beforeSend: (call) => {
        expect(call).toMatchObject({ endpoint: "records.get_list", method: "GET" });
        return { headers: { ...call.headers, "X-Trace": "abc" }, query: { fields: "id" } };
      },
      afterSend: (report) => void reports.push(report),
    });
    await world.client().collection("posts").create({ title: "seen by a hook" });
    // A call may take less than a millisecond.
    await proxy.faults({ path_contains: "/records", action: { type: "delay", ms: 50 } });
    const { items } = await client.collection("posts").getList(1, 1);
    expect(Object.keys(items[0]!)).toEqual(["id"]);
    expect((await proxy.requests())[0]!.headers["x-trace"]).toBe("abc");
    expect(reports).toHaveLength(1);
    expect(reports[0]).toMatchObject({ endpoint: "records.get_list", method: "GET", path: "/api/collections/{c}/records", status: 200, attempts: 1 });
    expect(reports[0].elapsed).toBeGreaterThan(40);
    expect(reports[0].error ?? null).toBeNull();
  });

  it("hears of failures and cancellations", async ({ world }) => {
    const proxy = await world.proxy();
    const reports: any[] = [];
    const client = world.client(proxy.url, { afterSend: (report) => void reports.push(report) });
    await failure(client.collection("posts").getOne("missing"));
    await proxy.faults({ path_prefix: "/api/", action: { type: "stall" } });
    await failure(client.collection("posts").getOne("missing", { signal: AbortSignal.timeout(200) }));
    expect(reports.map((r) => [r.status, r.error.kind])).toEqual([[404, "NotFound"], [0, "Cancelled"]]);
  });

  const fails = () => {
    throw new Error("the hook's own");
  };

  it("a hook after calls that throws is told as uncaught errors are, and the call goes on", async ({ world }) => {
    const errors: any[] = [];
    world.later(onUncaught((error) => errors.push(error)));
    const client = world.client(undefined, { afterSend: fails });
    expect((await client.collection("posts").getList(1, 1)).page).toBe(1);
    await until(() => errors.length === 1);
    expect(errors[0].message).toBe("the hook's own");
  });

  it("a hook before calls that throws fails the call, which is not sent without what it adds", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url, { beforeSend: fails });
    const { kind, message } = await failure(client.collection("posts").getList(1, 1));
    expect([kind, message]).toEqual(["Configuration", "`beforeSend` failed: the hook's own"]);
    expect(await proxy.requests()).toEqual([]);
  });
});
