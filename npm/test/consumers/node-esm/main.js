import { createClient } from "@picobase/client";
import { scenario } from "./scenario.mjs";

// Ends by itself when the client is closed: nothing may keep the process alive.
console.log(await scenario(createClient, JSON.parse(process.env.PICOBASE_CONSUMER)));
