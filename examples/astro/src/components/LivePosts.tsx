import { createClient, type LiveQuery } from "@picobase/client";
import { useEffect, useState } from "react";
import type { Post, Schema } from "../picobase";

interface Props {
  url: string;
  apiKey: string;
  /** What the server has rendered; null where the instance was asleep. */
  initial: Post[] | null;
}

/**
 * The newest posts: rendered by the server, then live.
 *
 * The island is a guest, on purpose. The session's cookie is HttpOnly: no script can read it, so none that gets into a
 * page can take it away. An endpoint that gave the token to the island would undo that. Posts are public, so a guest
 * is enough; what only members may see is rendered by the server, which asks with the visitor's session.
 */
export default function LivePosts({ url, apiKey, initial }: Props) {
  const [posts, setPosts] = useState(initial);
  const [state, setState] = useState(initial ? "ready" : "starting");
  const [error, setError] = useState<string>();

  useEffect(() => {
    const client = createClient<Schema>(url, apiKey, { store: "memory" });
    const show = (live: LiveQuery<Post>) => {
      setPosts([...live.records]);
      live.subscribe(() => setPosts([...live.records]));
    };
    client.onState(setState);
    client
      .collection("posts")
      .live({ sort: "-created,-id", fields: "id,title,body,created", limit: 20 })
      .then(show, (failure) => failure.kind !== "Cancelled" && setError(failure.message));
    return () => client.close();
  }, [url, apiKey]);

  return (
    <>
      <p role="status" className="status">
        {state === "starting" && <b>Waking up… the news will be here in a moment.</b>}
        {state === "unreachable" && <b>The server could not be reached.</b>}
        {error}
      </p>
      {posts?.length === 0 && <p className="empty">No news is good news.</p>}
      <ul className="posts">
        {posts?.map((post) => (
          <li key={post.id}>
            <article>
              <h2>{post.title}</h2>
              {post.body && <p>{post.body}</p>}
              <time dateTime={post.created}>{post.created.slice(0, 16)} UTC</time>
            </article>
          </li>
        ))}
      </ul>
    </>
  );
}
