//! The client: what it is made of and how it is set up.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{fmt, future::IntoFuture, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    action::Action,
    admin::{Backups, Collections, Crons, Health, Logs, Settings, Sql},
    auth::{
        Auth, Credentials, Session,
        session::SessionState,
        store::{MemoryStore, Store},
        token::Claims,
    },
    call::{Call, DEFAULT_TIMEOUT, decode},
    endpoints::{self, custom},
    error::{Error, ErrorKind},
    files::{Download, Files},
    filter::{FilterDialect, filter_for},
    gate::{Gate, InstanceState},
    json::{FromJson, ToJson},
    realtime::{Hub, Realtime, RealtimeOptions, Workers},
    records::{Batch, Collection, Record},
    runtime::{BoxFuture, Editor, Listener, Lock, MaybeSend, MaybeSync, Runtime, SharedRuntime},
    transport::{Body, Headers, Method, Transport},
    url::{BaseUrl, Query, QueryValue, is_dots, split_at_text},
};

/// A client of one PicoBase instance. Cheap to clone: clones share everything, the session included.
///
/// ```
/// # async fn demo() -> Result<(), picobase::Error> {
/// use picobase::Client;
/// let client = Client::new("https://my-app.picobase.com", "pk_live_…")?;
/// client.auth().sign_in("ada@example.com", "correct horse").await?;
/// let posts = client.collection("posts").get_list(1, 20).sort("-created").await?;
/// for post in &posts.items {
///     println!("{} {:?}", post.id(), post.get_str("title"));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<SessionState>,
    /// The session's own stream.
    pub(crate) realtime: Arc<Hub>,
}

/// What a client shares with its `with_session` family.
pub(crate) struct Shared {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) runtime: SharedRuntime,
    pub(crate) gate: Arc<Gate>,
    pub(crate) key: Option<SecretString>,
    pub(crate) options: Options,
    pub(crate) before: Vec<Editor<Outgoing>>,
    pub(crate) after: Vec<Listener<CallReport>>,
    pub(crate) workers: Workers,
    address: Lock<Address>,
}

struct Address {
    base: Option<BaseUrl>,
    used: bool,
    moves: u64,
}

impl Address {
    /// Has another origin been asked for something?
    fn is_left_for(&self, base: &BaseUrl) -> bool {
        self.used && self.base.as_ref().is_some_and(|old| old.origin() != base.origin())
    }
}

/// What calls need to know of the client's options.
pub(crate) struct Options {
    pub(crate) timeout: Option<Duration>,
    pub(crate) cold_start_timeout: Duration,
    pub(crate) transfer_idle_timeout: Duration,
    pub(crate) max_retries: u32,
    pub(crate) accept_language: String,
    pub(crate) auth_collection: String,
    pub(crate) dialect: FilterDialect,
    pub(crate) on_storage_error: Vec<Listener<Error>>,
}

impl Shared {
    /// The URL of a call, on the base URL, which is from now on in use.
    pub(crate) fn url(&self, path: &str, query: &Query) -> Result<String, Error> {
        self.address.with(|address| {
            let base = address.base.as_ref().ok_or_else(no_url)?;
            address.used = true;
            Ok(base.join(path, query))
        })
    }

    /// How often the address has become that of another instance.
    pub(crate) fn moves(&self) -> u64 {
        self.address.with(|address| address.moves)
    }

    /// The base URL as it is set.
    pub(crate) fn peek_address(&self) -> Result<BaseUrl, Error> {
        self.address.with(|address| address.base.clone().ok_or_else(no_url))
    }
}

/// What began at the address before does not go on at another.
pub(crate) fn moved() -> Error {
    Error::configuration("the client was given another address while the call waited")
        .with_fix("Make the call again; it then goes to the new address.")
}

fn no_url() -> Error {
    Error::configuration("the client has no URL yet")
        .with_fix("Pass the instance's URL to the client, set PICOBASE_URL, or give it one before the first call.")
}

impl Client {
    /// A client of the instance at `url`, with its API key; an empty key means none.
    ///
    /// # Errors
    /// Kind `Configuration` where the URL is not one of an instance.
    ///
    /// ```
    /// use picobase::Client;
    /// let client = Client::new("http://127.0.0.1:8090", "")?;
    /// assert_eq!(client.url().as_deref(), Some("http://127.0.0.1:8090"));
    /// # Ok::<(), picobase::Error>(())
    /// ```
    #[cfg(feature = "reqwest")]
    pub fn new(url: &str, api_key: &str) -> Result<Client, Error> {
        Client::builder().url(url).api_key(api_key).build()
    }

