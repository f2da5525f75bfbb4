/** B18: a hook before and after each call. */
import { describe, expect } from "vitest";
import { failure, it } from "../support/world.js";

describe.concurrent("B18", () => {
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

  it("a hook that throws fails the call, and nothing else", async ({ world }) => {
    let fails = true;
    const client = world.client(undefined, {
      beforeSend: () => {
        if (fails) throw new Error("the hook's own");
      },
    });
    await expect(client.collection("posts").getList(1, 1)).rejects.toThrow(/the hook's own/);
    fails = false;
    await client.collection("posts").getList(1, 1);
  });
});
