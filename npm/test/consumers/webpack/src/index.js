import { createClient } from "@picobase/client";
import { scenario } from "../scenario.mjs";

window.saw = scenario(createClient, JSON.parse(decodeURIComponent(location.hash.slice(1))));