    /// A client as the environment variables `PICOBASE_URL` and `PICOBASE_API_KEY` say.
    ///
    /// # Errors
    /// Kind `Configuration` where PICOBASE_URL is not set or not a URL.
    ///
    /// ```no_run
    /// let client = picobase::Client::from_env()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    #[cfg(feature = "reqwest")]
    pub fn from_env() -> Result<Client, Error> {
        let client = Client::builder().build()?;
        client.shared.peek_address()?;
        Ok(client)
    }

    /// Sets up a client with options.
    ///
    /// ```
    /// use std::time::Duration;
    /// let client = picobase::Client::builder()
    ///     .url("http://127.0.0.1:8090")
    ///     .timeout(Duration::from_secs(10))
    ///     .build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The base URL, if one is set.
    ///
    /// ```
    /// let client = picobase::Client::new("http://127.0.0.1:8090/", "")?;
    /// assert_eq!(client.url().as_deref(), Some("http://127.0.0.1:8090"));
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn url(&self) -> Option<String> {
        self.shared.peek_address().ok().map(|base| base.as_str().to_string())
    }

    /// Sets the base URL, for apps that learn it at run time. Before the first call that only configures. After it,
    /// another origin also means another instance: the gate opens, streams begin anew, file tokens are dropped, and the session is signed
    /// out, unless [`SetUrl::keep_session`] says otherwise.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), picobase::Error> {
    /// let client = picobase::Client::builder().build()?;
    /// client.set_url("https://eu.example.com").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_url(&self, url: &str) -> SetUrl {
        SetUrl { client: self.clone(), url: BaseUrl::parse(url), keep_session: false }
    }

    /// The records of a collection, by its name or id.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let post = client.collection("posts").get_one("abc123").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn collection(&self, name: &str) -> Collection<Record> {
        Collection::new(self, name)
    }

    /// Sign-up, sign-in and the session, on the collection `users` or the option `auth_collection`. For another auth
    /// collection use [`Collection::auth`].
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.auth().sign_in("ada@example.com", "correct horse").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn auth(&self) -> Auth {
        Auth::new(self, &self.shared.options.auth_collection)
    }

    /// File URLs, uploads and downloads.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let bytes = client.files().download(&post, "cover.png").bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn files(&self) -> Files {
        Files::new(self)
    }

    /// The event stream: topics of one's own, its state, and ending subscriptions. For the events of a collection see
    /// [`Collection::subscribe`] and [`Collection::live`].
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let news = client.realtime().subscribe("news").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn realtime(&self) -> Realtime {
        Realtime::new(self)
    }

    /// Several writes in one request.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let mut batch = client.batch();
    /// batch.collection("posts").create(&serde_json::json!({"title": "one"}));
    /// batch.collection("posts").delete("abc123");
    /// let results = batch.send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn batch(&self) -> Batch {
        Batch::new(self)
    }

    /// A filter with its values put in, for the server version that the client was set up for. See
    /// [`filter`](crate::filter()).
    ///
    /// # Errors
    /// Kind `Validation`, as [`filter`](crate::filter()).
    ///
    /// ```
    /// use picobase::{Client, params};
    /// let client = Client::builder().url("http://127.0.0.1:8090").server_version("0.36.9").build()?;
    /// assert_eq!(client.filter("a = {:a}", params! { "a" => r"C:\x" })?, r#"a = "C:\x""#);
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn filter<'a>(
        &self,
        template: &str,
        params: impl IntoIterator<Item = (&'a str, QueryValue)>,
    ) -> Result<String, Error> {
        filter_for(self.shared.options.dialect, template, params)
    }

    /// Any row of the endpoint table, by its number, with its path parameters in the order of the path. For bindings,
    /// whose methods that need no more than a row are data as well. An empty answer is an error; see
    /// [`row_nothing`](Self::row_nothing).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::endpoints::COLLECTIONS_ONE;
    /// let posts: serde_json::Value = client.row(COLLECTIONS_ONE.number, &["posts"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn row<T: FromJson>(&self, number: u8, params: &[&str]) -> Action<T> {
        Action::new(self, row_call(number, params), decode::<T>)
    }

    /// [`row`](Self::row) for rows that answer nothing.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::endpoints::COLLECTIONS_TRUNCATE;
    /// client.row_nothing(COLLECTIONS_TRUNCATE.number, &["posts"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn row_nothing(&self, number: u8, params: &[&str]) -> Action<()> {
        Action::new(self, row_call(number, params), crate::call::nothing)
    }

    /// [`row`](Self::row) for rows that answer a file.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::endpoints::BACKUPS_DOWNLOAD;
    /// let zip = client.row_download(BACKUPS_DOWNLOAD.number, &["before.zip"]).protected().bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn row_download(&self, number: u8, params: &[&str]) -> Download {
        Download::new(self, row_call(number, params))
    }

    /// Any other route of the instance. `path` begins with a slash and may have a query.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::transport::Method;
    /// let stats: serde_json::Value = client.send(Method::Get, "/api/stats?days=7").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send<T: FromJson>(&self, method: Method, path: &str) -> Action<T> {
        let mut call = Call::new(custom(method), &[]);
        match custom_path(path) {
            Ok(path) => call.custom_path = path,
            Err(mistake) => call.mistake = Some(mistake),
        }
        Action::new(self, call, decode::<T>)
    }

    /// POST `/api/rpc/{name}` with `data` as JSON: functions of one's own.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let sum: i64 = client.rpc("add", &serde_json::json!({"a": 1, "b": 2})).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rpc<T: FromJson>(&self, name: &str, data: &(impl ToJson + ?Sized)) -> Action<T> {
        let path = crate::url::fill_path("/api/rpc/{name}", &[("name", name)]);
        let action = match &path {
            Ok(path) => self.send(Method::Post, path),
            Err(_) => self.send(Method::Post, "/"),
        };
        action.mistake(path.err()).body(data)
    }

    /// Asks whether the instance is awake. It neither waits for a sleeping instance nor needs a session.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let health = client.health().await?;
    /// println!("{}", health.message);
    /// # Ok(())
    /// # }
    /// ```
    pub fn health(&self) -> Action<Health> {
        Action::new(self, Call::new(&endpoints::HEALTH, &[]), decode::<Health>)
    }

    /// A client with a session of its own, on the same connections, gate and options: servers use one for each
    /// visitor. See [`SessionSource`] for what it can start from.
    ///
    /// ```
    /// # fn demo(client: picobase::Client, token_from_cookie: &str) {
    /// let visitor = client.with_session(token_from_cookie);
    /// # let _ = visitor; }
    /// ```
    pub fn with_session(&self, source: impl Into<SessionSource>) -> Client {
        let session = match source.into() {
            SessionSource::Guest => SessionState::new(Arc::new(MemoryStore::new()), None),
            SessionSource::Store(store) => SessionState::new(store, None),
            #[cfg(feature = "std")]
            SessionSource::Kept(session, store) => {
                let state = SessionState::new(store, None);
                state.adopt(session.as_ref(), self.shared.runtime.now());
                state
            }
            SessionSource::Session(session) => {
                let state = SessionState::new(Arc::new(MemoryStore::holding(session.to_stored())), None);
                state.adopt(Some(&session), self.shared.runtime.now());
                state
            }
        };
        let realtime = Hub::new(self.realtime.options.clone());
        Client { shared: self.shared.clone(), session: Arc::new(session), realtime }
    }

    /// Calls `listener` when the instance falls asleep, wakes up, or does not wake up in time.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// use picobase::InstanceState;
    /// client.on_state(|state| {
    ///     if *state == InstanceState::Starting {
    ///         println!("waking up…");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn on_state(&self, listener: impl Fn(&InstanceState) + MaybeSend + MaybeSync + 'static) {
        self.shared.gate.add_listener(Arc::new(listener));
    }

    /// Calls `listener` with errors of this client's own session store that no call can report.
    /// [`ClientBuilder::on_storage_error`] hears of those of all clients that share its connections.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// client.on_storage_error(|e| eprintln!("{e}"));
    /// # }
    /// ```
    pub fn on_storage_error(&self, listener: impl Fn(&Error) + MaybeSend + MaybeSync + 'static) {
        let listener: Listener<Error> = Arc::new(listener);
        self.session.on_storage_error.with(|all| all.push(listener));
    }

    /// Collections and their schema, for superusers.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let posts: serde_json::Value = client.collections().get_one("posts").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn collections(&self) -> Collections {
        Collections::new(self)
    }

    /// The instance's settings, for superusers.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let settings: serde_json::Value = client.settings().get_all().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn settings(&self) -> Settings {
        Settings::new(self)
    }

    /// Request logs, for superusers.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let logs = client.logs().get_list::<serde_json::Value>(1, 50).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn logs(&self) -> Logs {
        Logs::new(self)
    }

    /// Backups, for superusers.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.backups().create("before.zip").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn backups(&self) -> Backups {
        Backups::new(self)
    }

    /// Scheduled jobs, for superusers.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.crons().run("__pbLogsCleanup__").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn crons(&self) -> Crons {
        Crons::new(self)
    }

    /// SQL, for superusers (server 0.39 and newer).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let answer = client.sql().run("SELECT count(*) FROM posts").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sql(&self) -> Sql {
        Sql::new(self)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl<T> Action<T> {
    /// The JSON body.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::transport::Method;
    /// let _: serde_json::Value =
    ///     client.send(Method::Post, "/api/orders").body(&serde_json::json!({"item": 7})).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn body(mut self, body: &(impl ToJson + ?Sized)) -> Self {
        match body.to_json() {
            Ok(json) => self.call.body = Body::Json(json),
            Err(mistake) => self.call.mistake = Some(mistake),
        }
        self
    }

    /// Marks the call as one that may be made twice, so that a lost answer is asked for again although it is no GET.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let found: Vec<String> = client.rpc("search", &serde_json::json!({"q": "rust"})).safe().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn safe(mut self) -> Self {
        self.call.safe = true;
        self
    }

    /// The body as bytes that are no JSON; name their type with the header `Content-Type`.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::{files::Source, transport::Method};
    /// let call = client.send(Method::Post, "/api/import").raw(Source::bytes("a,b")).header("Content-Type", "text/csv");
    /// let _: serde_json::Value = call.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn raw(mut self, source: crate::files::Source) -> Self {
        self.call.body = Body::Raw(source);
        self
    }

    pub(crate) fn mistake(mut self, mistake: Option<Error>) -> Self {
        if mistake.is_some() {
            self.call.mistake = mistake;
        }
        self
    }
}

