import type { APIRoute } from "astro";

/** A form posts here, so that no link and no prefetch ever signs anybody out. */
export const POST: APIRoute = async ({ locals, redirect }) => {
  await locals.client.auth.signOut();
  return redirect("/", 303);
};
