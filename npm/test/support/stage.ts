/** What realtime's scenarios share: a server of their own, a writer, and watches that fold events into a state. */
import type { Client, ClientOptions } from "@picobase/client";
import { expect } from "vitest";
import type { Proxy, Server } from "./kit.js";
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

  /** Until so many more were written. */
  async more(n: number): Promise<void> {
    const wanted = this.written + n;
    await until(() => this.written, (written) => written >= wanted);
  }

  async watch(topic = "*"): Promise<Watch> {
    const watch = new Watch();
    watch.stop = await this.client.collection("bulk").subscribe(topic, (event) => watch.take(event), {
      onResync: (reason: string) => void watch.resyncs.push(reason),
      onLagged: (missed: number) => void watch.lagged.push(missed),
    });
    return watch;
  }

  /** Nothing is written any more, and each watch comes to what the server has. */
  async converges(...watches: Watch[]): Promise<void> {
    await this.stop();
    const server = new Map((await this.direct.collection<Row>("bulk").getFullList()).map((row) => [row.id, row]));
    for (const watch of watches) {
      const wanted = new Map([...server].filter(([id]) => watch.state.has(id) || watch.complete));
      await until(
        () => [...watch.state].sort(),
        (state) => JSON.stringify(state) === JSON.stringify([...wanted].sort()),
      );
      expect(watch.doubles).toEqual([]);
    }
  }
}

export class Watch {
  readonly state = new Map<string, Row>();
  readonly events: { action: string; origin: string; record: Row }[] = [];
  readonly doubles: unknown[] = [];
  readonly resyncs: string[] = [];
  readonly lagged: number[] = [];
  stop!: () => Promise<void>;
  /** Was it there before the first write? */
  complete = true;

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