/// A row's call, its path parameters named by the row's path.
fn row_call(number: u8, params: &[&str]) -> Call {
    let Some(row) = endpoints::ALL.iter().find(|row| row.number == number) else {
        let mut call = Call::new(custom(Method::Get), &[]);
        call.mistake = Some(Error::configuration("there is no such endpoint"));
        return call;
    };
    let names = row.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let pairs: Vec<(&'static str, &str)> = names.zip(params.iter().copied()).collect();
    Call::new(row, &pairs)
}

/// A path of one's own: on this instance, without dots that would lead elsewhere.
fn custom_path(path: &str) -> Result<String, Error> {
    if split_at_text(path, "://").is_some() && !path.starts_with('/') || path.starts_with("//") {
        return Err(Error::configuration("`send` takes a path, not a URL: the key never leaves the instance")
            .with_fix("Begin it with a single slash, /api/my-route for example."));
    }
    let (route, query) = path.split_once('?').map_or((path, None), |(route, query)| (route, Some(query)));
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '#');
    if route.contains(odd) || query.is_some_and(|q| q.contains(odd)) {
        return Err(Error::configuration("the path has characters that must be percent-encoded")
            .with_fix("Pass parameters with `query`, which encodes them."));
    }
    if route.split('/').any(is_dots) {
        return Err(Error::not_found("the path has a . or .. segment").with_fix("Write the path plainly."));
    }
    Ok(if path.starts_with('/') { path.to_string() } else { ["/", path].concat() })
}

