//! The one error type: a stable kind, what the server said, and what to do about it.

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{fmt, time::Duration};

use crate::{
    json::Json,
    url::{digits, redact},
};

/// How much of a body that is not JSON an error keeps, in characters.
const EXCERPT: usize = 200;

/// What went wrong, in terms that are the same in every language. More kinds may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client is set up wrongly: its URL, its key, or a redirect where the API should be.
    Configuration,
    /// The server could not be reached, or the connection broke.
    Network,
    /// The deadline passed.
    Timeout,
    /// The caller cancelled.
    Cancelled,
    /// The request was refused as it is; see [`Error::fields`].
    Validation,
    /// Wrong credentials, or none where some are needed.
    Unauthorized,
    /// Signed in, but not allowed to.
    Forbidden,
    /// No such record, collection, file or route, or a rule hides it.
    NotFound,
    /// The value exists already (a unique index).
    Conflict,
    /// The first factor was right; a second one is needed with [`Error::mfa_id`].
    MfaRequired,
    /// Too many requests.
    RateLimited,
    /// The instance did not wake up in time.
    InstanceUnavailable,
    /// The PicoBase key is wrong, revoked, or for another instance.
    InvalidApiKey,
    /// The session ended; sign in again, or sign out to go on as a guest.
    SessionExpired,
    /// The server failed, or answered with a status that has no kind of its own.
    Server,
    /// The answer is not what it should be: not JSON, cut short, or of another shape.
    Decode,
    /// The session store, or a local file, could not be read or written.
    Storage,
}

impl ErrorKind {
    /// The kind's name, the same in every language.
    ///
    /// ```
    /// assert_eq!(picobase::ErrorKind::NotFound.as_str(), "NotFound");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Configuration => "Configuration",
            ErrorKind::Network => "Network",
            ErrorKind::Timeout => "Timeout",
            ErrorKind::Cancelled => "Cancelled",
            ErrorKind::Validation => "Validation",
            ErrorKind::Unauthorized => "Unauthorized",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::NotFound => "NotFound",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::MfaRequired => "MfaRequired",
            ErrorKind::RateLimited => "RateLimited",
            ErrorKind::InstanceUnavailable => "InstanceUnavailable",
            ErrorKind::InvalidApiKey => "InvalidApiKey",
            ErrorKind::SessionExpired => "SessionExpired",
            ErrorKind::Server => "Server",
            ErrorKind::Decode => "Decode",
            ErrorKind::Storage => "Storage",
        }
    }

    /// The kind of that name, for errors that come back from another language.
    ///
    /// ```
    /// use picobase::ErrorKind;
    /// assert_eq!(ErrorKind::named("NotFound"), Some(ErrorKind::NotFound));
    /// assert_eq!(ErrorKind::named("Nonsense"), None);
    /// ```
    #[cfg(feature = "std")]
    pub fn named(name: &str) -> Option<ErrorKind> {
        use ErrorKind::*;
        let early =
            [Configuration, Network, Timeout, Cancelled, Validation, Unauthorized, Forbidden, NotFound, Conflict];
        let late =
            [MfaRequired, RateLimited, InstanceUnavailable, InvalidApiKey, SessionExpired, Server, Decode, Storage];
        early.into_iter().chain(late).find(|kind| kind.as_str() == name)
    }

    /// Is it the caller's to handle, in the ordinary course of things? All else hints at trouble.
    pub(crate) fn is_expected(self) -> bool {
        use ErrorKind::*;
        matches!(self, NotFound | Validation | Conflict | Unauthorized | Forbidden | MfaRequired | Cancelled)
    }

    /// What to do where the place of the error knows nothing better.
    fn fix(self) -> &'static str {
        match self {
            ErrorKind::Configuration => "Check the URL and the options that the client was made with.",
            ErrorKind::Network => {
                "Check that the server runs, that its URL is right, and that the network is up; then try again."
            }
            ErrorKind::Timeout => "Try again, or give the call more time with `timeout`.",
            ErrorKind::Cancelled => "Nothing: the caller cancelled.",
            ErrorKind::Validation => "Correct the request; `fields` says which values were refused and why.",
            ErrorKind::Unauthorized => "Sign in, or check the credentials.",
            ErrorKind::Forbidden => "Sign in as someone who may do this, or change the collection's API rules.",
            ErrorKind::NotFound => "Check the id and the name; a record that the rules hide is not found either.",
            ErrorKind::Conflict => "Use another value, or update the record that has it already.",
            ErrorKind::MfaRequired => {
                "Sign in in another way as well, with a one-time password for example, and pass this error's MFA id along."
            }
            ErrorKind::RateLimited => "Wait as long as this error says, and send fewer requests.",
            ErrorKind::InstanceUnavailable => {
                "Try again in a moment, or wait longer for cold starts; check the instance in the dashboard."
            }
            ErrorKind::InvalidApiKey => "Copy the instance's API key again from the dashboard.",
            ErrorKind::SessionExpired => "Sign in again, or sign out to go on as a guest.",
            ErrorKind::Server => "Look at the server's logs; try again later.",
            ErrorKind::Decode => {
                "Check that the URL points at a PicoBase or PocketBase server and no proxy changes its answers."
            }
            ErrorKind::Storage => "Check that the file or store exists and that this process may read and write it.",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the server refused one field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldError {
    /// The server's code, `validation_required` for example.
    pub code: String,
    /// The server's sentence about it.
    pub message: String,
    /// The parameters of the message (`{"min": 3}`), where the server gives some.
    pub params: Option<Json>,
}

/// Anything that can go wrong in a call. Cheap to clone.
///
/// ```
/// # async fn demo(client: picobase::Client) {
/// use picobase::{ErrorKind, Record};
/// match client.collection("posts").create(&serde_json::json!({"title": ""})).await {
///     Ok(post) => println!("created {}", post.id()),
///     Err(e) if e.kind() == ErrorKind::Validation => {
///         for (name, field) in e.fields() {
///             println!("{name}: {}", field.message);
///         }
///     }
///     Err(e) => println!("{e}: {}", e.fix()),
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    status: u16,
    code: Option<String>,
    message: String,
    fields: Vec<(String, FieldError)>,
    fix: Option<String>,
    url: Option<String>,
    attempts: u32,
    retry_after: Option<Duration>,
    mfa_id: Option<String>,
    body: Option<String>,
    item: Option<usize>,
    maybe_created: Option<String>,
    unsure: bool,
    #[cfg(feature = "std")]
    source: Option<Source>,
}

