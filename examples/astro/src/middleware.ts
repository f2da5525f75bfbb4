import { fromCookies, setCookies } from "@picobase/client";
import { defineMiddleware } from "astro:middleware";
import { picobase } from "./picobase";

/** One client for each request, with the session of the visitor's cookie. Sessions of two visitors never meet. */
export const onRequest = defineMiddleware(async ({ request, locals }, next) => {
  const client = picobase.withSession(fromCookies(request));
  locals.client = client;
  try {
    let changed = false;
    client.authStore.onChange(() => (changed = true));
    const answer = await next();
    // Rendered to its end before its head goes out: so the cookie tells what any part of the page has done to the session.
    const page = new Response(answer.body && (await answer.arrayBuffer()), answer);
    // Every page says who is signed in: no cache on the way may keep it.
    page.headers.set("Cache-Control", "private, no-cache");
    // A token that a call found to be old is renewed beside it: the cookie is to have the new one.
    await client.auth.settled();
    if (changed) setCookies(page, client.authStore, {}, request);
    return page;
  } finally {
    client.close();
  }
});
