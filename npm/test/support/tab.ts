/** A page beside the one that tests: a client on the same localStorage. */
import { createClient } from "@picobase/client";

const given = new URLSearchParams(location.search);
const client = createClient(given.get("url")!, null, { storageKey: given.get("key")! });
const seen: string[] = [];
client.auth.onAuthStateChange((event) => void seen.push(event));

Object.assign(globalThis, {
  tab: {
    seen,
    token: () => client.authStore.token,
    name: () => client.authStore.record?.name,
    me: async () => (await client.collection("users").getList()).items[0]?.email,
    signOut: () => client.auth.signOut(),
  },
});
