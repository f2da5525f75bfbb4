import { createClient } from "@picobase/client";
import { scenario } from "./scenario.mjs";

onmessage = ({ data }) =>
  scenario(createClient, data).then(
    (saw) => postMessage({ saw }),
    (error) => postMessage({ error: error.stack ?? String(error) }),
  );
