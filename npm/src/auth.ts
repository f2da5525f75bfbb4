/** Sign-up, sign-in and the session; and the same under the names of PocketBase's SDK, on each collection. */
import { type AuthListener, type Session, sessionOf } from "./authstore.js";
import type { Client } from "./client.js";
import { Op, type Session as Told } from "./core/ops.js";
import { fail } from "./error.js";
import type { AnyOptions } from "./options.js";
import { Row } from "./rows.js";
import { expiry, type StoredSession } from "./token.js";
import type { CallOptions, RecordModel, RecordOptions, WaitOptions } from "./types.js";

/** Under which name a page keeps what it must remember while the user is at a provider's. */
const begun = "picobase_oauth2";

/** What this tab remembers; none on servers, and where the browser forbids it. */
function tab({ client }: RecordAuth): Storage | undefined {
  try {
    return client.platform.isBrowser ? sessionStorage : undefined;
  } catch {
    return undefined;
  }
}

/** What a sign-in may be given. */
export interface SignInOptions extends RecordOptions {
  /** The id of the sign-in whose second factor this is: `mfaId` of the error of kind `MfaRequired`. */
  mfaId?: string | null | undefined;
}

/** What a sign-in with a password may be given. */
export interface PasswordOptions extends SignInOptions {
  /** Which field to look for the identity in, where several fit. */
  identityField?: string | null | undefined;
}

/** What the way back from an OAuth2 provider may be given. */
export interface OAuth2Options extends SignInOptions {
  /** Fields for the record, where this sign-in creates the user. */
  createData?: Record<string, any> | null | undefined;
}

/** How a sign-in through a provider's page goes. */
export interface OAuthOptions extends OAuth2Options {
  /** What to ask the provider for, in place of what the server asks for. */
  scopes?: string[] | undefined;
  /**
   * Gets the address of the provider's page and shows it to the user. Without it a window is opened, which browsers allow in
   * the handler of a click.
   */
  urlCallback?: ((url: string) => unknown) | undefined;
  /** How long to wait until the user is back, in milliseconds: 5 minutes by default, and at most, since then the server gives up. */
  timeout?: number | undefined;
}

/** How one may sign in to a collection. */
export interface AuthMethods {
  password: { enabled: boolean; identityFields: string[] };
  otp: { enabled: boolean; duration: number };
  mfa: { enabled: boolean; duration: number };
  oauth2: {
    enabled: boolean;
    providers: {
      name: string;
      displayName: string;
      logo?: string;
      state: string;
      authURL: string;
      codeVerifier: string;
      codeChallenge: string;
      codeChallengeMethod: string;
    }[];
  };
}

/** The methods of PocketBase's collections that are about signing in; {@link Auth} has shorter names beside them. */
export abstract class RecordAuth<M = RecordModel> {
  /** @internal */
  readonly client: Client<any>;
  /** The collection's name, or its id. */
  readonly name: string;

  /** @internal */
  constructor(client: Client<any>, name: string) {
    this.client = client;
    this.name = name;
  }

  /** How one may sign in to this collection: password, OTP, MFA, OAuth2 providers. */
  listAuthMethods(options?: CallOptions): Promise<AuthMethods> {
    return row(this, Row.AuthMethods, null, options);
  }

  /**
   * Signs in with an identity (an e-mail address, or what the collection allows) and a password.
   *
   * Kind `Validation` for wrong credentials, `Forbidden` where the collection's auth rule says no, `MfaRequired` where a second
   * factor is wanted: pass the error's `mfaId` with it. Kind `Storage` where the session lives but could not be kept.
   */
  authWithPassword<T = M>(identity: string, password: string, options: PasswordOptions = {}): Promise<Session<T>> {
    const { mfaId, identityField, ...rest } = options;
    return begin(this, Op.SignIn, [identity, password, mfaId, identityField], rest);
  }

