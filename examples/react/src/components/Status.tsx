import type { PicoBaseError } from "@picobase/client";
import { useInstanceState, useRealtimeState } from "../hooks";

/** Says that the instance wakes up. Nothing else in the page has to care: calls wait. */
export function InstanceBanner() {
  const state = useInstanceState();
  return (
    <div role="status" className="banner" data-state={state}>
      {state === "starting" && (
        <p>
          <span className="spinner" aria-hidden="true" />
          <b>Waking up…</b> The server was asleep. This takes a few seconds, and nothing is lost.
        </p>
      )}
      {state === "unreachable" && (
        <p>
          <b>No answer.</b> The server could not be reached. Check your connection and try again.
        </p>
      )}
    </div>
  );
}

const WORDS: Record<string, string> = {
  connected: "Live",
  connecting: "Connecting…",
  reconnecting: "Reconnecting…",
  suspended: "Paused",
  disconnected: "Offline",
};

/** How the event stream stands: is what the page shows up to date? */
export function ConnectionBadge() {
  const state = useRealtimeState();
  return (
    <span className="badge" data-state={state} role="status" aria-label={`Connection: ${WORDS[state] ?? state}`}>
      {WORDS[state] ?? state}
    </span>
  );
}

/** What went wrong and what helps. Fields that were refused say so themselves, beside their inputs. */
export function ErrorNote({ error, retry }: { error: PicoBaseError | undefined; retry?: (() => void) | undefined }) {
  if (!error) return null;
  // `fix` is written for developers. An app for everybody has words of its own for the kinds that it expects.
  const fix = Object.keys(error.fields).length ? "" : error.fix;
  return (
    <div className="error" role="alert">
      <p>{error.message}</p>
      {fix && <p className="fix">{fix}</p>}
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}
