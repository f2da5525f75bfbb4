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
    const { items } = await client.collection("posts").getList(1, 1);
    expect(Object.keys(items[0]!)).toEqual(["id"]);
    expect((await proxy.requests())[0]!.headers["x-trace"]).toBe("abc");
    expect(reports).toHaveLength(1);
    expect(reports[0]).toMatchObject({ endpoint: "records.get_list", method: "GET", path: "/api/collections/{c}/records", status: 200, attempts: 1 });
    expect(reports[0].elapsed).toBeGreaterThan(0);
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

  it("a hook that throws is told as uncaught errors are, and the call goes on", async ({ world }) => {
    const errors: any[] = [];
    world.later(onUncaught((error) => errors.push(error)));
    const fails = () => {
      throw new Error("the hook's own");
    };
    const client = world.client(undefined, { beforeSend: fails, afterSend: fails });
    expect((await client.collection("posts").getList(1, 1)).page).toBe(1);
    await until(() => errors.length === 2);
    expect(errors.map((error) => error.message)).toEqual(["the hook's own", "the hook's own"]);
  });
});
