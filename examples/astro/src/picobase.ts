import { createClient, type BaseRecord } from "@picobase/client";

/** A record of `posts`, as the pages use it. */
export interface Post extends BaseRecord {
  title: string;
  body: string;
  created: string;
}

/** A record of `private_notes`: only its owner sees it. */
export interface Note extends BaseRecord {
  owner: string;
  body: string;
}

/** A record of `users`. */
export interface User extends BaseRecord {
  email: string;
  name: string;
}

/** The collections that this app uses. */
export type Schema = { posts: Post; private_notes: Note; users: User };

/** Where the instance is. Both are public: the page of a visitor gets them too. */
export const instance = {
  url: process.env.PICOBASE_URL ?? "http://127.0.0.1:8090",
  apiKey: process.env.PICOBASE_API_KEY ?? "",
};

/** The server's own client, a guest. The clients of all requests share its connections, and wait together for a sleeping instance. */
export const picobase = createClient<Schema>(instance.url, instance.apiKey, { store: "memory" });