  /** Signs in with the one-time password that {@link RecordAuth.requestOTP} had mailed. Errors as with a password. */
  authWithOTP<T = M>(otpId: string, password: string, { mfaId, ...rest }: SignInOptions = {}): Promise<Session<T>> {
    return begin(this, Op.SignInOtp, [otpId, password, mfaId], rest);
  }

  /**
   * Signs in through the page of an OAuth2 provider, in one step: a window is opened and the call is done when the user is.
   * The app needs no address to come back to: the provider sends the user to `/api/oauth2-redirect` of the instance, which
   * must be registered with the provider. Call it in the handler of a click, before any `await`.
   *
   * Kind `NotFound` where the collection has no such provider, `Validation` where it refused, `Timeout` where the user did
   * not come back, `Configuration` where no window can be opened.
   */
  async authWithOAuth2<T = M>(options: OAuthOptions & { provider: string }): Promise<Session<T>> {
    const { provider, scopes = [], createData, mfaId, urlCallback, timeout, ...rest } = options;
    const page = urlCallback ? null : openWindow();
    const onEvent = urlCallback ?? ((url: string) => (page!.location.href = url));
    try {
      return await begin(this, Op.OAuth2AllInOne, [provider, scopes, createData, mfaId, timeout], { ...rest, onEvent });
    } finally {
      page?.close();
    }
  }

  /**
   * Signs in with the code that a provider sent back to a page of your own, which kept the provider's `codeVerifier` from
   * {@link RecordAuth.listAuthMethods} and compared the `state`. With {@link Auth.beginOAuth2} the client does both.
   */
  async authWithOAuth2Code<T = M>(
    provider: string,
    code: string,
    codeVerifier: string,
    redirectURL: string,
    createData?: Record<string, any> | null,
    { mfaId, ...rest }: SignInOptions = {},
  ): Promise<Session<T>> {
    const body = { provider, code, codeVerifier, redirectURL, createData: createData ?? undefined, mfaId: mfaId ?? undefined };
    const { token, record, meta } = await row<any>(this, Row.AuthOAuth2, body, rest);
    await this.client.call(Op.SetSession, [token, record]);
    const seconds = expiry(token);
    return sessionOf<T>([token, record, seconds && seconds * 1000, meta]);
  }

  /** Asks for a new token now. Kind `SessionExpired` where the session is over, or nobody is signed in. */
  authRefresh<T = M>(options?: WaitOptions): Promise<Session<T>> {
    return begin(this, Op.Refresh, [], options);
  }

  /** Has a one-time password mailed. It also answers for addresses that nobody has. */
  requestOTP(email: string, options?: CallOptions): Promise<{ otpId: string }> {
    return row(this, Row.AuthRequestOtp, { email }, options);
  }

  /** Has a mail sent to set a new password. It also answers for addresses that nobody has. */
  requestPasswordReset(email: string, options?: CallOptions): Promise<true> {
    return done(row(this, Row.AuthRequestReset, { email }, options, 1));
  }

  /**
   * Sets a new password with the token of the mail. If its user is the one who is signed in, they stay so. Kind `Validation` where
   * `passwordConfirm` is given and is another.
   */
  confirmPasswordReset(token: string, password: string, passwordConfirm = password, options?: CallOptions): Promise<true> {
    return done(
      passwordConfirm == password
        ? call(this, Op.ConfirmReset, [token, password], options)
        : // What differs the server refuses, in its own words.
          row(this, Row.AuthConfirmReset, { token, password, passwordConfirm }, options, 1),
    );
  }

  /** Has a mail sent to verify the address. It also answers for addresses that nobody has. */
  requestVerification(email: string, options?: CallOptions): Promise<true> {
    return done(row(this, Row.AuthRequestVerification, { email }, options, 1));
  }

  /** Verifies the address with the token of the mail. */
  confirmVerification(token: string, options?: CallOptions): Promise<true> {
    return done(call(this, Op.ConfirmVerification, [token], options));
  }

  /** Has a mail sent to a new address of the signed-in user. */
  requestEmailChange(newEmail: string, options?: CallOptions): Promise<true> {
    return done(row(this, Row.AuthRequestEmailChange, { newEmail }, options, 1));
  }