/// What an error of one's own came from.
#[cfg(feature = "std")]
type Source = Arc<dyn core::error::Error + Send + Sync>;

impl Error {
    /// An error of a kind, for transports, stores and runtimes of your own.
    ///
    /// ```
    /// use picobase::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Storage, "the keychain is locked").with_fix("Unlock the keychain.");
    /// assert_eq!(error.to_string(), "Storage: the keychain is locked");
    /// assert_eq!(error.fix(), "Unlock the keychain.");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Arc::new(Inner {
            kind,
            // What is not found is that whether the server was asked or not.
            status: if kind == ErrorKind::NotFound { 404 } else { 0 },
            code: None,
            message: message.into(),
            fields: Vec::new(),
            fix: None,
            url: None,
            attempts: 0,
            retry_after: None,
            mfa_id: None,
            body: None,
            item: None,
            maybe_created: None,
            unsure: false,
            #[cfg(feature = "std")]
            source: None,
        }))
    }

    /// The same error with another advice.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Storage, "full").with_fix("Make room.").fix(), "Make room.");
    /// ```
    #[must_use]
    pub fn with_fix(self, fix: impl Into<String>) -> Error {
        self.edit(|inner| inner.fix = Some(fix.into()))
    }

    /// The same error with what it came from, for whoever asks for its `source`.
    ///
    /// ```
    /// use std::{error::Error as _, io};
    /// use picobase::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Storage, "the disk is full").with_source(io::Error::other("ENOSPC"));
    /// assert!(error.source().is_some_and(|source| source.is::<io::Error>()));
    /// ```
    #[cfg(feature = "std")]
    #[must_use]
    pub fn with_source(self, source: impl core::error::Error + Send + Sync + 'static) -> Error {
        self.edit(|inner| inner.source = Some(Arc::new(source)))
    }

    pub(crate) fn configuration(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Configuration, message)
    }

    pub(crate) fn validation(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Validation, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotFound, message)
    }

    /// What is not JSON, or other JSON than it should be; keeps the start of it.
    pub(crate) fn decode(message: &str, body: &str) -> Error {
        Error::new(ErrorKind::Decode, message).edit(|inner| inner.body = Some(excerpt(body)))
    }

    /// The error that an answer's status and body make.
    pub(crate) fn from_answer(status: u16, retry_after: Option<Duration>, body: &str) -> Error {
        let json = Json::parse(body.as_bytes().to_vec()).ok().filter(Json::is_object);
        let said = json.as_ref().map(Said::read).unwrap_or_default();
        let kind = said.kind(status);
        // The id of a first factor comes with a 401 only; elsewhere a member of that name is something else.
        let mfa_id = said.mfa_id.filter(|_| kind == ErrorKind::MfaRequired);
        let message = match said.message {
            Some(message) if !message.is_empty() => message,
            _ => {
                let what = if mfa_id.is_some() { "a second factor is needed:" } else { "the server answered" };
                [what, " HTTP ", &digits(status.into())].concat()
            }
        };
        let error = Error::new(kind, message).edit(|inner| {
            inner.status = said.status.unwrap_or(status);
            inner.code = said.code;
            inner.fields = said.fields;
            inner.mfa_id = mfa_id;
            inner.retry_after = retry_after;
            inner.item = said.item;
            inner.body = match json {
                Some(json) => Some(json.as_text().to_string()),
                None if body.is_empty() => None,
                None => Some(excerpt(body)),
            };
        });
        if kind == ErrorKind::Validation && error.fields().is_empty() {
            return error.with_fix(
                "Do what the message says; where it says nothing, check filter, sort and the names of fields, and look for a \
                 hook that failed in the server's logs.",
            );
        }
        error
    }

    pub(crate) fn with_url(self, url: &str) -> Error {
        self.edit(|inner| inner.url = Some(redact(url)))
    }

    pub(crate) fn with_attempts(self, attempts: u32) -> Error {
        self.edit(|inner| inner.attempts = attempts)
    }

    pub(crate) fn with_status(self, status: u16) -> Error {
        self.edit(|inner| inner.status = status)
    }

    pub(crate) fn with_kind(self, kind: ErrorKind) -> Error {
        self.edit(|inner| inner.kind = kind)
    }

    pub(crate) fn with_retry_after(self, delay: Option<Duration>) -> Error {
        self.edit(|inner| inner.retry_after = delay)
    }

    pub(crate) fn with_item(self, item: usize) -> Error {
        self.edit(|inner| inner.item = Some(item))
    }

    pub(crate) fn with_maybe_created(self, id: &str) -> Error {
        self.edit(|inner| inner.maybe_created = Some(id.to_string()))
    }

    /// A request of the call may have been processed although its answer did not come.
    pub(crate) fn with_unsure(self) -> Error {
        self.edit(|inner| inner.unsure = true)
    }

    pub(crate) fn is_unsure(&self) -> bool {
        self.0.unsure
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Error {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// What went wrong.
    ///
    /// ```
    /// # use picobase::{Client, ErrorKind};
    /// assert_eq!(Client::new("localhost", "").unwrap_err().kind(), ErrorKind::Configuration);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The HTTP status of the answer; 0 where there was none. It is 404 for all that is not found, also where nothing was
    /// asked.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Network, "down").status(), 0);
    /// assert_eq!(Error::new(ErrorKind::NotFound, "no id").status(), 404);
    /// ```
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The gateway's machine-readable code, `invalid_api_key` for example. The server itself gives codes per field.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Network, "down").code(), None);
    /// ```
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What happened, in a sentence: the server's where it gave one.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Network, "down").message(), "down");
    /// ```
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The refused fields by name, in the server's order.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert!(Error::new(ErrorKind::Network, "down").fields().is_empty());
    /// ```
    pub fn fields(&self) -> &[(String, FieldError)] {
        &self.0.fields
    }

    /// The refusal of one field.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert!(Error::new(ErrorKind::Network, "down").field("title").is_none());
    /// ```
    pub fn field(&self, name: &str) -> Option<&FieldError> {
        self.0.fields.iter().find(|(key, _)| key == name).map(|(_, field)| field)
    }

    /// What to do about it, in a sentence for the developer.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert!(Error::new(ErrorKind::SessionExpired, "over").fix().contains("Sign in again"));
    /// ```
    pub fn fix(&self) -> &str {
        self.0.fix.as_deref().unwrap_or(self.0.kind.fix())
    }

    /// The URL of the call with its secrets taken out.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Network, "down").url(), None);
    /// ```
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// How many requests were sent for the call.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::NotFound, "no id").attempts(), 0);
    /// ```
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// How long the server asked to wait before the next try.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::RateLimited, "slow down").retry_after(), None);
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The id to pass with the second factor, for kind `MfaRequired`.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::MfaRequired, "otp next").mfa_id(), None);
    /// ```
    pub fn mfa_id(&self) -> Option<&str> {
        self.0.mfa_id.as_deref()
    }

    /// The answer's JSON, or the first 200 characters of anything else.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Network, "down").body(), None);
    /// ```
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// Which request of a batch, or which id of several, failed: its index.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Network, "down").item(), None);
    /// ```
    pub fn item(&self) -> Option<usize> {
        self.0.item
    }

    /// The id of a record that may or may not have been created: the answer was lost and could not be asked again.
    ///
    /// ```
    /// # use picobase::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Network, "down").maybe_created(), None);
    /// ```
    pub fn maybe_created(&self) -> Option<&str> {
        self.0.maybe_created.as_deref()
    }
}

