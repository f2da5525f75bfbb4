//! The operations: each is a number, reads its arguments, and is a method of the core.
//!
//! What the arguments are stands in `npm/src/core/ops.ts`; `cargo xtask check` compares the numbers.

mod auth;
mod client;
pub(crate) mod realtime;
mod records;

pub(crate) use self::records::Walks;

use alloc::{string::String, vec::Vec};

use picobase::{
    Client, Error, ErrorKind, Json,
    action::CallOptions,
    files::{FilePart, FileSource},
    runtime::BoxFuture,
};

use crate::{
    abi::{self, Tell},
    clients,
    executor::{self, Work},
    frame::{Args, Frame, Value, read},
    platform::{header, pairs},
};

macro_rules! ops {
    ($($name:ident = $number:literal,)*) => {
        $(pub(crate) const $name: u32 = $number;)*
    };
}

/// The numbers of the operations.
pub(crate) mod op {
    ops! {
        CLIENT_NEW = 1,
        WITH_SESSION = 2,
        CLOSE = 3,
        ROW = 10,
        SEND = 11,
        RPC = 12,
        FILE_TOKEN = 15,
        SIGN_IN = 17,
        REFRESH = 18,
        SIGN_OUT = 19,
        SET_SESSION = 20,
        READY = 21,
        SYNC_SESSION = 22,
        GET_FIRST = 24,
        CREATE = 26,
        UPDATE = 27,
        DELETE = 28,
        SET_URL = 30,
        DOWNLOAD = 31,
        BACKUP_UPLOAD = 32,
        GET_FULL_LIST = 33,
        WALK = 34,
        WALK_NEXT = 35,
        WALK_END = 36,
        GET_MANY = 37,
        BATCH = 38,
        SIGN_UP = 41,
        SIGN_IN_OTP = 42,
        BEGIN_O_AUTH2 = 43,
        FINISH_O_AUTH2 = 44,
        SETTLED = 45,
        CONFIRM_VERIFICATION = 51,
        CONFIRM_RESET = 52,
        CONFIRM_EMAIL_CHANGE = 53,
        EXTERNAL_AUTHS = 54,
        UNLINK_EXTERNAL_AUTH = 55,
        O_AUTH2_ALL_IN_ONE = 69,
        SUBSCRIBE = 70,
        UNSUBSCRIBE = 71,
        UNSUBSCRIBE_TOPIC = 72,
        UNSUBSCRIBE_PREFIX = 73,
        LIVE = 74,
        LIVE_END = 75,
        HINT = 76,
    }
}

/// What an operation is asked with.
struct Asked {
    /// Its number among those that run.
    id: u32,
    /// The number of its client.
    client_id: u32,
    args: Args,
    options: CallOptions,
}

impl Asked {
    fn new(id: u32, client_id: u32, bytes: &[u8]) -> Asked {
        let mut args = Args::new(read(bytes));
        let mut options = CallOptions { timeout: args.time(), ..CallOptions::default() };
        for (name, value) in pairs(args.list()) {
            options.headers.set(&name, header(value));
        }
        for (name, value) in pairs(args.list()) {
            options.query.append(&name, value.query());
        }
        Asked { id, client_id, args, options }
    }

    fn options(&mut self) -> CallOptions {
        core::mem::take(&mut self.options)
    }

    fn spawn(&self, work: Work) {
        executor::spawn(self.id, work);
    }

    fn json(&self, call: BoxFuture<'static, Result<Json, Error>>) {
        self.spawn(Work::Json(call));
    }

    fn nothing(&self, call: BoxFuture<'static, Result<(), Error>>) {
        self.spawn(Work::Nothing(call));
    }

    fn frame(&self, call: BoxFuture<'static, Result<Frame, Error>>) {
        self.spawn(Work::Frame(call));
    }

    /// Answers at once.
    fn answer(&self, result: Result<Frame, Error>) {
        match result {
            Ok(frame) => abi::tell(Tell::Answer, self.id, frame.bytes()),
            Err(error) => executor::fail(self.id, &error),
        }
    }
}

/// Starts the operation `op` as `id` for a client.
pub(crate) fn start(op: u32, id: u32, client: u32, bytes: Vec<u8>) {
    let mut asked = Asked::new(id, client, &bytes);
    if op == op::CLIENT_NEW {
        let made = clients::create(&mut asked.args);
        return asked.answer(made);
    }
    let Some(client) = clients::get(client) else { return asked.answer(Err(clients::closed())) };
    match op {
        ..op::SIGN_IN => client::start(op, &client, asked),
        op::SIGN_IN..op::GET_FIRST => auth::start(op, &client, asked),
        _ => records::start(op, &client, asked),
    }
}

/// Starts one of the operations that few pages need at once.
pub(crate) fn start_more(op: u32, id: u32, client: u32, bytes: Vec<u8>) {
    let asked = Asked::new(id, client, &bytes);
    let Some(client) = clients::get(client) else { return asked.answer(Err(clients::closed())) };
    match op {
        ..op::GET_FULL_LIST => client::more(op, &client, asked),
        op::GET_FULL_LIST..op::SIGN_UP => records::more(op, &client, asked),
        _ => auth::more(op, &client, asked),
    }
}

/// A number that no operation has.
fn unknown() -> Error {
    Error::new(ErrorKind::Configuration, "the module does not know this operation")
        .with_fix("Install one version of @picobase/client, not parts of two.")
}

/// The text of one string.
fn text(value: &str) -> Json {
    Json::string(value)
}

/// The body that was passed; none is an empty object.
fn body(args: &mut Args) -> Json {
    args.json().unwrap_or_else(Json::null)
}

/// The files of an upload.
fn files(parts: Vec<Value>) -> Vec<FilePart> {
    let mut all = Vec::new();
    for part in parts {
        let mut part = Args::new(part.list());
        let field = part.text();
        if let Some(source) = file(&mut part) {
            all.push(FilePart { field, source });
        }
    }
    all
}

fn file(part: &mut Args) -> Option<FileSource> {
    let (name, content_type) = (part.text(), part.some());
    let Value::Source(source) = part.next() else { return None };
    let file = FileSource::host(&name, source);
    Some(match content_type.filter(|content_type| !content_type.is_empty()) {
        Some(content_type) => file.content_type(&content_type),
        None => file,
    })
}

/// The collection that was named, or the client's own of users.
fn auth_of(client: &Client, collection: Option<String>) -> picobase::auth::Auth {
    match collection {
        Some(name) => client.collection(&name).auth(),
        None => client.auth(),
    }
}
