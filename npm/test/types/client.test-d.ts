/** The types as users get them: this file is only compiled, against the declarations of the package that was built. */
import {
  type Client,
  createClient,
  type ErrorKind,
  filter,
  type ListResult,
  PicoBaseError,
  type RecordModel,
  type WithExpand,
} from "@picobase/client";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Fails to compile unless the value has exactly that type. */
const is = <T>() => <V>(_value: V, _same: Same<V, T>): void => {};

interface User {
  id: string;
  name: string;
}
interface Post {
  id: string;
  title: string;
  views: number;
}

export async function records(client: Client): Promise<void> {
  const posts = client.collection<Post>("posts");
  is<ListResult<Post>>()(await posts.getList(1, 20, { filter: "a = 1", sort: null, skipTotal: true }), true);
  is<Post>()(await posts.getOne("r1"), true);
  is<Post[]>()(await posts.getFullList({ batch: 10, filter: undefined }), true);
  is<Post[]>()(await posts.getFullList(200, { sort: "-title" }), true);
  is<{ id: string }>()(await posts.getOne<{ id: string }>("r1", { fields: "id" }), true);
  is<Post>()(await posts.create({ title: "a", cover: new Blob([]) }, { safeRetry: true, onProgress: ({ done }) => done }), true);
  is<Post>()(await posts.update("r1", new FormData(), { expand: "author" }), true);
  is<true>()(await posts.delete("r1"), true);
  const { records, missing } = await posts.getMany(["r1"]);
  is<Post[]>()(records, true);
  is<string[]>()(missing, true);
  for await (const post of posts.iterate({ batch: 5 })) is<Post>()(post, true);

  const any = await client.collection("posts").getOne("r1");
  is<RecordModel>()(any, true);
  is<any>()(any.title, true);

  // @ts-expect-error: there is no such field
  (await posts.getOne("r1")).titel;
  // @ts-expect-error: other parameters go into `query`
  await posts.getList(1, 20, { tag: "a" });
  await posts.getList(1, 20, { query: { tag: "a", at: new Date(), list: [1], none: null }, headers: { "X-A": undefined } });
  await posts.getList(1, 20, { query: [["tag", "a"], ["tag", "b"]], headers: new Headers(), timeout: 5, requestKey: null, signal: null });
}

export async function expand(client: Client): Promise<void> {
  type Full = WithExpand<Post, { author: User; tags: { id: string }[] }>;
  const post = await client.collection<Full>("posts").getOne("r1", { expand: "author,tags" });
  is<User | undefined>()(post.expand?.author, true);
  is<{ id: string }[] | undefined>()(post.expand?.tags, true);
  is<string>()(post.title, true);
  const once = await client.collection<Post>("posts").getList<WithExpand<Post, { author: User }>>();
  is<string | undefined>()(once.items[0]?.expand?.author?.name, true);
  // @ts-expect-error: a related record may be missing
  post.expand.author;
}

export async function schema(): Promise<void> {
  const client = createClient<{ posts: Post; users: User }>("https://h", null, { store: "memory", timeout: 5 });
  is<Post>()(await client.collection("posts").getOne("r1"), true);
  is<User>()(await client.collection("users").getOne("r1"), true);
  is<RecordModel>()(await client.collection("others").getOne("r1"), true);
  is<{ a: 1 }>()(await client.collection<{ a: 1 }>("others").getOne("r1"), true);
  is<Client<{ posts: Post; users: User }>>()(client.withSession(null), true);
  client.withSession("token").close();
  client.withSession(client.authStore).close();
  client.withSession({ load: () => null, save() {}, clear() {} }).close();
  {
    using _ = client;
  }
  createClient();
  createClient(undefined, undefined, { realtime: { liveness: 5 }, beforeSend: ({ endpoint }) => ({ headers: { "X-A": endpoint } }) });
  // @ts-expect-error: there is no such option
  createClient("https://h", null, { storge: "memory" });
  // @ts-expect-error: options come third
  createClient("https://h", { timeout: 5 });
}

