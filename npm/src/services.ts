/**
 * What superusers may do: collections, settings, logs, backups, scheduled jobs, SQL. And health, which anyone may ask.
 *
 * Their methods are rows of tables: each of them calls one row of the core's endpoint table.
 */
import type { Client } from "./client.js";
import { type Body, type FileData, isFile, noFile, split } from "./body.js";
import { Op } from "./core/ops.js";
import { fail } from "./error.js";
import { download, type DownloadOptions, segment, urlOf } from "./files.js";
import { Row } from "./rows.js";
import type { CallOptions, FullListOptions, ListOptions, ListResult } from "./types.js";

/** A collection and its schema. What it holds differs by its type and from one server version to the next. */
export interface CollectionModel {
  [field: string]: any;
  id: string;
  name: string;
  type: "base" | "auth" | "view";
  fields: { [option: string]: any; id: string; name: string; type: string }[];
  indexes: string[];
}

/** Collections and their schema, for superusers. */
export interface Collections {
  /** One page of collections. */
  getList(page?: number, perPage?: number, options?: ListOptions): Promise<ListResult<CollectionModel>>;
  /** All collections. */
  getFullList(options?: FullListOptions): Promise<CollectionModel[]>;
  /** The first collection that the filter finds; kind `NotFound` where there is none. */
  getFirstListItem(filter: string, options?: ListOptions): Promise<CollectionModel>;
  /** One collection, by id or name. */
  getOne(name: string, options?: CallOptions): Promise<CollectionModel>;
  /** Creates a collection. */
  create(body: object, options?: CallOptions): Promise<CollectionModel>;
  /** Changes what the body names. */
  update(name: string, body: object, options?: CallOptions): Promise<CollectionModel>;
  /** Deletes a collection with all its records. */
  delete(name: string, options?: CallOptions): Promise<true>;
  /** Deletes all records of a collection. */
  truncate(name: string, options?: CallOptions): Promise<true>;
  /** Creates and changes many at once; with `deleteMissing` all others are deleted, with their records. */
  import(collections: object[], deleteMissing?: boolean, options?: CallOptions): Promise<true>;
  /** What new collections of each type begin with. */
  getScaffolds(options?: CallOptions): Promise<Record<string, CollectionModel>>;
  /** The OAuth2 providers that the server knows (0.37 and newer). */
  getAllOAuth2Providers(options?: CallOptions): Promise<{ name: string; displayName: string; logo: string }[]>;
  /** Runs the query of a view and answers its fields and some of its records (server 0.37 and newer). */
  dryRunViewQuery(query: string, options?: CallOptions): Promise<{ fields: Record<string, any>[]; sample: Record<string, any>[] }>;
}

/** The instance's settings, for superusers. */
export interface Settings {
  /** All settings. Passwords and keys in them are left out. */
  getAll(options?: CallOptions): Promise<Record<string, any>>;
  /** Changes what the body names, and answers all settings. */
  update(body: object, options?: CallOptions): Promise<Record<string, any>>;
  /** Tries the S3 connection of `storage` or `backups`. */
  testS3(filesystem: "storage" | "backups", options?: CallOptions): Promise<true>;
  /** Sends a mail as a test: `verification`, `password-reset`, `email-change`, `otp` or `login-alert`. */
  testEmail(collection: string, to: string, template: string, options?: CallOptions): Promise<true>;
  /** Makes the client secret that Apple's OAuth2 wants; `duration` in seconds, at most six months. */
  generateAppleClientSecret(
    clientId: string,
    teamId: string,
    keyId: string,
    privateKey: string,
    duration: number,
    options?: CallOptions,
  ): Promise<{ secret: string }>;
}

/** An entry of the request logs. */
export interface LogModel {
  id: string;
  created: string;
  /** -4 for debug, 0 for info, 4 for warnings, 8 for errors. */
  level: number;
  message: string;
  data: Record<string, any>;
}

/** Request logs, for superusers. */
export interface Logs {
  /** One page of entries. */
  getList(page?: number, perPage?: number, options?: ListOptions): Promise<ListResult<LogModel>>;
  /** One entry. */
  getOne(id: string, options?: CallOptions): Promise<LogModel>;
  /** How many entries there are of each hour. */
  getStats(options?: CallOptions & { filter?: string | undefined }): Promise<{ date: string; total: number }[]>;
  /** Deletes all entries (server 0.40 and newer). */
  truncate(options?: CallOptions): Promise<true>;
}

/** Backups, for superusers. */
export interface Backups {
  /** All backups; `size` in bytes. */
  getFullList(options?: CallOptions): Promise<{ key: string; size: number; modified: string }[]>;
  /**
   * Makes a backup; the server makes a name up for an empty one. The answer comes when it is complete: with much data give
   * the call a `timeout` of minutes.
   */
  create(name?: string, options?: CallOptions): Promise<true>;
  /** Uploads a backup, a zip file. Its name becomes the key. */
  upload(file: FileData | Body, options?: CallOptions): Promise<true>;
  /** Downloads a backup, as {@link Storage.download} does. */
  download(key: string, options?: Pick<DownloadOptions, keyof CallOptions | "onProgress">): Promise<Response>;
  /** Deletes a backup. */
  delete(key: string, options?: CallOptions): Promise<true>;
  /** Replaces all data by that of a backup. The answer says only that it has begun; then ask `health.check()`. */
  restore(key: string, options?: CallOptions): Promise<true>;
  /** The URL of a backup, with a superuser's file token (`client.storage.getToken()`). */
  getDownloadURL(token: string, key: string): string;
}

