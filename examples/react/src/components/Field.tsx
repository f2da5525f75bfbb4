import type { FieldError } from "@picobase/client";
import { useId, type ComponentProps, type ReactNode } from "react";

interface Shared {
  label: string;
  hint?: ReactNode;
  /** What the server refused, shown beside the field and read out with it. */
  error?: FieldError | undefined;
}

export function Field({ label, hint, error, ...input }: Shared & ComponentProps<"input">) {
  return (
    <Labelled label={label} hint={hint} error={error}>
      {(marks) => <input {...input} {...marks} />}
    </Labelled>
  );
}

export function TextArea({ label, hint, error, ...area }: Shared & ComponentProps<"textarea">) {
  return (
    <Labelled label={label} hint={hint} error={error}>
      {(marks) => <textarea {...area} {...marks} />}
    </Labelled>
  );
}

type Marks = { id: string; "aria-invalid": boolean; "aria-describedby": string | undefined };

function Labelled({ label, hint, error, children }: Shared & { children: (marks: Marks) => ReactNode }) {
  const id = useId();
  const note = error?.message ?? hint;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-invalid": !!error, "aria-describedby": note ? `${id}-note` : undefined })}
      {note && (
        <small id={`${id}-note`} className={error ? "refused" : undefined}>
          {note}
        </small>
      )}
    </div>
  );
}
