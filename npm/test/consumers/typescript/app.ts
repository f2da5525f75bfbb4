import { createClient, PicoBaseError, type RecordModel } from "@picobase/client";

interface Post extends RecordModel {
  title: string;
  n: number;
}

const client = createClient("http://127.0.0.1:8090", "pk_test", { timeout: 5000 });

export async function titles(q: string): Promise<string[]> {
  const filter = client.filter("title ~ {:q}", { q });
  const page = await client.collection<Post>("posts").getList(1, 20, { filter, sort: "-created" });
  return page.items.map((post) => post.title);
}

export async function follow(tell: (title: string) => void): Promise<() => Promise<void>> {
  return client.collection<Post>("posts").subscribe("*", (event) => {
    if (event.action === "create") tell(event.record.title);
  });
}

export async function signIn(email: string, password: string): Promise<string | undefined> {
  try {
    await client.auth.signIn(email, password);
    return client.authStore.record?.id;
  } catch (error) {
    if (error instanceof PicoBaseError) return `${error.kind}: ${error.fix}`;
    throw error;
  }
}

// What has to be refused is refused: else the types would be `any`.
export async function wrong(): Promise<void> {
  const post = await client.collection<Post>("posts").getOne("abc");
  // @ts-expect-error: a number
  post.n = "one";
  // @ts-expect-error: no such method
  await client.collection("posts").getLists();
  // @ts-expect-error: a page is a number
  await client.collection("posts").getList("1");
}