/// One line: kind, message, status, URL. Secrets were taken out.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)?;
        for (name, field) in &self.0.fields {
            write!(f, "; {name}: {}", field.message)?;
        }
        match (self.0.status, &self.0.url) {
            // 404 is also what was never asked for.
            (0 | 404, None) => Ok(()),
            (0, Some(url)) => write!(f, " ({url})"),
            (status, None) => write!(f, " (HTTP {status})"),
            (status, Some(url)) => write!(f, " (HTTP {status}, {url})"),
        }
    }
}

/// Leaves the body out: it may hold what a user typed.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("status", &self.0.status)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("fields", &self.0.fields)
            .field("fix", &self.fix())
            .field("url", &self.0.url)
            .field("attempts", &self.0.attempts)
            .field("retry_after", &self.0.retry_after)
            .field("item", &self.0.item)
            .finish_non_exhaustive()
    }
}

impl core::error::Error for Error {
    #[cfg(feature = "std")]
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// What the body of an error says: the server's `{status, message, data}` or the gateway's `{error: {…}}`.
#[derive(Default)]
struct Said {
    message: Option<String>,
    code: Option<String>,
    fields: Vec<(String, FieldError)>,
    mfa_id: Option<String>,
    item: Option<usize>,
    /// The status of the batch request that failed, which says more than the batch's own 400.
    status: Option<u16>,
}

impl Said {
    fn read(json: &Json) -> Said {
        if let Some(gateway) = json.get("error").filter(Json::is_object) {
            return Said {
                message: gateway.get_str("message"),
                code: gateway.get_str("code"),
                fields: gateway.get("details").map(|details| fields(&details)).unwrap_or_default(),
                ..Said::default()
            };
        }
        if let Some(message) = json.get_str("error") {
            return Said { message: json.get_str("message").or(Some(message)), ..Said::default() };
        }
        let data = json.get("data");
        if let Some(requests) = data.as_ref().and_then(|data| data.get("requests"))
            && let Some(said) = Said::of_batch(&requests)
        {
            return said;
        }
        Said {
            message: json.get_str("message"),
            fields: data.map(|data| fields(&data)).unwrap_or_default(),
            mfa_id: json.get_str("mfaId").filter(|id| !id.is_empty()),
            ..Said::default()
        }
    }