/// What [`Client::with_session`] starts from.
///
/// From text: the token of a visitor. From a [`Session`]: its token and record. From a [`Store`]: what it holds.
#[non_exhaustive]
pub enum SessionSource {
    /// Nobody is signed in yet.
    Guest,
    /// This session, kept in memory only.
    Session(Session),
    /// Whatever the store holds, and what is to be kept there.
    Store(Arc<dyn Store>),
    /// What the store is known to hold, a session or none, and what is to be kept there later.
    #[cfg(feature = "std")]
    Kept(Option<Session>, Arc<dyn Store>),
}

impl From<&str> for SessionSource {
    fn from(token: &str) -> Self {
        if token.is_empty() { SessionSource::Guest } else { SessionSource::Session(Claims::minimal_session(token)) }
    }
}

impl From<String> for SessionSource {
    fn from(token: String) -> Self {
        SessionSource::from(token.as_str())
    }
}

impl From<Session> for SessionSource {
    fn from(session: Session) -> Self {
        SessionSource::Session(session)
    }
}

impl From<Option<Session>> for SessionSource {
    fn from(session: Option<Session>) -> Self {
        session.map_or(SessionSource::Guest, SessionSource::Session)
    }
}

impl From<Arc<dyn Store>> for SessionSource {
    fn from(store: Arc<dyn Store>) -> Self {
        SessionSource::Store(store)
    }
}

