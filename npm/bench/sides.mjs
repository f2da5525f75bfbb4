/**
 * What is compared: the same work by this package, by PocketBase's SDK, and by hand. All of it runs in Node and in a page.
 *
 * A side is made for a server's URL. Each method does its work once and fails where the answer is not what it should be.
 */

/** How many records a page and the whole collection have, and how many events a burst. */
export const LIST = 500;
export const RECORDS = 5000;
export const EVENTS = 18_000;

/** Was the whole record decoded? */
function check(item) {
  const whole = item.text.length == 100 && item.n >= 0 && item.created.length == 24 && item.updated.length == 24;
  if (!whole || item.id.length != 15) throw new Error(`the server answered another record: ${JSON.stringify(item)}`);
}

function checkAll(items, expected) {
  if (items.length != expected) throw new Error(`${items.length} records in place of ${expected}`);
  check(items[expected - 1]);
}

/** Subscribes with `begin`, has `ask` begin the burst, and waits until all events have come. */
export async function take(begin, ask) {
  let end, count = 0;
  const all = new Promise((...ends) => (end = ends));
  const stop = await begin(({ action, record }) => {
    if (action != "create") end[1](new Error(`in place of a creation came ${action}`));
    check(record);
    if (++count == EVENTS) end[0]();
  });
  await ask();
  await all;
  await stop();
}

/** This package, by the `createClient` of one of its entries. */
export function picobase(createClient, url) {
  const client = createClient(url);
  const bulk = client.collection("bulk");
  return {
    get_one: async (id) => check(await bulk.getOne(id)),
    list: async () => checkAll((await bulk.getList(1, LIST, { skipTotal: true })).items, LIST),
    full_list: async () => checkAll(await bulk.getFullList(), RECORDS),
    burst: (ask) => take((each) => bulk.subscribe("*", each, { queueMax: EVENTS }), ask),
  };
}

/** PocketBase's SDK. */
export function pocketbase(PocketBase, url) {
  const bulk = new PocketBase(url).collection("bulk");
  return {
    get_one: async (id) => check(await bulk.getOne(id)),
    list: async () => checkAll((await bulk.getList(1, LIST, { skipTotal: true })).items, LIST),
    full_list: async () => checkAll(await bulk.getFullList(), RECORDS),
    burst: (ask) => take((each) => bulk.subscribe("*", each), ask),
  };
}

/** By hand: `get` fetches the text of a URL. */
export function bare(get, url) {
  const path = `${url}/api/collections/bulk/records`;
  const page = async (n, size) => JSON.parse(await get(`${path}?page=${n}&perPage=${size}&skipTotal=1`)).items;
  return {
    get_one: async (id) => check(JSON.parse(await get(`${path}/${id}`))),
    list: async () => checkAll(await page(1, LIST), LIST),
    async full_list() {
      const all = [];
      for (let n = 1, items; (items = await page(n, 1000)).length; n++) {
        all.push(...items);
        if (items.length < 1000) break;
      }
      checkAll(all, RECORDS);
    },
  };
}

/** By fetch. */
export async function byFetch(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${url}`);
  return response.text();
}
