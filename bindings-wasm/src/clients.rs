//! The clients of this module, by number.

use alloc::{rc::Rc, string::String, sync::Arc, vec::Vec};

use picobase::{
    Client, Error, Json,
    auth::{AuthListener, Credentials, Session, Store},
    client::{CallReport, Outgoing, SessionSource},
    realtime::RealtimeOptions,
};

use crate::{
    abi::{self, Tell, with},
    executor::{self, millis, write_error},
    frame::{Args, Frame, Value},
    host::Handle,
    platform::{JsStore, Platform, header, pairs},
};

/// All clients.
pub(crate) struct Clients {
    all: Vec<Entry>,
    last: u32,
}

struct Entry {
    id: u32,
    client: Client,
    /// Tells JavaScript what becomes of the session.
    _listener: AuthListener,
    /// The job that tells the states of its stream.
    watch: Option<u32>,
    /// How often its page was looked at or hidden.
    looks: u32,
}

impl Clients {
    pub(crate) const fn new() -> Clients {
        Clients { all: Vec::new(), last: 0 }
    }

    /// Takes `job` as what tells the states of this client's stream; not where there is one.
    pub(crate) fn watch(&mut self, id: u32, job: u32) -> bool {
        match self.all.iter_mut().find(|entry| entry.id == id && entry.watch.is_none()) {
            Some(entry) => entry.watch.replace(job).is_none(),
            None => false,
        }
    }

    /// How often the client's page was looked at or hidden, this time included where it was.
    pub(crate) fn looks(&mut self, id: u32, more: u32) -> Option<u32> {
        let entry = self.all.iter_mut().find(|entry| entry.id == id)?;
        entry.looks = entry.looks.wrapping_add(more);
        Some(entry.looks)
    }
}

/// The client with this number.
pub(crate) fn get(id: u32) -> Option<Client> {
    with(|executor| executor.clients.all.iter().find(|entry| entry.id == id).map(|entry| entry.client.clone()))
}

/// Forgets a client.
pub(crate) fn close(id: u32) {
    let closed = with(|executor| {
        let at = executor.clients.all.iter().position(|entry| entry.id == id)?;
        Some(executor.clients.all.swap_remove(at))
    });
    if let Some(job) = closed.and_then(|entry| entry.watch) {
        executor::cancel(job);
    }
}

/// A number that no client has, one that is positive for JavaScript too.
fn next_id() -> u32 {
    with(|executor| {
        let clients = &mut executor.clients;
        loop {
            clients.last = clients.last % (i32::MAX as u32) + 1;
            if clients.all.iter().all(|entry| entry.id != clients.last) {
                return clients.last;
            }
        }
    })
}

/// Keeps a client, and tells JavaScript what becomes of its session and its store from now on.
fn keep(id: u32, client: Client) {
    client.on_storage_error(move |error| {
        let mut out = Frame::new();
        out.text("storage");
        write_error(&mut out, error);
        abi::tell(Tell::Notice, id, out.bytes());
    });
    let listener = client.auth().on_change(move |change| {
        let mut out = Frame::new();
        out.text("auth").text(change.event.as_str());
        maybe_session(&mut out, change.session.as_ref());
        abi::tell(Tell::Notice, id, out.bytes());
    });
    with(|executor| executor.clients.all.push(Entry { id, client, _listener: listener, watch: None, looks: 0 }));
}

/// A session as a list: token, record, end, what an OAuth2 provider said.
pub(crate) fn write_session(out: &mut Frame, session: &Session) {
    out.list(4).text(session.token()).json(session.record_json());
    out.maybe_int(session.expires_at()).maybe(session.meta());
}

/// A session, or null.
pub(crate) fn maybe_session(out: &mut Frame, session: Option<&Session>) {
    match session {
        Some(session) => write_session(out, session),
        None => _ = out.null(),
    }
}

