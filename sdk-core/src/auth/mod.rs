//! Sign-up, sign-in, and the session.

mod all_in_one;
mod cookies;
#[cfg(feature = "std")]
mod file_store;
mod flows;
pub(crate) mod oauth2;
pub(crate) mod session;
pub(crate) mod store;
pub(crate) mod token;

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use secrecy::{ExposeSecret, SecretString};

pub use self::cookies::{CookieOptions, SameSite};
#[cfg(feature = "std")]
pub use self::file_store::FileStore;
pub(crate) use self::flows::{is_own_record, own_record_written};
use self::token::Claims;
pub use self::{
    all_in_one::SignInWithOAuth2,
    flows::{Impersonate, OAuth2Provider, OtpRequest, SignUp},
    oauth2::{FinishOAuth2, OAuth2Start},
    store::{MemoryStore, Store},
};
use crate::{
    client::Client,
    error::Error,
    json::{FromJson, Json},
    runtime::{Lock, MaybeSend, MaybeSync},
};

/// A signed-in user: the token, the user's record, and when the token expires.
/// Cheap to clone.
#[derive(Clone)]
pub struct Session(Arc<Parts>);

struct Parts {
    token: SecretString,
    record: Json,
    /// None where the token cannot be read.
    claims: Option<Claims>,
    meta: Option<Json>,
}

impl Session {
    /// A session from its parts, to hand to [`Client::with_session`].
    ///
    /// ```
    /// use picobase::{Json, auth::Session};
    /// let session = Session::new("header.payload.signature".to_string(), Json::null());
    /// assert_eq!(session.expires_at(), None);
    /// ```
    pub fn new(token: String, record: Json) -> Session {
        Session::with_meta(token, record, None)
    }

    fn with_meta(token: String, record: Json, meta: Option<Json>) -> Session {
        let claims = Claims::read(&token);
        Session(Arc::new(Parts { token: SecretString::from(token), record, claims, meta }))
    }

    /// The same token with another record.
    pub(crate) fn with_record(&self, record: Json) -> Session {
        Session::new(self.token().to_string(), record)
    }

    /// What the token says; none where it cannot be read.
    pub(crate) fn claims(&self) -> Option<&Claims> {
        self.0.claims.as_ref()
    }

    /// What the OAuth2 provider said in this sign-in: the user's name and avatar, whether the record is new, and the
    /// provider's own token, which is a secret. None for other sessions; it is not kept with them.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, callback: &str) -> Result<(), picobase::Error> {
    /// let session = client.auth().finish_oauth2_url(callback).await?;
    /// let is_new = session.meta().and_then(|meta| meta.get("isNew")).and_then(|new| new.as_bool());
    /// # let _ = is_new;
    /// # Ok(())
    /// # }
    /// ```
    pub fn meta(&self) -> Option<&Json> {
        self.0.meta.as_ref()
    }

    /// The token. It is a secret: whoever has it is the user.
    ///
    /// ```
    /// # fn demo(session: picobase::auth::Session) {
    /// let cookie_value = session.token().to_string();
    /// # let _ = cookie_value; }
    /// ```
    pub fn token(&self) -> &str {
        self.0.token.expose_secret()
    }

