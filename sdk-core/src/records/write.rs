//! Creating, changing and deleting records.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::{future::IntoFuture, time::Duration};

use crate::{
    action::call_options,
    auth::{is_own_record, own_record_written},
    call::{Answer, Call, Limit, execute},
    client::Client,
    endpoints,
    error::{Error, ErrorKind},
    files::{FilePart, FileSource, Form, Progress},
    json::{FromJson, Json, ToJson},
    runtime::{BoxFuture, Listener, MaybeSend, MaybeSync},
    url::QueryValue,
};

/// A create or update that is set up; await it. See [`Collection::create`](super::Collection::create).
#[must_use = "nothing is sent before this is awaited"]
pub struct Write<T> {
    client: Client,
    call: Call,
    body: Json,
    files: Vec<FilePart>,
    progress: Option<Listener<Progress>>,
    safe_retry: bool,
    types: core::marker::PhantomData<fn() -> T>,
}

call_options!(Write<T>, T);

impl<T> core::fmt::Debug for Write<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Write").field("endpoint", &self.call.endpoint.name).finish_non_exhaustive()
    }
}

impl<T: FromJson> Write<T> {
    pub(super) fn new(client: &Client, mut call: Call, body: &(impl ToJson + ?Sized)) -> Self {
        let body = match body.to_json() {
            Ok(body) if body.is_object() => body,
            Ok(body) if body.is_null() => empty(),
            Ok(_) => {
                call.mistake = Some(
                    Error::validation("the body of a record is not a JSON object")
                        .with_fix("Pass names with their values."),
                );
                empty()
            }
            Err(mistake) => {
                call.mistake = Some(mistake);
                empty()
            }
        };
        Write {
            client: client.clone(),
            call,
            body,
            files: Vec::new(),
            progress: None,
            safe_retry: false,
            types: core::marker::PhantomData,
        }
    }

    /// Puts a file into a field. Call it again for several files; `field+` adds to those that are there.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::files::FileSource;
    /// client
    ///     .collection("posts")
    ///     .update("abc", &serde_json::json!({}))
    ///     .file("attachments+", FileSource::bytes("notes.txt", "hello"))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn file(mut self, field: &str, source: FileSource) -> Self {
        self.files.push(FilePart { field: field.into(), source });
        self
    }

    /// Calls `listener` as the files go out.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::files::FileSource;
    /// client
    ///     .collection("posts")
    ///     .create(&serde_json::json!({"title": "film"}))
    ///     .file("attachments", FileSource::path("film.mp4"))
    ///     .on_progress(|p| println!("{} of {:?} bytes", p.done, p.total))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_progress(mut self, listener: impl Fn(&Progress) + MaybeSend + MaybeSync + 'static) -> Self {
        self.progress = Some(Arc::new(listener));
        self
    }

    /// Makes a create that can be repeated after a lost answer without making a second record: the client chooses the
    /// id. Where the answer stays lost and the record cannot be read back, the error's
    /// [`maybe_created`](Error::maybe_created) has that id. An update is simply repeated: do not use it with `field+`.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let order = client.collection("orders").create(&serde_json::json!({"item": 7})).safe_retry().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn safe_retry(mut self) -> Self {
        self.safe_retry = true;
        self
    }

    async fn run(mut self) -> Result<T, Error> {
        if let Some(mistake) = self.call.mistake.take() {
            return Err(mistake);
        }
        let mut chosen = None;
        if self.safe_retry {
            self.call.safe = true;
            if self.call.endpoint.number == endpoints::RECORDS_CREATE.number {
                chosen = Some(self.choose_id()?);
            }
        }
        let own = self.call.endpoint.number == endpoints::RECORDS_UPDATE.number
            && is_own_record(&self.client, self.call.param("c"), self.call.param("id"));
        let body = self.body.clone();
        self.call.body = Form::body(self.body, self.files, self.progress);
        let (call, started) = (self.call.clone(), self.client.shared.runtime.uptime());
        let answer = match (execute(&self.client, self.call).await, chosen) {
            (Ok(answer), _) => answer,
            // A browser may have sent it twice, and told us of the second time only: an id that was made for this record
            // can be taken by nothing else.
            (Err(error), Some((id, made))) if error.is_unsure() || (made && error.field("id").is_some()) => {
                find_created(&self.client, &call, &id, started, error).await?
            }
            (Err(error), _) => return Err(error),
        };
        if own {
            own_record_written(&self.client, &body, &answer.required()?).await?;
        }
        answer.decode()
    }

    /// The id in the body, or a new one put there; and whether it is a new one.
    fn choose_id(&mut self) -> Result<(String, bool), Error> {
        if let Some(id) = self.body.get_str("id").filter(|id| !id.is_empty()) {
            return Ok((id, false));
        }
        let id = random_id(&self.client)?;
        self.body = self.body.with("id", Json::string(&id));
        Ok((id, true))
    }
}

impl<T: FromJson> IntoFuture for Write<T> {
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn empty() -> Json {
    Json::object::<&str>([])
}

/// 15 characters of a–z and 0–9, as the server makes them.
pub(crate) fn random_id(client: &Client) -> Result<String, Error> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut out = String::with_capacity(15);
    while out.len() < 15 {
        let mut bytes = [0; 24];
        client.shared.runtime.random(&mut bytes)?;
        // 252 is the largest multiple of 36 in a byte: the rest would make some characters more likely.
        for byte in bytes.into_iter().filter(|byte| *byte < 252) {
            if let Some(c) = ALPHABET.get(usize::from(byte % 36))
                && out.len() < 15
            {
                out.push(char::from(*c));
            }
        }
    }
    Ok(out)
}

/// A create whose id we chose failed. Where an earlier attempt of it may have been processed, the record may be there
/// all the same: if something of it is taken already, reads it back.
async fn find_created(
    client: &Client,
    call: &Call,
    id: &str,
    started: Duration,
    error: Error,
) -> Result<Answer, Error> {
    let answered = error.status() == 400;
    // The server tells of one value that is taken: the id, or another that must be unique and that we sent with it.
    let taken = answered && (error.kind() == ErrorKind::Conflict || error.field("id").is_some());
    if !taken {
        // What was refused the last time was refused before.
        return Err(if answered { error } else { error.with_maybe_created(id) });
    }
    let read = execute(client, read_back(client, call, id, started)).await;
    read.map_err(|_| if error.is_unsure() { error.with_maybe_created(id) } else { error })
}

/// Reads a record as it was created: with the same parameters, headers and deadline.
fn read_back(client: &Client, call: &Call, id: &str, started: Duration) -> Call {
    let mut read = Call::new(&endpoints::RECORDS_ONE, &[("c", call.param("c")), ("id", id)]);
    let limit = match call.limit {
        Limit::After(limit) => Some(limit),
        Limit::Default => client.shared.options.timeout,
        Limit::Never => None,
    };
    let spent = client.shared.runtime.uptime().saturating_sub(started);
    read.limit = limit.map_or(call.limit, |limit| Limit::After(limit.saturating_sub(spent)));
    for name in ["expand", "fields"] {
        read.query.set(name, call.query.get(name));
    }
    for (name, value) in call.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Content-Type")) {
        read.headers.set(name, value);
    }
    read
}

/// Makes a delete call; deleting one's own record signs out.
pub(crate) fn delete(client: Client, call: Call) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        let own = is_own_record(&client, call.param("c"), call.param("id"));
        execute(&client, call).await?.nothing()?;
        if own {
            client.session.sign_out(&client).await?;
        }
        Ok(())
    })
}
