/** What every entry of the package exports, beside its `createClient`. Classes that only a client makes are exported as types. */
export type { Auth, AuthMethods, OAuth2Options, OAuthOptions, PasswordOptions, RecordAuth, SignInOptions } from "./auth.js";
export type { AuthEvent, AuthListener, AuthStore, Session } from "./authstore.js";
export type { Batch, BatchCollection, BatchResult, BatchWriteOptions, Chunked } from "./batch.js";
export type { Body, FileData } from "./body.js";
export type {
  AnySchema,
  CallReport,
  Client,
  ClientOptions,
  InstanceState,
  RealtimeOptions,
  SendOptions,
  SentCall,
  SessionLike,
} from "./client.js";
export type { Collection } from "./collection.js";
export type { SessionStore } from "./core/ops.js";
export { type CookieOptions, type CookieSource, fromCookies, setCookies, toCookies } from "./cookies.js";
export type { CreateClient } from "./entry.js";
export { type ErrorKind, type ErrorParts, type FieldError, PicoBaseError } from "./error.js";
export type { DownloadOptions, FileOwner, FileUrlOptions, Storage, UploadOptions } from "./files.js";
export { filter, type Value } from "./filter.js";
export type {
  ErrorEvent,
  LaggedEvent,
  LiveChange,
  LiveOptions,
  LiveQuery,
  MessageEvent,
  Realtime,
  RealtimeEvent,
  RealtimeState,
  RecordEvent,
  ResyncEvent,
  SubscribeOptions,
} from "./realtime.js";
export type {
  Backups,
  CollectionModel,
  Collections,
  Crons,
  Health,
  LogModel,
  Logs,
  Settings,
  Sql,
} from "./services.js";
export type { ItemStorage, StoreOption } from "./stores.js";
export type { StoredSession } from "./token.js";
export type {
  BaseRecord,
  CallOptions,
  FullListOptions,
  ListOptions,
  ListResult,
  Many,
  Parameters,
  Progress,
  RecordModel,
  RecordOptions,
  WaitOptions,
  WithExpand,
  WriteOptions,
} from "./types.js";
