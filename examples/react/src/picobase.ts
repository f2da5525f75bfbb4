import { createClient, type BaseRecord } from "@picobase/client";

/** A record of `posts`, as the app uses it. */
export interface Post extends BaseRecord {
  title: string;
  body: string;
  cover: string;
  author: string;
  created: string;
}

/** A record of `users`. */
export interface User extends BaseRecord {
  email: string;
  name: string;
}

/** The collections that this app uses. */
export type Schema = { posts: Post; users: User };

/** One client for the whole page: one session, one event stream, one gate when the instance sleeps. */
export const client = createClient<Schema>(import.meta.env.VITE_PICOBASE_URL ?? "http://127.0.0.1:8090", import.meta.env.VITE_PICOBASE_KEY);

export const posts = client.collection("posts");