/// A new client.
pub(crate) fn create(args: &mut Args) -> Result<Frame, Error> {
    let id = next_id();
    let mut builder = Client::builder();
    if let Some(url) = args.some() {
        builder = builder.url(&url);
    }
    if let Some(key) = args.some() {
        builder = builder.api_key(&key);
    }
    if let Some(language) = args.some() {
        builder = builder.accept_language(&language);
    }
    if let Some(collection) = args.some() {
        builder = builder.auth_collection(&collection);
    }
    if let Some(version) = args.some() {
        builder = builder.server_version(&version);
    }
    if let Some(time) = args.time() {
        builder = builder.timeout(time);
    }
    if let Some(time) = args.time() {
        builder = builder.cold_start_timeout(time);
    }
    if let Some(time) = args.time() {
        builder = builder.transfer_idle_timeout(time);
    }
    if let Some(times) = args.small() {
        builder = builder.max_retries(times);
    }
    if let Value::Host(store) = args.next() {
        builder = builder.store(JsStore(store));
    }
    let mut credentials = Args::new(args.list());
    if let Some(identity) = credentials.some() {
        let mut known = Credentials::new(identity, credentials.text());
        if let Some(collection) = credentials.some() {
            known = known.collection(collection);
        }
        builder = builder.credentials(known);
    }
    builder = builder.realtime(realtime(Args::new(args.list())));
    if let Value::Host(hook) = args.next() {
        builder = builder.before_call(move |call| before(&hook, call));
    }
    if args.flag() {
        builder = builder.after_call(move |report| after(id, report));
    }
    let is_browser = args.flag();
    let client = builder
        .transport(Platform { is_browser })
        .runtime(Arc::new(Platform { is_browser }))
        .on_state(move |state| notice(id, "state", state.as_str()))
        .build()?;
    keep(id, client);
    Ok(Frame::number(id))
}

/// A client with a session of its own.
#[expect(clippy::arc_with_non_send_sync, reason = "the core takes an Arc on every platform; here is one thread")]
pub(crate) fn with_session(parent: &Client, args: &mut Args) -> Frame {
    let (token, record) = (args.some(), args.json());
    let source = match (args.next(), token) {
        (Value::Host(store), _) => SessionSource::Store(Arc::new(JsStore(store)) as Arc<dyn Store>),
        (_, Some(token)) => source(token, record),
        _ => SessionSource::Guest,
    };
    let id = next_id();
    keep(id, parent.with_session(source));
    Frame::number(id)
}

fn source(token: String, record: Option<Json>) -> SessionSource {
    match record {
        Some(record) => Session::new(token, record).into(),
        None => token.into(),
    }
}

fn realtime(mut args: Args) -> RealtimeOptions {
    let mut options = RealtimeOptions::default();
    for field in [&mut options.liveness, &mut options.max_age, &mut options.overlap, &mut options.linger] {
        if let Some(time) = args.time() {
            *field = time;
        }
    }
    if let Value::Bool(catch_up) = args.next() {
        options.catch_up = catch_up;
    }
    if let Some(time) = args.time() {
        options.catch_up_skew = time;
    }
    for field in [&mut options.catch_up_max, &mut options.tracked_max, &mut options.queue_max] {
        if let Some(number) = args.small() {
            *field = number;
        }
    }
    options
}

/// The user's hook before a call: it answers the headers as they are to be, and further query parameters; or why it failed.
fn before(hook: &Rc<Handle>, call: &mut Outgoing) {
    let mut out = Frame::new();
    out.text(call.endpoint).text(call.method.as_str()).headers(&call.headers);
    let mut answer = hook.call(out.bytes());
    let headers = match answer.next() {
        Value::List(headers) => headers,
        // Without what it would have added the call would be another.
        why => return call.fail(refused(why.text())),
    };
    for (name, value) in pairs(headers) {
        call.headers.set(&name, header(value));
    }
    for (name, value) in pairs(answer.list()) {
        call.set_query(&name, value.query());
    }
}

/// What a call fails with whose hook did.
fn refused(why: Option<String>) -> Error {
    let why = why.unwrap_or_else(|| "unreadable".into());
    Error::new(picobase::ErrorKind::Configuration, ["`beforeSend` failed: ", &why].concat())
        .with_fix("It answers at once: headers and query parameters.")
}

/// The user's hook behind a call.
fn after(client: u32, report: &CallReport) {
    let mut out = Frame::new();
    out.text("call").list(8).text(report.endpoint).text(report.method.as_str()).text(&report.template);
    out.text(&report.url).int(report.status.into()).int(report.attempts.into()).int(millis(report.elapsed));
    match &report.error {
        Some(error) => write_error(&mut out, error),
        None => _ = out.null(),
    }
    abi::tell(Tell::Notice, client, out.bytes());
}

/// Tells a word.
pub(crate) fn notice(client: u32, about: &str, word: &str) {
    let mut out = Frame::new();
    out.text(about).text(word);
    abi::tell(Tell::Notice, client, out.bytes());
}

/// A closed client's calls.
pub(crate) fn closed() -> Error {
    Error::new(picobase::ErrorKind::Cancelled, "the client is closed").with_fix("Make a new one with `createClient`.")
}
