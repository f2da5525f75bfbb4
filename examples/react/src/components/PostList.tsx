import { useAction, useLive } from "../hooks";
import { client, posts, type Post, type User } from "../picobase";
import { ErrorNote } from "./Status";

/** The newest posts, live. */
export function PostList({ user }: { user: User | null }) {
  const { records, error, retry } = useLive("posts", { sort: "-created,-id", limit: 50 });
  return (
    <section aria-label="Posts" aria-busy={!records && !error}>
      {/* A list that stands still goes on by itself; one that never came does not. */}
      <ErrorNote error={error} retry={records ? undefined : retry} />
      {!records && !error && <Placeholders />}
      {records?.length === 0 && <p className="empty">Nothing here yet. The first post is yours.</p>}
      <ul className="posts">
        {records?.map((post) => (
          <li key={post.id}>
            <PostCard post={post} mine={!!user && post.author === user.id} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function PostCard({ post, mine }: { post: Post; mine: boolean }) {
  const { run, pending, error } = useAction(() => posts.delete(post.id));
  return (
    <article className="post">
      {post.cover && <img src={client.storage.getUrl(post, post.cover, { thumb: "100x100" })} alt="" width={72} height={72} loading="lazy" />}
      <div>
        <h3>{post.title}</h3>
        {/* As text, never as HTML: others have written it. */}
        {post.body && <p>{post.body}</p>}
        <footer>
          <time dateTime={post.created}>{ago(post.created)}</time>
          {mine && (
            <button type="button" className="link" onClick={run} disabled={pending} aria-label={`Delete “${post.title}”`}>
              {pending ? "Deleting…" : "Delete"}
            </button>
          )}
        </footer>
        <ErrorNote error={error} />
      </div>
    </article>
  );
}

function Placeholders() {
  return (
    <div className="posts" aria-hidden="true">
      {[1, 2, 3].map((n) => (
        <div key={n} className="post placeholder" />
      ))}
    </div>
  );
}

const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** "2 minutes ago", of a date as the server writes it: `2026-11-21 15:00:00.000Z`. */
function ago(date: string): string {
  const minutes = Math.round((Date.parse(date.replace(" ", "T")) - Date.now()) / 60_000);
  if (Math.abs(minutes) < 1) return "just now";
  if (Math.abs(minutes) < 60) return words.format(minutes, "minute");
  const hours = Math.round(minutes / 60);
  return Math.abs(hours) < 24 ? words.format(hours, "hour") : words.format(Math.round(hours / 24), "day");
}