    /// The user's record, decoded.
    ///
    /// # Errors
    /// Kind `Decode` where it does not fit `T`.
    ///
    /// ```
    /// # fn demo(session: picobase::auth::Session) -> Result<(), picobase::Error> {
    /// let user: picobase::Record = session.record()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn record<T: FromJson>(&self) -> Result<T, Error> {
        T::from_json(self.0.record.clone())
    }

    /// The user's record as JSON.
    ///
    /// ```
    /// # use picobase::{Json, auth::Session};
    /// assert!(Session::new(String::new(), Json::null()).record_json().is_null());
    /// ```
    pub fn record_json(&self) -> &Json {
        &self.0.record
    }

    /// When the token expires, in milliseconds since the Unix epoch; none if it does not say.
    ///
    /// ```
    /// # use picobase::{Json, auth::Session};
    /// assert_eq!(Session::new(String::new(), Json::null()).expires_at(), None);
    /// ```
    pub fn expires_at(&self) -> Option<u64> {
        let exp = u64::try_from(self.claims()?.exp?).ok()?;
        Some(exp.saturating_mul(1000))
    }

    /// The id of the user's record.
    ///
    /// ```
    /// # use picobase::{Json, auth::Session};
    /// assert_eq!(Session::new(String::new(), Json::object([("id", Json::string("u1"))])).user_id(), "u1");
    /// ```
    pub fn user_id(&self) -> String {
        self.0.record.get_str("id").unwrap_or_default()
    }

    /// The session of a token alone: its record has what the token says of it.
    ///
    /// ```
    /// use picobase::auth::Session;
    /// assert_eq!(Session::from_token("no token").user_id(), "");
    /// ```
    pub fn from_token(token: &str) -> Session {
        Claims::minimal_session(token)
    }

    /// The form in which stores keep it, and which the PocketBase SDK uses as well: JSON of `token` and `record`. It is
    /// a secret.
    ///
    /// ```
    /// use picobase::{Json, auth::Session};
    /// assert_eq!(Session::new("a".to_string(), Json::null()).to_stored(), r#"{"token":"a","record":null}"#);
    /// ```
    pub fn to_stored(&self) -> String {
        Json::object([("token", Json::string(self.token())), ("record", self.0.record.clone())]).as_text().to_string()
    }

    /// Reads the form in which stores keep it; none where it is something else. The PocketBase SDK of old wrote
    /// `model` in place of `record`.
    ///
    /// ```
    /// use picobase::auth::Session;
    /// assert!(Session::from_stored(r#"{"token": "a", "record": null}"#).is_some());
    /// assert!(Session::from_stored("something else").is_none());
    /// ```
    pub fn from_stored(text: &str) -> Option<Session> {
        let json = Json::parse(text.as_bytes().to_vec()).ok().filter(Json::is_object)?;
        let token = json.get_str("token").filter(|token| !token.is_empty())?;
        let record = json.get("record").or_else(|| json.get("model")).unwrap_or_else(Json::null);
        Some(Session::new(token, record))
    }

    /// Reads the answer of a sign-in or refresh.
    pub(crate) fn from_answer(json: &Json) -> Result<Session, Error> {
        let session = match (json.get_str("token"), json.get("record")) {
            (Some(token), Some(record)) => Some(Session::with_meta(token, record.without("expand"), json.get("meta"))),
            _ => None,
        };
        let readable = session.filter(|session| session.claims().is_some());
        readable.ok_or_else(|| Error::decode("the answer has no token and record", ""))
    }
}

/// Neither the token nor the record.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("expires_at", &self.expires_at()).finish_non_exhaustive()
    }
}

/// What happened to a session. Each is told once per real change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthEvent {
    /// The first event of every listener: what the session is now.
    InitialSession,
    /// Someone signed in.
    SignedIn,
    /// The user signed out.
    SignedOut,
    /// The same user, a new token.
    TokenRefreshed,
    /// The same user, a changed record.
    UserUpdated,
    /// The session ended without a sign-out: calls fail until there is a sign-in or sign-out.
    SessionExpired,
}

impl AuthEvent {
    /// The event's name, the same in every language.
    ///
    /// ```
    /// assert_eq!(picobase::auth::AuthEvent::SignedIn.as_str(), "SIGNED_IN");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            AuthEvent::InitialSession => "INITIAL_SESSION",
            AuthEvent::SignedIn => "SIGNED_IN",
            AuthEvent::SignedOut => "SIGNED_OUT",
            AuthEvent::TokenRefreshed => "TOKEN_REFRESHED",
            AuthEvent::UserUpdated => "USER_UPDATED",
            AuthEvent::SessionExpired => "SESSION_EXPIRED",
        }
    }
}

/// An [`AuthEvent`] and the session after it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuthChange {
    /// What happened.
    pub event: AuthEvent,
    /// The session from now on; none for a guest.
    pub session: Option<Session>,
}

/// What a service signs in with by itself.
#[derive(Clone)]
pub struct Credentials {
    identity: String,
    password: SecretString,
    collection: Option<String>,
}

