/**
 * Who is signed in, at once and without waiting, in the shape of PocketBase's `authStore`. The session itself lives in the
 * core; this is its mirror.
 */
import type { Client } from "./client.js";
import { type CookieOptions, fromCookies, toCookies } from "./cookies.js";
import { Op, type Session as Told } from "./core/ops.js";
import { Listeners, safely } from "./listeners.js";
import { onOtherTabs } from "./stores.js";
import { claims, expired, type StoredSession } from "./token.js";
import type { RecordModel } from "./types.js";

/** A signed-in user. */
export interface Session<M = RecordModel> {
  /**
   * The token. It is a secret: whoever has it is the user. So it shows neither in what is printed nor in `JSON.stringify`; take it by
   * its name: `const { token } = session`.
   */
  token: string;
  /** The user's record. */
  record: M;
  /** When the token expires, in Unix milliseconds; null where it does not say. */
  expiresAt: number | null;
  /**
   * What the OAuth2 provider said in this sign-in: name, avatar, `isNew`, and the provider's own token, which is a secret. Not there in
   * other sessions, and not kept with them.
   */
  meta?: any;
}

/** What happened to a session. Each is told once per real change; every listener first gets INITIAL_SESSION. */
export type AuthEvent = "INITIAL_SESSION" | "SIGNED_IN" | "SIGNED_OUT" | "TOKEN_REFRESHED" | "USER_UPDATED" | "SESSION_EXPIRED";

/** Told what happened, and the session from then on. */
export type AuthListener = (event: AuthEvent, session: Session | null) => unknown;

/** The collection of superusers, by its name and by its id. */
const SUPERUSERS = "_superusers";
const SUPERUSERS_ID = "pbc_3142635823";

/** What of a record tells who it is. */
const identifying = ["id", "email", "username", "verified", "collectionId", "collectionName"];

/** @internal */
export function sessionOf<M>(told: Told): Session<M>;
/** @internal */
export function sessionOf<M>(told: Told | null): Session<M> | null;
export function sessionOf(told: Told | null): Session<any> | null {
  // Tokens are there for who asks for them by name, and in nothing that is printed.
  const secrets = { token: { get: () => told![0] }, meta: { get: () => told![3] ?? undefined } };
  return told && (Object.defineProperties({ record: told[1], expiresAt: told[2] }, secrets) as Session<any>);
}

/**
 * The session, synchronously: `client.authStore`. In a page it knows the user from the first moment, read from localStorage;
 * whether the token still lives only the server says, so an `INITIAL_SESSION` without a session may follow.
 *
 * ```ts
 * if (client.authStore.isValid) console.log(`hello ${client.authStore.record?.name}`);
 * ```
 */
export class AuthStore {
  readonly #client: Client<any>;
  readonly #changes = new Listeners<[token: string, record: RecordModel | null]>();
  readonly #listeners = new Listeners<[event: AuthEvent, session: Session | null, before: Session | null]>();
  #session: StoredSession | null;
  /** What the core said last; undefined until it has loaded the session. */
  #told: Session | null | undefined;
  /** How many changes of `save` and `clear` the core has not made yet: till then its words are of before. */
  #ahead = 0;
  #stop?: () => void;

  /** @internal */
  constructor(client: Client<any>, initial: { token: string; record?: any } | null) {
    this.#client = client;
    this.#session = initial && { token: initial.token, record: initial.record ?? null };
  }

  /** The token; empty where nobody is signed in. */
  get token(): string {
    return this.#session?.token ?? "";
  }

  /** The user's record; null where nobody is signed in, or only the token is known. */
  get record(): RecordModel | null {
    return this.#session?.record ?? null;
  }

  /** Is there a token that has not expired by the local clock? */
  get isValid(): boolean {
    return !expired(this.token);
  }

