/**
 * What every project does with the package: a sign-in, a list, a record with a file, an event, a cold start. Answers what
 * it saw, in lines; throws where that is not what it should be.
 */
export async function scenario(createClient, { url, faults, email, password }) {
  const saw = [];
  const states = [];
  const client = createClient(url);
  client.onState((state) => void states.push(state));
  try {
    await client.auth.signIn(email, password);
    expect(client.authStore.isValid && client.authStore.record?.email === email, "the session is that of the user");
    saw.push(`signed in as ${client.authStore.record.email}`);

    const posts = client.collection("posts");
    const before = await posts.getList(1, 5);
    expect(Array.isArray(before.items), "a list has items");
    saw.push(`listed ${before.items.length} of ${before.totalItems} posts`);

    const post = await withFile(client, posts);
    saw.push(`created ${post.id.length} characters of id with the file ${post.attachments.length}, read it back`);

    const event = await firstEvent(posts, () => posts.create({ title: "told" }));
    expect(event.action === "create" && event.record.title === "told", "the event tells of the record");
    saw.push(`was told of ${event.action} "${event.record.title}"`);

    const list = await coldStart(faults, () => posts.getList(1, 5));
    expect(list.totalItems === before.totalItems + 2, "both records are in the list");
    expect(states.includes("starting") && states.at(-1) === "ready", `the states are starting, then ready: ${states}`);
    saw.push(`waited for a sleeping instance: ${states.join(", ")}; then ${list.totalItems} posts`);
  } finally {
    client.close();
  }
  return saw.join("\n");
}

/** A record with a file, which is then fetched and compared. */
async function withFile(client, posts) {
  const bytes = new Uint8Array(10_000).map((_, index) => index * 7);
  const post = await posts.create({ title: "with a file", attachments: [new File([bytes], "seven.bin")] });
  expect(post.title === "with a file" && post.attachments.length === 1, "the record has its file");
  const answer = await fetch(client.storage.getUrl(post, post.attachments[0]));
  const read = new Uint8Array(await answer.arrayBuffer());
  expect(read.length === bytes.length && read.every((byte, index) => byte === bytes[index]), "the file is as it was sent");
  return post;
}

/** Subscribes, does something, and answers the first event. */
async function firstEvent(posts, cause) {
  let tell;
  let limit;
  const event = new Promise((resolve, reject) => {
    tell = resolve;
    limit = setTimeout(() => reject(new Error("no event in 60 s")), 60_000);
  });
  event.catch(() => {}); // Where the subscribe fails, that is the error.
  try {
    const unsubscribe = await posts.subscribe("*", tell);
    await cause();
    await event;
    await unsubscribe();
    return event;
  } finally {
    clearTimeout(limit); // It would keep a program alive, of which the client must not be the reason.
  }
}

/** Calls while the instance answers 503, for 1.5 seconds from then on. */
async function coldStart(faults, call) {
  const rule = { path_prefix: "/api/", for_ms: 1500, from: "first_hit", action: { type: "respond", status: 503 } };
  const set = await fetch(faults, { method: "PUT", body: JSON.stringify([rule]), headers: { "Content-Type": "application/json" } });
  expect(set.ok, "the proxy takes the rule");
  return call();
}

function expect(holds, what) {
  if (!holds) throw new Error(`it does not hold that ${what}`);
}