impl Credentials {
    /// An e-mail address (or another identity field's value) and a password, in the client's `auth_collection`.
    ///
    /// ```
    /// let credentials = picobase::auth::Credentials::new("service@example.com", "secret");
    /// assert!(!format!("{credentials:?}").contains("secret"));
    /// ```
    pub fn new(identity: impl Into<String>, password: impl Into<String>) -> Self {
        Credentials { identity: identity.into(), password: SecretString::from(password.into()), collection: None }
    }

    /// Another auth collection, `_superusers` for example.
    ///
    /// ```
    /// let credentials = picobase::auth::Credentials::new("root@example.com", "secret").collection("_superusers");
    /// # let _ = credentials;
    /// ```
    #[must_use]
    pub fn collection(mut self, name: impl Into<String>) -> Self {
        self.collection = Some(name.into());
        self
    }

    pub(crate) async fn sign_in(&self, client: &Client) -> Result<Session, Error> {
        let auth = match &self.collection {
            Some(name) => Auth::new(client, name),
            None => client.auth(),
        };
        auth.sign_in(&self.identity, self.password.expose_secret()).await
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("collection", &self.collection).finish_non_exhaustive()
    }
}

/// Sign-up, sign-in and the session, for one auth collection. Of a client there is one session, whichever collection
/// its user is in.
///
/// ```
/// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
/// let session = client.auth().sign_in("ada@example.com", "correct horse").await?;
/// println!("signed in as {}", session.user_id());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Auth {
    pub(crate) client: Client,
    pub(crate) collection: String,
}

impl Auth {
    pub(crate) fn new(client: &Client, collection: &str) -> Auth {
        Auth { client: client.clone(), collection: collection.to_string() }
    }

    /// The session, if one is live. Local: it asks nobody, and before the first call it may not be loaded yet (see
    /// [`ready`](Self::ready)).
    ///
    /// ```
    /// let client = picobase::Client::new("http://127.0.0.1:8090", "")?;
    /// assert!(client.auth().session().is_none());
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn session(&self) -> Option<Session> {
        self.client.session.current()
    }

    /// The signed-in user's record, if anyone is signed in. Local, as [`session`](Self::session).
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// if let Some(user) = client.auth().get_user() {
    ///     println!("hello {}", user.get_str("name").unwrap_or("you"));
    /// }
    /// # }
    /// ```
    pub fn get_user(&self) -> Option<crate::records::Record> {
        self.session().and_then(|session| session.record().ok())
    }

