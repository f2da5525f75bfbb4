/** A clock that only the test moves, in the place of the real one, and randomness whose every byte is 7. */

const real = { now: Date.now, performance: performance.now.bind(performance), setTimeout: setTimeout.bind(globalThis) as typeof setTimeout, clearTimeout: clearTimeout.bind(globalThis), random: crypto.getRandomValues.bind(crypto) };

/** A turn of the event loop, whatever the clock says. */
const turn = typeof MessageChannel === "undefined" ? () => new Promise<void>((done) => real.setTimeout(done, 0)) : (() => {
  const { port1, port2 } = new MessageChannel();
  const waiting: (() => void)[] = [];
  port1.onmessage = () => waiting.shift()?.();
  (port1 as any).unref?.();
  return () =>
    new Promise<void>((done) => {
      (port1 as any).ref?.();
      waiting.push(() => ((port1 as any).unref?.(), done()));
      port2.postMessage(0);
    });
})();

/** Waits for the module behind a client, which takes real time; fails where the client's configuration is refused. */
export async function ready(client: object): Promise<void> {
  const { ref } = client as any;
  while (ref.queue) await turn();
  if (ref.error) throw ref.error;
}

interface Timer {
  at: number;
  call: () => void;
}

/** What is known of a timer outside. Node's own parts take one too, for idle connections for example, and ask this of it. */
class Handle {
  ref = () => this;
  unref = () => this;
  refresh = () => this;
  hasRef = () => false;
}

export class FakeClock {
  #now: number;
  /** In the order in which they were set. */
  #timers = new Map<unknown, Timer>();

  /** `now` in Unix milliseconds. Without `timers` no time limit ever passes. */
  constructor(
    now: number,
    readonly timers: boolean,
  ) {
    this.#now = now;
    const start = now;
    Date.now = () => this.#now;
    performance.now = () => (timers ? this.#now - start : 0);
    globalThis.setTimeout = ((call: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => {
      const handle = new Handle();
      if (timers) this.#timers.set(handle, { at: this.#now + Math.ceil(ms), call: () => call(...args) });
      return handle;
    }) as unknown as typeof setTimeout;
    // One that was set before is a real one.
    globalThis.clearTimeout = ((handle: any) => void (handle instanceof Handle ? this.#timers.delete(handle) : real.clearTimeout(handle))) as typeof clearTimeout;
    crypto.getRandomValues = ((bytes: Uint8Array) => bytes.fill(7)) as typeof crypto.getRandomValues;
  }

  get now(): number {
    return this.#now;
  }

  /** Sets the clock, without a timer that goes off. */
  set(now: number): void {
    this.#now = now;
  }

  /** Time passes, timer by timer; after each the client works until it rests. */
  async goTo(now: number): Promise<void> {
    for (;;) {
      const next = Math.min(...[...this.#timers.values()].map((timer) => timer.at));
      if (next > now) break;
      this.#now = Math.max(this.#now, next);
      await this.rest();
    }
    this.#now = now;
    await this.rest();
  }

  /** Until nothing more happens without the clock, an answer or a new step. */
  async rest(): Promise<void> {
    for (let quiet = 0; quiet < 6; quiet++) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= this.#now);
      for (const [handle, timer] of due.sort(([, a], [, b]) => a.at - b.at)) {
        if (this.#timers.delete(handle)) timer.call();
      }
      if (due.length) quiet = 0;
      await turn();
    }
  }

  /** What takes real time, a browser's reading of a stream for example. */
  async until(holds: () => unknown): Promise<void> {
    const end = real.performance() + 40_000;
    while (!holds()) {
      if (real.performance() > end) throw new Error(`it does not become so: ${holds}`);
      await turn();
    }
    await this.rest();
  }

  /** The real ones again. */
  end(): void {
    Date.now = real.now;
    performance.now = real.performance;
    globalThis.setTimeout = real.setTimeout;
    globalThis.clearTimeout = real.clearTimeout;
    crypto.getRandomValues = real.random;
  }
}