  /** Changes the address with the token of the mail. All tokens of that user are dead then: a session of theirs ends. */
  confirmEmailChange(token: string, password: string, options?: CallOptions): Promise<true> {
    return done(call(this, Op.ConfirmEmailChange, [token, password], options));
  }

  /** The OAuth2 accounts that are linked to a user. */
  listExternalAuths(id: string, options?: CallOptions): Promise<RecordModel[]> {
    return call(this, Op.ExternalAuths, [id], options);
  }

  /** Unlinks an OAuth2 account from a user. Kind `NotFound` where there is no such account. */
  unlinkExternalAuth(id: string, provider: string, options?: WaitOptions): Promise<true> {
    return done(call(this, Op.UnlinkExternalAuth, [id, provider], options));
  }

  /**
   * A client that is signed in as another user, for superusers. Its token lives `duration` seconds (0: as the collection's do) and
   * cannot be refreshed.
   */
  async impersonate(id: string, duration = 0, options?: CallOptions): Promise<Client<any>> {
    const session = await this.client.call<StoredSession>(
      Op.Row,
      [Row.AuthImpersonate, [this.name, id], { duration }, 0],
      options,
    );
    return this.client.withSession(session);
  }
}

function call<T>({ client, name }: RecordAuth<any>, op: Op, args: unknown[], options?: AnyOptions): Promise<T> {
  return client.call(op, [name, ...args.map((arg) => arg ?? null)], options);
}

function row<T>({ client, name }: RecordAuth<any>, row: Row, body: object | null, options?: CallOptions, nothing = 0): Promise<T> {
  return client.call(Op.Row, [row, [name], body, nothing], options);
}

/** A call that answers a session. */
async function begin<T extends Session<any> | null>(auth: RecordAuth<any>, op: Op, args: unknown[], options?: AnyOptions): Promise<T> {
  return sessionOf(await call<Told | null>(auth, op, args, options)) as T;
}

/** A call that answers nothing. */
async function done(call: Promise<unknown>): Promise<true> {
  await call;
  return true;
}

/** Sign-up, sign-in and the session, for one auth collection: `client.auth`, and `auth` of each collection. */
export class Auth<M = RecordModel> extends RecordAuth<M> {
  /** The same as {@link RecordAuth.authWithPassword}. */
  signIn<T = M>(identity: string, password: string, options?: PasswordOptions): Promise<Session<T>> {
    return this.authWithPassword(identity, password, options);
  }

  /**
   * Creates a user and signs in. Answers null where the user exists now but must verify the address first.
   *
   * Kind `Validation` or `Conflict` where a value is refused.
   */
  signUp<T = M>(email: string, password: string, data?: Record<string, any> | null, options?: WaitOptions): Promise<Session<T> | null> {
    return begin(this, Op.SignUp, [email, password, data], options);
  }

  /** Signs out, here and in the store. The server keeps no session that would have to end. */
  signOut(): Promise<void> {
    return this.client.call(Op.SignOut, []);
  }

  /** The same as {@link RecordAuth.requestOTP}. */
  requestOtp(email: string, options?: CallOptions): Promise<{ otpId: string }> {
    return this.requestOTP(email, options);
  }

  /** The same as {@link RecordAuth.authWithOTP}. */
  signInWithOtp<T = M>(otpId: string, password: string, options?: SignInOptions): Promise<Session<T>> {
    return this.authWithOTP(otpId, password, options);
  }

  /** The same as {@link RecordAuth.authWithOAuth2}. */
  signInWithOAuth<T = M>(provider: string, options?: OAuthOptions): Promise<Session<T>> {
    return this.authWithOAuth2({ ...options, provider });
  }