    /// Waits until the stored session has been loaded, and an expired one been asked for. Calls do so by themselves.
    ///
    /// # Errors
    /// Kind `Storage` where the store cannot be read.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.auth().ready().await?;
    /// println!("{}", if client.auth().session().is_some() { "welcome back" } else { "please sign in" });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ready(&self) -> Result<(), Error> {
        self.client.session.ready(&self.client).await
    }

    /// Asks for a new token now, whatever the clock says.
    ///
    /// # Errors
    /// Kind `SessionExpired` where the server says that the session is over, or nobody is signed in; network errors and
    /// failures of the server leave the session as it is.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let session = client.auth().refresh().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn refresh(&self) -> Result<Session, Error> {
        self.ready().await?;
        let alive = self.client.session.refresh(&self.client).await?;
        match self.session() {
            Some(session) if alive => Ok(session),
            _ => Err(Error::new(crate::error::ErrorKind::SessionExpired, "the session is over, or there was none")),
        }
    }

    /// Waits until a refresh that began beside a call is done, for a second at most. A web server does so before it writes a
    /// visitor's session into an answer; clients that block have waited with the call.
    ///
    /// ```
    /// # async fn demo(visitor: picobase::Client) -> Result<(), picobase::Error> {
    /// let notes = visitor.collection("notes").get_list(1, 20).await?;
    /// visitor.auth().settled().await;
    /// let cookies = visitor.auth().session().map(|session| session.to_cookies(&Default::default(), &[]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn settled(&self) -> impl Future<Output = ()> + MaybeSend + use<> {
        self.client.session.settled(&self.client.shared.runtime)
    }

    /// Signs out: forgets the token, here and in the store. The server keeps no session that would have to end.
    ///
    /// # Errors
    /// Kind `Storage` where the store could not be cleared; the client is signed out all the same.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.auth().sign_out().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sign_out(&self) -> Result<(), Error> {
        self.client.session.sign_out(&self.client).await
    }

    /// Uses a session that came from elsewhere, as if its user had just signed in.
    ///
    /// # Errors
    /// Kind `Decode` where the token is none; kind `Storage` where it could not be kept.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, session: picobase::auth::Session) -> Result<(), picobase::Error> {
    /// client.auth().set_session(session).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_session(&self, session: Session) -> Result<(), Error> {
        self.client.session.begin(&self.client, &session).await
    }

    /// Reads the store again, because somebody else has changed it: another process, another tab of a browser. What
    /// stands there is taken over, told to the listeners if it differs, and not written again.
    ///
    /// Where a sign-in or a refresh of this client ends meanwhile, the later of the two wins, here and in the store.
    ///
    /// # Errors
    /// Kind `Storage` where the store cannot be read; the session stays as it is.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// // The other process says that it has signed in.
    /// client.auth().sync_from_store().await?;
    /// println!("{}", client.auth().session().map(|session| session.user_id()).unwrap_or_default());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sync_from_store(&self) -> Result<(), Error> {
        self.client.session.sync(&self.client).await
    }

    /// What happens to the session from now on. The first item is INITIAL_SESSION, as soon as the session is loaded.
    /// Dropping the stream ends it.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) {
    /// use futures_util::StreamExt;
    /// let mut changes = client.auth().changes();
    /// while let Some(change) = changes.next().await {
    ///     println!("{}", change.event.as_str());
    /// }
    /// # }
    /// ```
    pub fn changes(&self) -> AuthChanges {
        let queue = Arc::new(Queue { state: Lock::new(QueueState::default()) });
        let sender = queue.clone();
        let listener = self.on_change(move |change| sender.push(change.clone()));
        let client = self.client.clone();
        AuthChanges {
            queue,
            _listener: listener,
            loading: Some(crate::sync::boxed(async move { client.auth().ready().await })),
        }
    }

    /// Calls `listener` with what happens to the session, INITIAL_SESSION first, as soon as the session is loaded.
    /// Dropping the handle ends it.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let handle = client.auth().on_change(|change| println!("{}", change.event.as_str()));
    /// # drop(handle); }
    /// ```
    #[must_use = "dropping the handle removes the listener"]
    pub fn on_change(&self, listener: impl Fn(&AuthChange) + MaybeSend + MaybeSync + 'static) -> AuthListener {
        let id = self.client.session.add_listener(Arc::new(listener));
        self.client.session.load_soon(&self.client);
        AuthListener { client: self.client.clone(), id }
    }
}

/// Keeps a listener of [`Auth::on_change`] in place; dropping it removes the listener.
#[derive(Debug)]
pub struct AuthListener {
    client: Client,
    id: u64,
}

impl Drop for AuthListener {
    fn drop(&mut self) {
        self.client.session.remove_listener(self.id);
    }
}

/// See [`Auth::changes`].
pub struct AuthChanges {
    queue: Arc<Queue>,
    _listener: AuthListener,
    /// Loads the session for the first item, in case no call does.
    loading: Option<crate::runtime::BoxFuture<'static, Result<(), Error>>>,
}

impl fmt::Debug for AuthChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthChanges")
    }
}

/// Changes are rare and small, so a listener that sleeps keeps them all.
struct Queue {
    state: Lock<QueueState>,
}

#[derive(Default)]
struct QueueState {
    items: Vec<AuthChange>,
    waker: Option<Waker>,
}

impl Queue {
    fn push(&self, change: AuthChange) {
        let waker = self.state.with(|s| {
            s.items.push(change);
            s.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Stream for AuthChanges {
    type Item = AuthChange;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AuthChange>> {
        if let Some(loading) = &mut self.loading
            && loading.as_mut().poll(cx).is_ready()
        {
            self.loading = None;
        }
        self.queue.state.with(|s| {
            if s.items.is_empty() {
                s.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Some(s.items.remove(0)))
        })
    }
}