export async function realtime(client: Client): Promise<void> {
  const posts = client.collection<Post>("posts");
  const stop = await posts.subscribe("*", ({ action, record, id, origin }) => {
    is<"create" | "update" | "delete">()(action, true);
    is<Post>()(record, true);
    is<string>()(id, true);
    is<"live" | "catchup">()(origin, true);
  });
  is<Promise<void>>()(stop(), true);
  using live = await posts.live({ filter: "a = 1", sort: "-title" });
  is<readonly Post[]>()(live.records, true);
  is<() => void>()(live.subscribe(() => {}), true);
}

export async function others(client: Client): Promise<void> {
  is<string>()(client.filter("a = {:a} && b > {:b}", { a: "x", b: new Date() }), true);
  is<string>()(filter("a = {:a}", { a: null }), true);
  is<string>()(client.files.getURL({ id: "r1", collectionName: "posts" }, "a.png", { thumb: "1x1", download: true }), true);
  is<string>()(client.storage.getUrl(await client.collection<RecordModel>("posts").getOne("r1"), "a.png"), true);
  is<Response>()(await client.storage.download({ id: "r1", collectionId: "c" }, "a.png", { protected: true }), true);
  is<RecordModel>()(await client.storage.upload("docs", new Uint8Array(), { field: "doc", name: "a.bin" }), true);
  is<any>()(await client.send("/api/x", { method: "POST", body: {} }), true);
  is<{ a: 1 }>()(await client.rpc<{ a: 1 }>("f", { b: 2 }), true);
  const batch = client.createBatch();
  batch.collection("posts").upsert({ id: "r1" }, { expand: "author" });
  is<number | undefined>()((await batch.send())[0]?.status, true);
  is<PicoBaseError | null>()((await batch.sendChunked({ size: 10 })).error, true);
  is<number>()((await client.health.check()).code, true);
  is<(string | null)[][]>()((await client.sql.run("SELECT 1")).rows, true);
  client.onState((state) => is<"starting" | "ready" | "unreachable">()(state, true))();
  const session = await client.auth.signIn("a", "b");
  is<string>()(session.token, true);
  is<boolean>()(client.authStore.isValid, true);
}

export function errors(error: unknown): void {
  if (!(error instanceof PicoBaseError)) return;
  is<ErrorKind>()(error.kind, true);
  if (error.kind === "Validation") is<string | undefined>()(error.fields.title?.message, true);
  is<string>()(error.fix, true);
  is<number | null>()(error.retryAfter, true);
  is<Record<string, any>>()(error.response, true);
  is<boolean>()(error.isAbort, true);
}

/** What is perhaps not there may be passed on, also with `exactOptionalPropertyTypes`. */
export async function perhaps(client: Client, text?: string, time?: number, signal?: AbortSignal): Promise<void> {
  const posts = client.collection<Post>("posts");
  await posts.getList(1, 20, { filter: text, sort: text, expand: text, requestKey: text, timeout: time, signal, query: undefined });
  await posts.getFullList({ batch: time, fields: text });
  await posts.create({}, { safeRetry: undefined, onProgress: undefined });
  await posts.subscribe("*", () => {}, { filter: text, signal, onResync: undefined, queueMax: time });
  await posts.live({ filter: text, sort: text, limit: time, signal });
  client.realtime.events("news", { signal });
  client.storage.getUrl({ id: text, collectionId: text }, "a.png", { thumb: text, download: text, token: text });
  await client.storage.download({ id: "r1" }, "a.png", { token: text, signal, onProgress: undefined });
  await client.auth.signIn("a", "b", { mfaId: text });
  await client.send("/api/x", { method: text, body: undefined });
  createClient(text, text, { timeout: time, store: undefined, storageKey: text, fetch: undefined, realtime: { liveness: time } });
}

/** What is internal does not show. */
export function hidden(client: Client): void {
  // @ts-expect-error: internal
  client.call;
  // @ts-expect-error: internal
  client.engine;
  // @ts-expect-error: internal
  client.ref;
  // @ts-expect-error: internal
  client.collection("posts").client;
}
