import { createClient } from "@picobase/client";
import { scenario } from "./scenario.mjs";

export default {
  async fetch(request) {
    try {
      return new Response(await scenario(createClient, await request.json()));
    } catch (error) {
      return new Response(error.stack ?? String(error), { status: 500 });
    }
  },
};