/// See [`Client::set_url`].
#[must_use = "nothing changes before this is awaited"]
#[derive(Debug)]
pub struct SetUrl {
    client: Client,
    url: Result<BaseUrl, Error>,
    keep_session: bool,
}

impl SetUrl {
    /// Keeps the session although the origin changes: the new one serves the same users and must be trusted with the
    /// token.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.set_url("https://moved.example.com").keep_session().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_session(mut self) -> Self {
        self.keep_session = true;
        self
    }

    async fn run(self) -> Result<(), Error> {
        let (client, base) = (&self.client, self.url?);
        let address = &client.shared.address;
        // First the session: what begins between the two must not take its token to another origin.
        let leaves = !self.keep_session && address.with(|address| address.is_left_for(&base));
        let signed_out = leaves.then(|| client.session.sign_out(client));
        let moved = address.with(|address| {
            let moved = address.is_left_for(&base);
            address.base = Some(base);
            address.moves += u64::from(moved);
            moved
        });
        if moved {
            client.shared.gate.open();
            client.session.forget_file_token();
        }
        let signed_out = match signed_out {
            Some(signed_out) => signed_out.await,
            // Used for the first time just now.
            None if moved && !self.keep_session => client.session.sign_out(client).await,
            None => Ok(()),
        };
        if moved {
            client.realtime.moved(client);
        }
        signed_out
    }
}

impl IntoFuture for SetUrl {
    type Output = Result<(), Error>;
    type IntoFuture = BoxFuture<'static, Result<(), Error>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// A call as hooks see it before it is sent. It holds no key and no token: those are added later.
#[derive(Clone)]
#[non_exhaustive]
pub struct Outgoing {
    /// The endpoint's name, `records.create` for example, or `send`.
    pub endpoint: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The header fields so far.
    pub headers: Headers,
    query: Vec<(String, QueryValue)>,
    mistake: Option<Error>,
}

/// The names of headers and parameters only: their values may be secrets.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query: Vec<&str> = self.query.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Outgoing")
            .field("endpoint", &self.endpoint)
            .field("method", &self.method)
            .field("headers", &self.headers)
            .field("query", &query)
            .finish()
    }
}

impl Outgoing {
    pub(crate) fn new(call: &Call) -> Self {
        Outgoing {
            endpoint: call.endpoint.name,
            method: call.endpoint.method,
            headers: call.headers.clone(),
            query: Vec::new(),
            mistake: None,
        }
    }

    /// Sets a query parameter.
    ///
    /// ```
    /// let client = picobase::Client::builder()
    ///     .url("http://127.0.0.1:8090")
    ///     .before_call(|call| call.set_query("tenant", "acme"))
    ///     .build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn set_query(&mut self, name: &str, value: impl Into<QueryValue>) {
        self.query.push((name.to_string(), value.into()));
    }

    /// Fails the call with this error: nothing is sent. Of several the first counts.
    ///
    /// ```
    /// use picobase::{Error, ErrorKind};
    /// let client = picobase::Client::builder()
    ///     .url("http://127.0.0.1:8090")
    ///     .before_call(|call| call.fail(Error::new(ErrorKind::Configuration, "there is no tenant yet")))
    ///     .build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn fail(&mut self, error: Error) {
        self.mistake.get_or_insert(error);
    }

    /// # Errors
    /// What a hook failed the call with.
    pub(crate) fn apply(self, call: &mut Call) -> Result<(), Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        call.headers = self.headers;
        for (name, value) in self.query {
            call.query.set(&name, value);
        }
        Ok(())
    }
}

/// How a call ended, for hooks. It holds no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallReport {
    /// The endpoint's name, `records.create` for example, or `send`.
    pub endpoint: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The path before its parameters were filled in.
    pub template: String,
    /// The URL without its secrets.
    pub url: String,
    /// The HTTP status; 0 where there was no answer.
    pub status: u16,
    /// How many requests were sent.
    pub attempts: u32,
    /// How long it all took.
    pub elapsed: Duration,
    /// What went wrong, if anything.
    pub error: Option<Error>,
}

