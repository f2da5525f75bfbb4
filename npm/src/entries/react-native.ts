/** The package in React Native, where it cannot run: it says so at the first client, not at import. */
import type { CreateClient } from "../entry.js";
import { PicoBaseError } from "../error.js";

export * from "../index.js";
export const createClient: CreateClient = () => {
  throw new PicoBaseError({
    kind: "Configuration",
    message: "@picobase/client cannot run in React Native: its engine, Hermes, has no WebAssembly",
    fix: "Call the instance with PocketBase's own package, `pocketbase`, or keep these calls on a server of yours that uses @picobase/client.",
  });
};
