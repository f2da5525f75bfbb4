import { useRef, useState } from "react";
import { useAction } from "../hooks";
import { posts, type User } from "../picobase";
import { Field, TextArea } from "./Field";
import { ErrorNote } from "./Status";

/** Writes a post. The list shows it by itself: it is live. */
export function Composer({ user }: { user: User }) {
  const form = useRef<HTMLFormElement>(null);
  const [sent, setSent] = useState<number>();
  const { run, pending, error } = useAction(async (data: FormData) => {
    const cover = data.get("cover") as File;
    const post = { title: data.get("title"), body: data.get("body"), author: user.id, status: "published" };
    try {
      await posts.create(cover.size ? { ...post, cover } : post, {
        // A create that may be repeated when its answer is lost, and still happens once.
        safeRetry: true,
        onProgress: ({ done, total }) => cover.size && total && setSent(done / total),
      });
      form.current?.reset();
    } finally {
      setSent(undefined);
    }
  });

  return (
    <form
      ref={form}
      className="card"
      aria-label="New post"
      onSubmit={(event) => {
        event.preventDefault();
        run(new FormData(event.currentTarget));
      }}
    >
      <h2>New post</h2>
      <Field label="Title" name="title" maxLength={200} error={error?.fields.title} />
      <TextArea label="Text" name="body" rows={4} error={error?.fields.body} />
      <Field
        label="Cover"
        name="cover"
        type="file"
        accept="image/png,image/jpeg,image/webp,image/gif"
        hint="A picture of up to 10 MB."
        error={error?.fields.cover}
      />
      {sent !== undefined && (
        <div className="progress">
          <progress value={sent} aria-label="Upload" />
          <span>{Math.round(sent * 100)} %</span>
        </div>
      )}
      <ErrorNote error={error} />
      <button className="primary" disabled={pending}>
        {pending ? "Pinning…" : "Pin it"}
      </button>
    </form>
  );
}