/// Sets up a [`Client`]. Every option has a default.
#[must_use = "call `build` to get the client"]
pub struct ClientBuilder {
    url: Option<String>,
    key: Option<String>,
    transport: Option<Arc<dyn Transport>>,
    #[cfg(feature = "reqwest")]
    http: Option<reqwest::ClientBuilder>,
    runtime: Option<SharedRuntime>,
    store: Option<Arc<dyn Store>>,
    #[cfg(feature = "std")]
    held: Option<Option<Session>>,
    credentials: Option<Credentials>,
    server_version: Option<String>,
    realtime: RealtimeOptions,
    options: Options,
    before: Vec<Editor<Outgoing>>,
    after: Vec<Listener<CallReport>>,
    on_state: Vec<Listener<InstanceState>>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        ClientBuilder {
            url: None,
            key: None,
            transport: None,
            #[cfg(feature = "reqwest")]
            http: None,
            runtime: None,
            store: None,
            #[cfg(feature = "std")]
            held: None,
            credentials: None,
            server_version: None,
            realtime: RealtimeOptions::default(),
            options: Options {
                timeout: None,
                cold_start_timeout: Duration::from_secs(60),
                transfer_idle_timeout: DEFAULT_TIMEOUT,
                max_retries: 5,
                accept_language: "en-US".to_string(),
                auth_collection: "users".to_string(),
                dialect: FilterDialect::default(),
                on_storage_error: Vec::new(),
            },
            before: Vec::new(),
            after: Vec::new(),
            on_state: Vec::new(),
        }
    }
}