    /// `data.requests.<n> = {code, message, response: {status, message, data}}`: the request with the lowest number.
    fn of_batch(requests: &Json) -> Option<Said> {
        let numbered = |(n, failed): (String, Json)| Some((usize::try_from(n.parse::<u64>().ok()?).ok()?, failed));
        let (item, failed) = requests.members().into_iter().filter_map(numbered).min_by_key(|(n, _)| *n)?;
        let Some(response) = failed.get("response").filter(Json::is_object) else {
            return Some(Said { message: failed.get_str("message"), item: Some(item), ..Said::default() });
        };
        let status = response.get("status").and_then(|s| s.as_i64()).and_then(|s| u16::try_from(s).ok());
        Some(Said { item: Some(item), status, ..Said::read(&response) })
    }

    fn kind(&self, status: u16) -> ErrorKind {
        let key_code = self.code.as_deref() == Some("invalid_api_key");
        match self.status.unwrap_or(status) {
            401 | 403 if key_code => ErrorKind::InvalidApiKey,
            401 if self.mfa_id.is_some() => ErrorKind::MfaRequired,
            400 if self.fields.iter().any(|(_, field)| field.code == "validation_not_unique") => ErrorKind::Conflict,
            400 | 413 | 422 => ErrorKind::Validation,
            401 => ErrorKind::Unauthorized,
            403 => ErrorKind::Forbidden,
            404 => ErrorKind::NotFound,
            409 => ErrorKind::Conflict,
            429 => ErrorKind::RateLimited,
            503 => ErrorKind::InstanceUnavailable,
            _ => ErrorKind::Server,
        }
    }
}

/// `{name: {code, message, params?}}`, or `{name: message}`; nested names are joined with dots.
fn fields(data: &Json) -> Vec<(String, FieldError)> {
    let mut out = Vec::new();
    push_fields(&mut out, "", data);
    out
}

fn push_fields(out: &mut Vec<(String, FieldError)>, prefix: &str, data: &Json) {
    for (name, value) in data.members() {
        let name = if prefix.is_empty() { name } else { [prefix, ".", &name].concat() };
        if let Some(message) = value.as_str() {
            out.push((name, FieldError { code: String::new(), message, params: None }));
            continue;
        }
        match (value.get_str("code"), value.get_str("message")) {
            (None, None) => push_fields(out, &name, &value),
            (code, message) => {
                let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
                let params = value.get("params").filter(|params| !params.is_null());
                out.push((name, FieldError { code, message, params }));
            }
        }
    }
}

/// The first characters of a body, on one line.
fn excerpt(body: &str) -> String {
    body.chars().take(EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