/** Scheduled jobs, for superusers. */
export interface Crons {
  /** All jobs. */
  getFullList(options?: CallOptions): Promise<{ id: string; expression: string }[]>;
  /** Starts a job now; the answer does not wait for its end. */
  run(id: string, options?: CallOptions): Promise<true>;
}

/** SQL, for superusers (server 0.39 and newer). */
export interface Sql {
  /** Runs SQL of at most 5,000 characters. It takes no parameters: nothing that a user typed belongs in it. */
  run(
    query: string,
    options?: CallOptions,
  ): Promise<{
    /** In milliseconds. */
    execTime: number;
    affectedRows: number;
    columns: { name: string; type: string; nullable: boolean }[];
    rows: (string | null)[][];
  }>;
}

/** Is the instance awake? */
export interface Health {
  /** Asks; also where other calls wait for the instance to wake up. */
  check(options?: CallOptions): Promise<{ code: number; message: string; data: Record<string, any> }>;
}

/**
 * One method: its row, how many arguments go into the path, what comes then (`*`: the body itself; names: its members, of lists
 * the query's), and whether nothing but "done" is answered. Or what is more than a row.
 */
type Method = readonly [row: Row, path: number, then?: string, nothing?: 1] | ((client: Client<any>, service: any) => unknown);

const pages = "page,perPage";

const tables: { [S in keyof Services]: { [M in keyof Services[S]]: Method } } = {
  collections: {
    getList: [Row.CollectionsList, 0, pages],
    getFullList:
      (_, { getList }) =>
      async ({ batch = 200, ...options }: FullListOptions = {}) => {
        for (let page = 1, all: CollectionModel[] = []; ; page++) {
          // The server decides how long a page is: none is of no record, or of more than 1,000.
          const { items, perPage } = await getList(page, batch, { skipTotal: true, ...options });
          all.push(...items);
          if (!(items.length >= perPage)) return all;
        }
      },
    getFirstListItem:
      (_, { getList }) =>
      async (filter: string, options?: ListOptions) =>
        (await getList(1, 1, { filter, skipTotal: true, ...options })).items[0] ??
        fail("NotFound", "the filter finds no collection", "Check the filter."),
    getOne: [Row.CollectionsOne, 1],
    create: [Row.CollectionsCreate, 0, "*"],
    update: [Row.CollectionsUpdate, 1, "*"],
    delete: [Row.CollectionsDelete, 1, "", 1],
    truncate: [Row.CollectionsTruncate, 1, "", 1],
    import: [Row.CollectionsImport, 0, "collections,deleteMissing", 1],
    getScaffolds: [Row.CollectionsScaffolds, 0],
    getAllOAuth2Providers: [Row.CollectionsOAuth2Providers, 0],
    dryRunViewQuery: [Row.CollectionsDryRunView, 0, "query"],
  },
  settings: {
    getAll: [Row.SettingsGetAll, 0],
    update: [Row.SettingsUpdate, 0, "*"],
    testS3: [Row.SettingsTestS3, 0, "filesystem", 1],
    testEmail: [Row.SettingsTestEmail, 0, "collection,email,template", 1],
    generateAppleClientSecret: [Row.SettingsAppleSecret, 0, "clientId,teamId,keyId,privateKey,duration"],
  },
  logs: {
    getList: [Row.LogsList, 0, pages],
    getOne: [Row.LogsOne, 1],
    getStats: [Row.LogsStats, 0],
    truncate: [Row.LogsDelete, 0, "", 1],
  },
  backups: {
    getFullList: [Row.BackupsList, 0],
    create: [Row.BackupsCreate, 0, "name", 1],
    // The file itself, or a body that names it, as in PocketBase's SDK.
    upload: (client) => async (file: any, options?: CallOptions) => {
      const [, files] = split(isFile(file) ? { file } : file);
      await client.call(Op.BackupUpload, [files[0] ?? noFile()], options);
      return true;
    },
    download: (client) => (key: string, options?: DownloadOptions) =>
      download(client, Row.BackupsDownload, [key], { protected: true, ...options }),
    delete: [Row.BackupsDelete, 1, "", 1],
    restore: [Row.BackupsRestore, 1, "", 1],
    getDownloadURL: (client) => (token: string, key: string) => urlOf(client, `backups/${segment(key)}`, { token }),
  },
  crons: { getFullList: [Row.CronsList, 0], run: [Row.CronsRun, 1, "", 1] },
  sql: { run: [Row.Sql, 0, "query"] },
  health: { check: [Row.Health, 0] },
};

/** The services of a client by their names. */
export interface Services {
  collections: Collections;
  settings: Settings;
  logs: Logs;
  backups: Backups;
  crons: Crons;
  sql: Sql;
  health: Health;
}

/** @internal */
export function service<S extends keyof Services>(client: Client<any>, name: S): Services[S] {
  const made: any = {};
  for (const [method, how] of Object.entries<Method>(tables[name])) {
    made[method] = typeof how == "function" ? how(client, made) : (...args: any[]) => callRow(client, how, args);
  }
  return made;
}

async function callRow(client: Client<any>, [row, path, names, nothing]: Exclude<Method, Function>, args: any[]): Promise<any> {
  const rest = args.slice(path);
  const members = names != "*" && names ? Object.fromEntries(names.split(",").map((name) => [name, rest.shift()])) : null;
  const body = names == "*" ? rest.shift() : names == pages ? null : members;
  const options = names == pages ? { ...members, ...rest[0] } : rest[0];
  const answer = await client.call(Op.Row, [row, args.slice(0, path), body, nothing ?? 0], options);
  return nothing ? true : answer;
}
