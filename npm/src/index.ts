/** What every entry of the package exports, beside its `createClient`. */
export {
  Auth,
  type AuthMethods,
  type OAuth2Options,
  type OAuthOptions,
  type PasswordOptions,
  RecordAuth,
  type SignInOptions,
} from "./auth.js";
export { type AuthEvent, type AuthListener, AuthStore, type Session } from "./authstore.js";
export { Batch, BatchCollection, type BatchResult, type BatchWriteOptions, type Chunked } from "./batch.js";
export type { Body, FileData } from "./body.js";
export {
  type AnySchema,
  type CallReport,
  Client,
  type ClientOptions,
  type InstanceState,
  type RealtimeOptions,
  type SendOptions,
  type SentCall,
  type SessionLike,
} from "./client.js";
export { Collection } from "./collection.js";
export type { SessionStore } from "./core/ops.js";
export { type CookieOptions, type CookieSource, fromCookies, setCookies, toCookies } from "./cookies.js";
export type { CreateClient } from "./entry.js";
export { type ErrorKind, type ErrorParts, type FieldError, PicoBaseError } from "./error.js";
export { type DownloadOptions, type FileOwner, type FileUrlOptions, Storage, type UploadOptions } from "./files.js";
export { filter, type Value } from "./filter.js";
export {
  type ErrorEvent,
  type LaggedEvent,
  type LiveChange,
  type LiveOptions,
  LiveQuery,
  type MessageEvent,
  Realtime,
  type RealtimeEvent,
  type RealtimeState,
  type RecordEvent,
  type ResyncEvent,
  type SubscribeOptions,
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
  WithExpand,
  WriteOptions,
} from "./types.js";
