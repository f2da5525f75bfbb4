/** A server that is a script: what a client sends to it, and what the test answers, when it wants. */

/** A request as the client sent it. */
export class Sent {
  /** It was answered to its end. */
  over = false;
  /** The client has given it up. */
  dropped = false;
  #answer!: (response: Response) => void;
  #fail!: (error: Error) => void;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  #answered = false;
  #body: Promise<{ json?: any; form?: FormData }> | undefined;
  readonly response: Promise<Response>;

  constructor(
    readonly method: string,
    readonly url: string,
    readonly headers: Headers,
    readonly init: RequestInit,
    /** By the test's clock, in Unix milliseconds. */
    readonly at: number,
  ) {
    this.response = new Promise((answer, fail) => {
      this.#answer = answer;
      this.#fail = fail;
    });
    const signal = init.signal;
    const drop = () => {
      if (!this.over) this.dropped = true;
      this.#fail(signal!.reason);
      try {
        this.#stream?.error(signal!.reason);
      } catch {
        // It had ended already.
      }
    };
    if (signal?.aborted) drop();
    else signal?.addEventListener("abort", drop, { once: true });
  }

  get path(): string {
    return this.url.replace(/^[a-z]+:\/\/[^/]+/, "").replace(/\?.*/s, "");
  }

  /** Does it still wait for an answer? */
  get waits(): boolean {
    return !this.#answered && !this.dropped;
  }

  /** The whole answer. */
  answer(status: number, body: string | null = "", headers: Record<string, string> = {}): void {
    this.over = true;
    const whole = new ReadableStream<Uint8Array>({
      start(controller) {
        if (body) controller.enqueue(new TextEncoder().encode(body));
        controller.close();
      },
    });
    this.#respond(status, headers, whole);
  }

  /** The head of an answer whose body follows. */
  stream(status: number, headers: Record<string, string> = {}): void {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#stream = controller),
      cancel: () => void (this.dropped = !this.over),
    });
    this.#respond(status, headers, body);
  }

  /** A piece of the body. */
  send(text: string): void {
    this.#stream!.enqueue(new TextEncoder().encode(text));
  }

  end(): void {
    this.over = true;
    this.#stream!.close();
  }

  /** The connection breaks, before the answer or in its body. `code` is what Node tells of it. */
  break(code?: string): void {
    this.over = true;
    const error = new TypeError("fetch failed", code ? { cause: Object.assign(new Error(code), { code }) } : {});
    if (this.#stream) this.#stream.error(error);
    else {
      this.#answered = true;
      this.#fail(error);
    }
  }

  #respond(status: number, headers: Record<string, string>, body: ReadableStream<Uint8Array>): void {
    if (!this.waits) throw new Error(`nobody waits for ${this.method} ${this.url}`);
    this.#answered = true;
    const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
    const response = Object.defineProperties(new Response(null, { status }), {
      // A Response refuses some of what a server may send.
      headers: { value: { get: (name: string) => lower[name.toLowerCase()] ?? null } },
      // A browser reads its own bodies elsewhere, in a time of its own; here all is there as soon as it was sent.
      body: { value: body },
      text: { value: () => textOf(body) },
    });
    this.#answer(response);
  }

  /** The body as JSON, or as a form. */
  body(): Promise<{ json?: any; form?: FormData }> {
    return (this.#body ??= this.#read());
  }

  async #read(): Promise<{ json?: any; form?: FormData }> {
    const { body } = this.init;
    if (body == null) return {};
    if (body instanceof FormData) return { form: body };
    if (typeof body === "string") return { json: JSON.parse(body) };
    const type = this.headers.get("content-type") ?? "";
    const read = new Response(body as BodyInit, { headers: { "content-type": type } });
    return type.startsWith("multipart/") ? { form: await read.formData() } : { json: JSON.parse(await read.text()) };
  }
}

/** The text of a body, read in this very thread. */
async function textOf(body: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for (const reader = body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value, { stream: true });
  }
}

/** Everything that a client sends, in order. */
export class Script {
  readonly requests: Sent[] = [];

  /** `answer` is asked for each request; without it they wait for the test. */
  constructor(readonly answer?: (sent: Sent) => void) {}

  readonly fetch = ((url: string, init: RequestInit = {}) => {
    const sent = new Sent(init.method ?? "GET", String(url), new Headers(init.headers), init, Date.now());
    this.requests.push(sent);
    this.answer?.(sent);
    return sent.response;
  }) as typeof globalThis.fetch;

  get last(): Sent | undefined {
    return this.requests.at(-1);
  }
}
