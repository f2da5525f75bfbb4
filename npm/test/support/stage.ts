/** What realtime's scenarios share: a server of their own, a writer, and watches that fold events into a state. */
import type { Client, ClientOptions } from "@picobase/client";
import { expect } from "vitest";
import type { Logged, Proxy, Server } from "./kit.js";
import { sleep, until, type World } from "./world.js";

type Row = { id: string; updated: string; [field: string]: any };

export class Stage {
  #writes = true;
  #writer: Promise<void> | undefined;
  /** How many writes were done. */
  written = 0;

  private constructor(
    readonly server: Server,
    /** Through the proxy: the one under test. */
    readonly client: Client,
    /** Past the proxy. */
    readonly direct: Client,
  ) {}

  static async new(world: World, realtime: ClientOptions["realtime"] = {}, options: ClientOptions = {}): Promise<Stage> {
    const server = await world.server();
    const client = world.client(server.url, { realtime: { overlap: 200, ...realtime }, ...options });
    const stage = new Stage(server, client, world.client(server.directUrl));
    world.later(() => stage.stop());
    return stage;
  }

  get proxy(): Proxy {
    return this.server.proxy;
  }

  /** Writes from now on: creates, updates and deletes, some thirty a second, whatever becomes of the server. */
  write(): void {
    const posts = this.direct.collection("bulk");
    const ids: string[] = [];
    const once = async () => {
      const what = Math.random();
      if (what < 0.5 || ids.length < 3) ids.push((await posts.create({ n: this.written, text: "made" }, { timeout: 1000 })).id);
      else if (what < 0.8) await posts.update(ids[Math.floor(Math.random() * ids.length)]!, { n: this.written }, { timeout: 1000 });
      else await posts.delete(ids.splice(Math.floor(Math.random() * ids.length), 1)[0]!, { timeout: 1000 });
    };
    this.#writer = (async () => {
      while (this.#writes) {
        await once().catch(() => sleep(100));
        this.written++;
        // Each write has a millisecond of its own.
        await sleep(25);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#writes = false;
    await this.#writer;
  }

  /** Until so many more were written, each in a time of its own: some take a second where nobody answers. */
  async more(n: number): Promise<void> {
    for (const wanted = this.written + n; this.written < wanted; ) {
      const before = this.written;
      await until(() => this.written, (written) => written > before);
    }
  }

  async watch(topic = "*"): Promise<Watch> {
    const watch = new Watch();
    watch.stop = await this.client.collection("bulk").subscribe(topic, (event) => watch.take(event), {
      onResync: (reason: string) => void watch.resyncs.push(reason),
      onLagged: (missed: number) => void watch.lagged.push(missed),
    });
    return watch;
  }

  /** The requests for a stream, so far. */
  async streams(): Promise<Logged[]> {
    return (await this.proxy.requests("/api/realtime")).filter((request) => request.method === "GET");
  }

  /** Waits until the client is connected, by one stream, however long that takes. */
  async connected(): Promise<void> {
    await until(async () => this.client.realtime.isConnected && (await this.streams()).filter((stream) => stream.ended_ms === null).length === 1);
  }

  /** Cuts the stream, of which there is one. */
  async cut(how: "close" | "reset" | "stall"): Promise<void> {
    await this.connected();
    await until(() => this.proxy.cut(how, "/api/realtime"), ({ connections }) => connections > 0);
  }

  /** Cuts it, and lets no other begin before something was written that only catching up can tell of. */
  async cutFor(how: "close" | "reset" | "stall"): Promise<void> {
    await this.connected();
    await this.proxy.faults({ method: "GET", path: "/api/realtime", action: { type: "reset" } });
    // One that was to be replaced just now may be gone already.
    await this.proxy.cut(how, "/api/realtime");
    await this.more(3);
    await this.direct.collection("bulk").create({ n: this.written, text: "missed" });
    await this.proxy.faults();
  }

  /** Nothing is written any more, and the watch comes to what the server has. */
  async converges(watch: Watch): Promise<void> {
    await this.stop();
    // Asked anew each time: a write that its writer has given up may still be done.
    const server = async () => (await this.direct.collection<Row>("bulk").getFullList()).map((row) => [row.id, row] as const);
    await until(
      async () => ({ shown: [...watch.state].sort(), server: (await server()).sort() }),
      ({ shown, server }) => JSON.stringify(shown) === JSON.stringify(server),
    );
    expect(watch.doubles).toEqual([]);
  }
}

export class Watch {
  readonly state = new Map<string, Row>();
  readonly events: { action: string; origin: string; record: Row }[] = [];
  readonly doubles: unknown[] = [];
  readonly resyncs: string[] = [];
  readonly lagged: number[] = [];
  stop!: () => Promise<void>;

  take(event: any): void {
    const { action, record } = event;
    const before = this.state.get(record.id);
    if (before && before.updated > record.updated) this.doubles.push({ older: event, before });
    if (before && action !== "delete" && JSON.stringify(before) === JSON.stringify(record)) this.doubles.push(event);
    this.events.push(event);
    if (action === "delete") this.state.delete(record.id);
    else this.state.set(record.id, record);
  }

  caughtUp(): number {
    return this.events.filter((event) => event.origin === "catchup").length;
  }
}
