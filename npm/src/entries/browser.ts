/** The package in pages. */
import { entry } from "../entry.js";
import { browser } from "../platforms/browser.js";

export * from "../index.js";
export const createClient = /* @__PURE__ */ entry(browser);
