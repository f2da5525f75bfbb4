/** Bodies as fetch and XMLHttpRequest take them. */
import { Form, type HttpRequest } from "../core/platform.js";

/** A stream is read to its end first: forms take none, and browsers send one over HTTP/2 only, which nobody can foresee. */
const whole = (data: any): any => (data instanceof ReadableStream ? new Response(data).blob() : data);

/** The body of a request, whole. */
export async function encode({ body }: HttpRequest): Promise<any> {
  if (!(body instanceof Form)) return whole((body as any)?.raw ?? body);
  const form = new FormData();
  // Text, not a Blob: that would have a file name, and the server would take it for a file.
  if (body.json) form.append("@jsonPayload", body.json);
  for (const [field, name, type, data] of body.files) form.append(field, new Blob([await whole(data)], { type }), name);
  return form;
}
