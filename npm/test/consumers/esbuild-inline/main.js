// One file and no assets: for bundlers that copy none.
import { createClient } from "@picobase/client/inline";
import { scenario } from "./scenario.mjs";

window.saw = scenario(createClient, JSON.parse(decodeURIComponent(location.hash.slice(1))));