  /**
   * Begins a sign-in with an OAuth2 provider: send the user to `url`. The provider sends them back to `redirectUrl`, whose whole
   * address {@link Auth.finishOAuth2} takes.
   *
   * A page may be loaded anew in between: what it must remember is in sessionStorage until then. On a server another client may
   * finish, with `saved`; that holds a secret, so keep it where only that user can read it (an httpOnly cookie).
   *
   * Kind `NotFound` where the collection has no such provider.
   */
  async beginOAuth2(provider: string, redirectUrl: string, options?: WaitOptions): Promise<{ url: string; state: string; saved: string }> {
    const [url, state, saved] = await call<[string, string, string]>(this, Op.BeginOAuth2, [provider, redirectUrl], options);
    tab(this)?.setItem(begun, saved);
    return { url, state, saved };
  }

  /**
   * Finishes a sign-in, with the address to which the provider sent the user back, or with `code` and `state` of it. Each state
   * works once. `saved` is what {@link Auth.beginOAuth2} answered, where neither this client nor this browser began.
   *
   * Kind `Validation` where the provider refused, or the state is not one that was begun here.
   */
  finishOAuth2<T = M>(
    back: string | URL | { code: string; state: string },
    { createData, mfaId, saved, ...rest }: OAuth2Options & { saved?: string | undefined } = {},
  ): Promise<Session<T>> {
    const kept = tab(this);
    saved ??= kept?.getItem(begun) ?? undefined;
    kept?.removeItem(begun);
    const args = typeof back == "object" && "code" in back ? [back.code, back.state] : [String(back), null];
    return begin(this, Op.FinishOAuth2, [saved, ...args, createData, mfaId], rest);
  }

  /** The same as {@link RecordAuth.authRefresh}. */
  refresh<T = M>(): Promise<Session<T>> {
    return this.authRefresh();
  }

  /**
   * Waits until a refresh that began beside a call is done, for a second at most. A server does so before it writes a visitor's
   * session into an answer, and before it closes the visitor's client.
   *
   * ```ts
   * const { items } = await visitor.collection("posts").getList();
   * await visitor.auth.settled();
   * const cookies = toCookies(visitor.authStore, {}, request);
   * ```
   */
  settled(): Promise<void> {
    return call(this, Op.Settled, []);
  }

  /** The same as {@link RecordAuth.listAuthMethods}. */
  methods(options?: CallOptions): Promise<AuthMethods> {
    return this.listAuthMethods(options);
  }

  /** The same as {@link RecordAuth.listExternalAuths}. */
  externalAuths(id: string, options?: CallOptions): Promise<RecordModel[]> {
    return this.listExternalAuths(id, options);
  }

  /** The session, as soon as the stored one has been loaded; null for a guest. It asks the server only about an expired one. */
  async getSession<T = M>(): Promise<Session<T> | null> {
    return sessionOf(await this.client.call<Told | null>(Op.Ready, []));
  }

  /** The signed-in user's record, as soon as the stored session has been loaded; null for a guest. */
  async getUser<T = M>(): Promise<T | null> {
    return (await this.getSession<T>())?.record ?? null;
  }

  /** Uses a session that came from elsewhere, as if its user had just signed in. Kind `Decode` where the token is none. */
  setSession({ token, record }: StoredSession<any>): Promise<void> {
    return this.client.call(Op.SetSession, [token, record ?? null]);
  }

  /**
   * Calls `listener` with what happens to the session, `INITIAL_SESSION` first, as soon as it is loaded. Returns how to stop.
   *
   * ```ts
   * const stop = client.auth.onAuthStateChange((event, session) => console.log(event, session?.record.email));
   * ```
   */
  onAuthStateChange(listener: AuthListener): () => void {
    this.client.call(Op.Ready, []).catch(() => {}); // A store that cannot be read is told to the calls.
    return this.client.authStore.listen(listener);
  }
}

/** At once, since browsers open windows in the handler of a click only; its address is set when it is known. */
function openWindow(): Window {
  return (
    globalThis.open?.("about:blank", "_blank", "popup,width=1024,height=768") ??
    fail("Configuration", "no window could be opened for the sign-in", "Call it in the handler of a click, or give a urlCallback.")
  );
}