/// Documents, and writes, one option each.
macro_rules! options {
    ($($(#[doc = $doc:literal])+ $name:ident($($arg:ident: $type:ty),*) |$self:ident| $set:expr;)*) => {
        impl ClientBuilder {
            $(
                $(#[doc = $doc])+
                pub fn $name(mut self $(, $arg: $type)*) -> Self {
                    let $self = &mut self;
                    $set;
                    self
                }
            )*
        }
    };
}

options! {
    /// The instance's URL. Default: the environment variable `PICOBASE_URL`; without it, `set_url` can say it later.
    ///
    /// ```
    /// let client = picobase::Client::builder().url("http://127.0.0.1:8090").build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    url(url: &str) |b| b.url = Some(url.to_string());

    /// The instance's API key, or a superuser's token. Default: `PICOBASE_API_KEY`. Empty: none.
    ///
    /// ```
    /// let client = picobase::Client::builder().url("http://127.0.0.1:8090").api_key("pk_test").build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    api_key(key: &str) |b| b.key = Some(key.to_string());

    /// How long each call may take, retries and cold starts included. Default: 30 s a call (a cold start may take
    /// longer), and no limit for transfers that make progress.
    ///
    /// ```
    /// use std::time::Duration;
    /// let client = picobase::Client::builder().url("http://h").timeout(Duration::from_secs(10)).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    timeout(timeout: Duration) |b| b.options.timeout = Some(timeout);

    /// How long to wait for a sleeping instance. Default: 60 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// let client = picobase::Client::builder().url("http://h").cold_start_timeout(Duration::from_secs(90)).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    cold_start_timeout(timeout: Duration) |b| b.options.cold_start_timeout = timeout;

    /// How long an upload or download may make no progress: then an upload fails, and a download goes on with a new
    /// connection. It holds where no timeout is set. Default: 30 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// let client = picobase::Client::builder().url("http://h").transfer_idle_timeout(Duration::from_secs(10)).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    transfer_idle_timeout(timeout: Duration) |b| b.options.transfer_idle_timeout = timeout;

    /// How often a call is repeated after a lost answer or a 429. Default: 5. Cold starts have their own limit.
    ///
    /// ```
    /// let client = picobase::Client::builder().url("http://h").max_retries(0).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    max_retries(times: u32) |b| b.options.max_retries = times;

    /// The language of the server's messages. Default: `en-US`.
    ///
    /// ```
    /// let client = picobase::Client::builder().url("http://h").accept_language("de").build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    accept_language(language: &str) |b| b.options.accept_language = language.to_string();

    /// The collection that `auth()` signs in to. Default: `users`.
    ///
    /// ```
    /// let client = picobase::Client::builder().url("http://h").auth_collection("members").build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    auth_collection(name: &str) |b| b.options.auth_collection = name.to_string();

    /// The server's version, which decides how filters are written. Default: the newest.
    ///
    /// ```
    /// let client = picobase::Client::builder().url("http://h").server_version("0.36.9").build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    server_version(version: &str) |b| b.server_version = Some(version.to_string());

    /// Signs in by itself at first need, and again when the session ends: for services.
    ///
    /// ```
    /// use picobase::{Client, auth::Credentials};
    /// let client = Client::builder()
    ///     .url("http://127.0.0.1:8090")
    ///     .credentials(Credentials::new("service@example.com", "secret").collection("services"))
    ///     .build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    credentials(credentials: Credentials) |b| b.credentials = Some(credentials);

    /// Where the session is kept. Default: in memory.
    ///
    /// ```
    /// use picobase::{Client, auth::FileStore};
    /// let client = Client::builder().url("http://h").store(FileStore::new("/tmp/session.json")).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    store(store: impl Store) |b| b.store = Some(Arc::new(store));

    /// What sends requests. Default: reqwest.
    ///
    /// ```
    /// use picobase::{Client, transport::{Headers, MemoryTransport, Response}};
    /// let transport = MemoryTransport::new(|_| async { Ok(Response::new(204, Headers::new(), "")) });
    /// let client = Client::builder().url("http://h").transport(transport).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    transport(transport: impl Transport) |b| b.transport = Some(Arc::new(transport));

    /// The clock, timer and random source. Default: tokio's and the system's.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use picobase::{Client, runtime::TokioRuntime};
    /// let client = Client::builder().url("http://h").runtime(Arc::new(TokioRuntime::new())).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    runtime(runtime: Arc<dyn Runtime>) |b| b.runtime = Some(runtime);

    /// Called before each call; may add headers and query parameters.
    ///
    /// ```
    /// let client = picobase::Client::builder()
    ///     .url("http://h")
    ///     .before_call(|call| call.headers.set("X-Request-Id", "42"))
    ///     .build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    before_call(hook: impl Fn(&mut Outgoing) + MaybeSend + MaybeSync + 'static) |b| b.before.push(Arc::new(hook));

    /// Called after each call, also after one that failed or was cancelled.
    ///
    /// ```
    /// let client = picobase::Client::builder()
    ///     .url("http://h")
    ///     .after_call(|call| println!("{} {} {:?}", call.endpoint, call.status, call.elapsed))
    ///     .build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    after_call(hook: impl Fn(&CallReport) + MaybeSend + MaybeSync + 'static) |b| b.after.push(Arc::new(hook));

    /// Called when the instance falls asleep, wakes up, or does not wake up in time.
    ///
    /// ```
    /// let client = picobase::Client::builder().url("http://h").on_state(|state| println!("{state:?}")).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    on_state(listener: impl Fn(&InstanceState) + MaybeSend + MaybeSync + 'static) |b| b.on_state.push(Arc::new(listener));

    /// The settings of realtime.
    ///
    /// ```
    /// use picobase::{Client, realtime::RealtimeOptions};
    /// let client = Client::builder().url("http://h").realtime(RealtimeOptions::default()).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    realtime(options: RealtimeOptions) |b| b.realtime = options;

    /// Called when the session store fails at a moment when no call can report it, or had a corrupt file.
    ///
    /// ```
    /// let client = picobase::Client::builder().url("http://h").on_storage_error(|e| eprintln!("{e}")).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    on_storage_error(listener: impl Fn(&Error) + MaybeSend + MaybeSync + 'static)
        |b| b.options.on_storage_error.push(Arc::new(listener));
}

impl ClientBuilder {
    /// The reqwest client to use, still being built: proxies, certificates, pools. Redirects are turned off.
    ///
    /// ```
    /// let http = reqwest::Client::builder().pool_max_idle_per_host(4);
    /// let client = picobase::Client::builder().url("http://h").http_client(http).build()?;
    /// # Ok::<(), picobase::Error>(())
    /// ```
    #[cfg(feature = "reqwest")]
    pub fn http_client(mut self, builder: reqwest::ClientBuilder) -> Self {
        self.http = Some(builder);
        self
    }

    /// What the [`store`](Self::store) is known to hold, a session or none: it is there from the start, and not loaded
    /// with the first call.
    ///
    /// ```
    /// use picobase::{Client, auth::MemoryStore};
    /// let client = Client::builder().url("http://h").store(MemoryStore::new()).held(None).build()?;
    /// assert!(client.auth().session().is_none());
    /// # Ok::<(), picobase::Error>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn held(mut self, session: Option<Session>) -> Self {
        self.held = Some(session);
        self
    }

    /// Checks the options and makes the client. Nothing is sent.
    ///
    /// # Errors
    /// Kind `Configuration` where an option is wrong.
    ///
    /// ```
    /// assert!(picobase::Client::builder().url("ftp://h").build().is_err());
    /// ```
    pub fn build(mut self) -> Result<Client, Error> {
        let url = self.url.take().or_else(|| environment("PICOBASE_URL"));
        let base = url.as_deref().map(BaseUrl::parse).transpose()?;
        let key = self.key.take().or_else(|| environment("PICOBASE_API_KEY"));
        let key = api_key(key)?;
        if let Some(version) = &self.server_version {
            self.options.dialect = FilterDialect::of_server(version)?;
        }
        if self.options.timeout.is_some_and(|t| t.is_zero()) {
            return Err(Error::configuration("the timeout is zero").with_fix("Leave it out for the default of 30 s."));
        }
        if self.options.transfer_idle_timeout.is_zero() {
            return Err(Error::configuration("the idle timeout of transfers is zero")
                .with_fix("Leave it out for the default of 30 s."));
        }
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => default_runtime()?,
        };
        if runtime.is_browser() {
            keep_secrets_out(key.as_ref(), self.credentials.as_ref())?;
        }
        let transport = match self.transport.take() {
            Some(transport) => transport,
            None => self.default_transport()?,
        };
        let gate = Gate::new();
        for listener in self.on_state {
            gate.add_listener(listener);
        }
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let shared = Shared {
            transport,
            runtime,
            gate,
            key,
            options: self.options,
            before: self.before,
            after: self.after,
            workers: Workers::new(),
            address: Lock::new(Address { base, used: false, moves: 0 }),
        };
        let session = SessionState::new(store, self.credentials);
        #[cfg(feature = "std")]
        if let Some(held) = &self.held {
            session.adopt(held.as_ref(), shared.runtime.now());
        }
        Ok(Client { shared: Arc::new(shared), session: Arc::new(session), realtime: Hub::new(self.realtime.checked()) })
    }

    #[cfg(feature = "reqwest")]
    fn default_transport(&mut self) -> Result<Arc<dyn Transport>, Error> {
        let builder = self.http.take().unwrap_or_default();
        Ok(Arc::new(crate::transport::ReqwestTransport::build(builder)?))
    }

    #[cfg(not(feature = "reqwest"))]
    fn default_transport(&mut self) -> Result<Arc<dyn Transport>, Error> {
        Err(missing("transport"))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(feature = "reqwest")]
fn default_runtime() -> Result<SharedRuntime, Error> {
    Ok(Arc::new(crate::runtime::TokioRuntime::new()))
}

#[cfg(not(feature = "reqwest"))]
fn default_runtime() -> Result<SharedRuntime, Error> {
    Err(missing("runtime"))
}

#[cfg(not(feature = "reqwest"))]
fn missing(what: &str) -> Error {
    Error::configuration(["the client has no ", what].concat())
        .with_fix("Give the builder one, or enable the feature `reqwest`.")
}

#[cfg(feature = "std")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(not(feature = "std"))]
fn environment(_: &str) -> Option<String> {
    None
}

/// In a browser everyone can read what the client knows.
fn keep_secrets_out(key: Option<&SecretString>, credentials: Option<&Credentials>) -> Result<(), Error> {
    if key.is_some_and(|key| Claims::read(key.expose_secret()).is_some()) {
        return Err(Error::configuration("the API key is a token, which gives whoever visits the page all its rights")
            .with_fix("Use the instance's API key from the dashboard, and keep a superuser's token on a server."));
    }
    if credentials.is_some() {
        return Err(Error::configuration("credentials in a page can be read by whoever visits it")
            .with_fix("Let users sign in, or use credentials on a server."));
    }
    Ok(())
}

/// A key is a header value; anything else was copied wrongly.
fn api_key(key: Option<String>) -> Result<Option<SecretString>, Error> {
    let Some(key) = key.map(SecretString::from) else { return Ok(None) };
    let text = key.expose_secret().trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.bytes().any(|b| !(b'!'..=b'~').contains(&b)) {
        return Err(Error::new(ErrorKind::Configuration, "the API key has characters that no key has")
            .with_fix("Copy it again from the dashboard, without quotes or line breaks."));
    }
    Ok(Some(SecretString::from(text.to_string())))
}
