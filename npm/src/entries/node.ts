/** The package in Node. Each client has connections of its own. */
import { type CreateClient, entry } from "../entry.js";
import { node } from "../platforms/node.js";

export * from "../index.js";
export const createClient: CreateClient = (url, key, options) => entry(node())(url, key, options);
