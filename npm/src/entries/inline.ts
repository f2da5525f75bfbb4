/** The package with its modules inside, for pages and servers. */
import { type CreateClient, entry } from "../entry.js";
import { inline } from "../platforms/inline.js";

export * from "../index.js";
export const createClient: CreateClient = (url, key, options) => entry(inline())(url, key, options);
