import { useState } from "react";
import { useAction } from "../hooks";
import { client, type User } from "../picobase";
import { Field } from "./Field";
import { ErrorNote } from "./Status";

/** Sign-in and sign-up. */
export function Account({ expired }: { expired: boolean }) {
  const [isNew, setNew] = useState(false);
  const [mailed, setMailed] = useState(false);
  const { run, pending, error } = useAction(async (form: FormData) => {
    const text = (name: string) => String(form.get(name) ?? "");
    setMailed(false);
    if (!isNew) await client.auth.signIn(text("email"), text("password"));
    // No session yet means that this collection wants the address verified first.
    else if (!(await client.auth.signUp(text("email"), text("password"), { name: text("name") }))) setMailed(true);
  });

  return (
    <form
      className="card"
      aria-label={isNew ? "Sign up" : "Sign in"}
      onSubmit={(event) => {
        event.preventDefault();
        run(new FormData(event.currentTarget));
      }}
    >
      <h2>{isNew ? "Join the board" : "Sign in to write"}</h2>
      {expired && (
        <p className="note">
          Your session has ended. Sign in again, or{" "}
          {/* Until then no call is made: it would be answered as a guest's. */}
          <button type="button" className="link" onClick={() => client.auth.signOut()}>
            go on as a guest
          </button>
          .
        </p>
      )}
      {isNew && <Field label="Name" name="name" autoComplete="name" error={error?.fields.name} />}
      <Field label="Email" name="email" type="email" autoComplete="username" required error={error?.fields.email} />
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete={isNew ? "new-password" : "current-password"}
        required
        hint={isNew ? "At least 8 characters." : undefined}
        error={error?.fields.password}
      />
      <ErrorNote error={error} />
      {mailed && <p className="note">Almost there: open the link that we have sent to you, then sign in.</p>}
      <button className="primary" disabled={pending}>
        {pending ? "One moment…" : isNew ? "Sign up" : "Sign in"}
      </button>
      <button type="button" className="link" onClick={() => setNew(!isNew)}>
        {isNew ? "I have an account" : "I am new here"}
      </button>
    </form>
  );
}

export function SignOut({ user }: { user: User }) {
  const { run, pending } = useAction(() => client.auth.signOut());
  return (
    <div className="who">
      <span>{user.name || user.email}</span>
      <button type="button" onClick={run} disabled={pending}>
        Sign out
      </button>
    </div>
  );
}