  /** Is it a superuser's? */
  get isSuperuser(): boolean {
    const { type, collectionId } = claims(this.token) ?? {};
    const name = this.record?.collectionName;
    return type == "auth" && (name ? name == SUPERUSERS : collectionId == SUPERUSERS_ID);
  }

  /** Takes a session as it is, as if its user had just signed in; without a token it is {@link AuthStore.clear}. */
  save(token: string, record: RecordModel | null = null): void {
    if (token) this.#change({ token, record }, Op.SetSession, [token, record]);
    else this.clear();
  }

  /** Signs out. */
  clear(): void {
    this.#change(null, Op.SignOut, []);
  }

  /** Calls `listener` when token or record have changed; with `fireImmediately` also now. Returns how to stop. */
  onChange(listener: (token: string, record: RecordModel | null) => unknown, fireImmediately = false): () => void {
    const stop = this.#changes.add(listener);
    if (fireImmediately) safely(listener, this.token, this.record);
    return stop;
  }

  /**
   * The session as one `Set-Cookie` value, which also removes it where nobody is signed in. A record that makes it too long for
   * one cookie is cut down to what tells who it is; {@link toCookies} keeps all of it.
   */
  exportToCookie(options?: CookieOptions, name = options?.name): string {
    const named = { ...options, name };
    const cookies = toCookies(this.#session, named);
    if (!cookies[1]) return cookies[0]!;
    const record: Record<string, unknown> = {};
    for (const field of identifying) record[field] = this.record?.[field];
    return toCookies({ token: this.token, record }, named)[0]!;
  }

  /**
   * Takes the session of a `Cookie` header; signs out where there is none in it. Nobody has checked the record then, see
   * {@link fromCookies}.
   */
  loadFromCookie(cookie: string, name?: string): void {
    const session = fromCookies(cookie, name);
    this.save(session?.token ?? "", session?.record);
  }

  /**
   * What the core tells.
   *
   * @internal
   */
  heard(event: AuthEvent, session: Session | null): void {
    const before = this.#told ?? null;
    this.#told = session;
    this.#settle();
    this.#listeners.tell(event, session, before);
  }

  /** @internal */
  listen(listener: AuthListener): () => void {
    let told = false;
    const tell = (event: AuthEvent, session: Session | null, before: Session | null) => {
      const initial = event == "INITIAL_SESSION";
      if (!told) safely(listener, "INITIAL_SESSION", initial ? session : before);
      told = true;
      if (!initial) safely(listener, event, session);
    };
    const stop = this.#listeners.add(tell);
    // Not before the caller has what stops it.
    if (this.#told !== undefined) queueMicrotask(() => told || tell("INITIAL_SESSION", this.#told!, null));
    return () => {
      told = true;
      stop();
    };
  }

  /**
   * Takes over what other tabs keep under that name.
   *
   * @internal
   */
  follow(key: string | undefined): void {
    this.#stop = onOtherTabs(key, () => this.#client.call(Op.SyncSession, []).catch(() => {}));
  }

  /** @internal */
  close(): void {
    this.#stop?.();
  }

  /** Shows a change at once and has the core make it. */
  #change(session: StoredSession | null, op: Op, args: unknown[]): void {
    this.#ahead++;
    this.#show(session);
    const done = () => {
      this.#ahead--;
      this.#settle();
    };
    // What the core refuses is taken back; what cannot be stored is told by `onStorageError`.
    this.#client.call(op, args).then(done, done);
  }

  #settle(): void {
    if (!this.#ahead && this.#told !== undefined) this.#show(this.#told);
  }

  #show(session: StoredSession | null): void {
    const { token, record } = this;
    this.#session = session && { token: session.token, record: session.record ?? null };
    if (token != this.token || !sameRecord(record, this.record)) this.#changes.tell(this.token, this.record);
  }
}

function sameRecord(one: RecordModel | null, other: RecordModel | null): boolean {
  return one === other || JSON.stringify(one) == JSON.stringify(other);
}
