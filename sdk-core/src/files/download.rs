//! Downloads that survive a broken connection.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    sync::Arc,
};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use super::Progress;
use crate::{
    call::{Call, Limit, Payload, execute},
    client::Client,
    error::{Error, ErrorKind},
    retry::backoff,
    runtime::{BoxFuture, Listener, MaybeSend, MaybeSync, random_fraction, within},
    sync::{Step, Unfold, unfold},
    transport::{Response, TransportError},
    url::{QueryValue, digits},
};

/// A download that is set up. See [`Files::download`](super::Files::download).
#[must_use = "nothing is sent before `bytes`, `to_path` or `stream`"]
pub struct Download {
    client: Client,
    call: Call,
    protected: bool,
    progress: Option<Listener<Progress>>,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("endpoint", &self.call.endpoint.name).finish_non_exhaustive()
    }
}

impl Download {
    pub(crate) fn new(client: &Client, mut call: Call) -> Download {
        call.streamed = true;
        Download { client: client.clone(), call, protected: false, progress: None }
    }

    /// A smaller picture, see [`FileUrl::thumb`](super::FileUrl::thumb).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let small = client.files().download(&post, "cover.png").thumb("100x100").bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn thumb(self, size: &str) -> Self {
        self.query("thumb", Some(size).filter(|size| !size.is_empty()))
    }

    /// For a protected file: adds a fresh file token.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let bytes = client.files().download(&post, "secret.pdf").protected().bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn protected(mut self) -> Self {
        self.protected = true;
        self
    }

    /// For a protected file: a file token that came from elsewhere.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record, token: &str) -> Result<(), picobase::Error> {
    /// let bytes = client.files().download(&post, "secret.pdf").token(token).bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token(self, token: &str) -> Self {
        self.query("token", token)
    }

    /// Any other query parameter.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let bytes = client.files().download(&post, "a.txt").query("v", 2).bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn query(mut self, name: &str, value: impl Into<QueryValue>) -> Self {
        self.call.query.set(name, value);
        self
    }

    /// A header field of the request.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let bytes = client.files().download(&post, "a.txt").header("X-Trace", "42").bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.call.headers.set(name, value);
        self
    }

    /// How long the whole download may take. Default: as long as it makes progress.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// use std::time::Duration;
    /// let bytes = client.files().download(&post, "a.txt").timeout(Duration::from_secs(10)).bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.limit = Limit::After(timeout);
        self
    }

    /// Calls `listener` as the file comes in.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// client
    ///     .files()
    ///     .download(&post, "film.mp4")
    ///     .on_progress(|p| println!("{} of {:?}", p.done, p.total))
    ///     .to_path("film.mp4")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_progress(mut self, listener: impl Fn(&Progress) + MaybeSend + MaybeSync + 'static) -> Self {
        self.progress = Some(Arc::new(listener));
        self
    }

    /// Begins the download: answers when its first bytes can be read.
    ///
    /// # Errors
    /// Kind `NotFound` where there is no such file, or it is protected and the token is missing or not good for it.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// use futures_util::TryStreamExt;
    /// let mut pieces = client.files().download(&post, "film.mp4").stream().await?;
    /// println!("{:?} bytes", pieces.size());
    /// while let Some(piece) = pieces.try_next().await? {
    ///     println!("{}", piece.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stream(self) -> Result<DownloadStream, Error> {
        let started = self.client.shared.runtime.uptime();
        let timeout = match self.call.limit {
            Limit::After(timeout) => Some(timeout),
            Limit::Never => None,
            Limit::Default => self.client.shared.options.timeout,
        };
        let mut transfer = Transfer {
            whole: self.call.headers.get("Range").is_none(),
            deadline: timeout.map(|timeout| started.saturating_add(timeout)),
            idle: (self.call.limit != Limit::Never).then_some(self.client.shared.options.transfer_idle_timeout),
            client: self.client,
            call: self.call,
            protected: self.protected,
            progress: self.progress,
            response: None,
            url: String::new(),
            validator: None,
            offset: 0,
            total: None,
            failures: 0,
        };
        transfer.open().await?;
        let size = transfer.total;
        Ok(DownloadStream { size, pieces: unfold(transfer, next_piece) })
    }

    /// Takes these options.
    ///
    /// ```
    /// # fn demo(client: picobase::Client, post: picobase::Record, options: picobase::action::CallOptions) {
    /// let call = client.files().download(&post, "cover.png").options(options);
    /// # let _ = call; }
    /// ```
    pub fn options(mut self, options: crate::action::CallOptions) -> Self {
        options.apply(&mut self.call.query, &mut self.call.headers, &mut self.call.limit);
        self
    }

    /// Asks for the file, and answers the response whose body the host reads itself.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    #[cfg(not(feature = "std"))]
    pub async fn response(mut self) -> Result<Response, Error> {
        if self.protected && self.call.query.get("token").is_none() {
            let token = self.client.files().get_token().await?;
            self.call.query.set("token", token);
        }
        match execute(&self.client, self.call).await?.payload {
            Payload::Stream(response) => Ok(response),
            _ => Err(Error::decode("the answer is no file", "")),
        }
    }

    /// The whole file in memory.
    ///
    /// # Errors
    /// As [`stream`](Self::stream), and what breaks it on the way.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let bytes = client.files().download(&post, "cover.png").bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let mut stream = self.stream().await?;
        let expected = stream.size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        let mut all = BytesMut::with_capacity(expected.min(64 * 1024 * 1024));
        while let Some(piece) = stream.next_piece().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// Downloads into a file, in constant memory; answers its size in bytes. The file appears when it is complete:
    /// until then the bytes go into a temporary file beside it.
    ///
    /// # Errors
    /// As [`stream`](Self::stream); kind `Storage` where the file cannot be written.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let size = client.files().download(&post, "film.mp4").to_path("film.mp4").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "std")]
    pub async fn to_path(self, path: impl Into<std::path::PathBuf>) -> Result<u64, Error> {
        let path = path.into();
        let runtime = self.client.shared.runtime.clone();
        let mut stream = self.stream().await?;
        let mut target = PartFile::create(&path, random_fraction(&*runtime))?;
        let mut size = 0u64;
        while let Some(piece) = stream.next_piece().await? {
            target.write(&piece)?;
            size = size.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        }
        target.finish()?;
        Ok(size)
    }
}

/// A file that is being written beside its final name; removed again if it is not finished.
#[cfg(feature = "std")]
struct PartFile<'a> {
    path: &'a std::path::Path,
    part: std::path::PathBuf,
    file: std::fs::File,
    finished: bool,
}

#[cfg(feature = "std")]
impl<'a> PartFile<'a> {
    fn create(path: &'a std::path::Path, salt: u32) -> Result<PartFile<'a>, Error> {
        if path.is_dir() {
            return Err(Error::new(
                ErrorKind::Storage,
                alloc::format!("cannot write {}: it is a folder", path.display()),
            ));
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(alloc::format!(".{}-{salt:08x}.part", std::process::id()));
        let part = path.with_file_name(name);
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&part);
        let file = file.map_err(|e| cannot_write(&part, &e))?;
        Ok(PartFile { path, part, file, finished: false })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        std::io::Write::write_all(&mut self.file, piece).map_err(|e| cannot_write(&self.part, &e))
    }

    fn finish(mut self) -> Result<(), Error> {
        std::fs::rename(&self.part, self.path).map_err(|e| cannot_write(self.path, &e))?;
        self.finished = true;
        Ok(())
    }
}

#[cfg(feature = "std")]
impl Drop for PartFile<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: there is nobody left to tell.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

#[cfg(feature = "std")]
fn cannot_write(path: &std::path::Path, e: &std::io::Error) -> Error {
    Error::new(ErrorKind::Storage, alloc::format!("cannot write {}: {e}", path.display()))
}

/// The pieces of a download as they come. An error ends the stream. See [`Download::stream`].
pub struct DownloadStream {
    size: Option<u64>,
    pieces: Unfold<Transfer, Result<Bytes, Error>>,
}

impl fmt::Debug for DownloadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadStream").field("size", &self.size).finish_non_exhaustive()
    }
}

impl DownloadStream {
    /// The size of the whole file in bytes, where the server said it.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let size = client.files().download(&post, "film.mp4").stream().await?.size();
    /// # Ok(())
    /// # }
    /// ```
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        core::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }
}

impl Stream for DownloadStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.pieces).poll_next(cx)
    }
}

/// A download under way.
struct Transfer {
    client: Client,
    call: Call,
    protected: bool,
    progress: Option<Listener<Progress>>,
    response: Option<Response>,
    /// The URL, for errors.
    url: String,
    /// The ETag or date of the file: a broken download only goes on with the same one.
    validator: Option<String>,
    /// Is it the whole file? A part that the caller asked for by a Range of their own cannot be resumed by ours.
    whole: bool,
    offset: u64,
    total: Option<u64>,
    failures: u32,
    deadline: Option<Duration>,
    idle: Option<Duration>,
}

fn next_piece(mut transfer: Transfer) -> Step<Transfer, Result<Bytes, Error>> {
    Box::pin(async move {
        match transfer.next().await {
            Ok(Some(piece)) => (Some(Ok(piece)), Some(transfer)),
            Ok(None) => (None, None),
            Err(error) => (Some(Err(error)), None),
        }
    })
}

impl Transfer {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let (left, limit) = (self.left(), self.limit());
            let Some(response) = &mut self.response else {
                self.reopen().await?;
                continue;
            };
            let runtime = self.client.shared.runtime.clone();
            let failure = match within(&*runtime, limit, response.body.chunk()).await {
                Some(Ok(Some(piece))) => return self.count(piece).map(Some),
                Some(Ok(None)) if self.total.is_none() => return Ok(None),
                // All bytes are there, whatever became of the connection.
                Some(Ok(None) | Err(_)) | None if self.total == Some(self.offset) => return Ok(None),
                Some(Ok(None)) => Error::new(ErrorKind::Network, "the download ended before its end"),
                Some(Err(error)) => Error::from(error),
                None if left.is_some_and(|left| limit == Some(left)) => return Err(self.out_of_time()),
                None => Error::new(ErrorKind::Timeout, "the download made no progress"),
            };
            self.wait_to_resume(failure).await?;
        }
    }

    /// Goes on after a break. A connection that says nothing is one more of them.
    async fn reopen(&mut self) -> Result<(), Error> {
        match self.open().await {
            Err(error) if error.kind() == ErrorKind::Timeout && self.left().is_none_or(|left| !left.is_zero()) => {
                self.wait_to_resume(error).await
            }
            opened => opened,
        }
    }

    /// The deadline has passed.
    fn out_of_time(&self) -> Error {
        let error = Error::new(ErrorKind::Timeout, "the deadline of the download passed");
        error.with_url(&self.url).with_attempts(self.failures.saturating_add(1))
    }

    /// What is left of the deadline.
    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(self.client.shared.runtime.uptime()))
    }

    /// How long the next piece may take.
    fn limit(&self) -> Option<Duration> {
        self.left().into_iter().chain(self.idle).min()
    }

    fn count(&mut self, piece: Bytes) -> Result<Bytes, Error> {
        self.failures = 0;
        self.offset = self.offset.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.total.is_some_and(|total| self.offset > total) {
            return Err(Error::decode("the file is longer than the server said", "").with_url(&self.url));
        }
        if let Some(listener) = &self.progress {
            listener(&Progress { done: self.offset, total: self.total });
        }
        Ok(piece)
    }

    /// Lets go of a broken connection, and waits before the next; fails where there were too many in a row.
    async fn wait_to_resume(&mut self, failure: Error) -> Result<(), Error> {
        self.response = None;
        let failure = failure.with_url(&self.url);
        if !self.whole || self.failures >= self.client.shared.options.max_retries {
            return Err(failure.with_attempts(self.failures.saturating_add(1)));
        }
        let wait = backoff(self.failures, random_fraction(&*self.client.shared.runtime));
        self.failures += 1;
        if self.left().is_some_and(|left| left <= wait) {
            return Err(failure.with_attempts(self.failures));
        }
        tracing::debug!(offset = self.offset, "the download broke off and is resumed");
        self.client.shared.runtime.sleep(wait).await;
        Ok(())
    }

    /// Asks for the file from where it broke off.
    async fn open(&mut self) -> Result<(), Error> {
        let mut call = self.call.clone();
        if self.protected && call.query.get("token").is_none() {
            let asking = self.client.files();
            let token = within(&*self.client.shared.runtime, self.left(), asking.get_token()).await;
            call.query.set("token", token.unwrap_or_else(|| Err(self.out_of_time()))?);
        }
        if let Some(left) = self.left() {
            call.limit = Limit::After(left);
        }
        if self.offset > 0 {
            call.headers.set("Range", ["bytes=", &digits(self.offset), "-"].concat());
            if let Some(validator) = &self.validator {
                call.headers.set("If-Range", validator.clone());
            }
        }
        let answer = match execute(&self.client, call).await {
            // The file is shorter now than what we have of it.
            Err(error) if error.status() == 416 && self.offset > 0 => return Err(self.changed()),
            answer => answer?,
        };
        self.url = answer.url().to_string();
        let Payload::Stream(response) = answer.payload else {
            return Err(Error::decode("the answer is no file", ""));
        };
        match (self.offset, response.status) {
            (0, _) => self.begin(response),
            (_, 206) => self.go_on(response),
            _ => self.skip_ahead(response).await,
        }
    }

    fn changed(&self) -> Error {
        let error = Error::decode("the file changed while it was downloaded", "").with_url(&self.url);
        error.with_fix("Download it again from its start.")
    }

    fn begin(&mut self, response: Response) -> Result<(), Error> {
        self.total = length(&response);
        self.validator = validator(&response);
        self.response = Some(response);
        Ok(())
    }

    /// The server goes on where we asked it to; if it says so.
    fn go_on(&mut self, response: Response) -> Result<(), Error> {
        let range = response.headers.get("Content-Range").and_then(content_range);
        if range.is_some_and(|(start, total)| {
            start != self.offset || (total.is_some() && self.total.is_some() && total != self.total)
        }) {
            return Err(self.changed());
        }
        if self.validator.is_some() && validator(&response).is_some() && validator(&response) != self.validator {
            return Err(self.changed());
        }
        self.total = self.total.or_else(|| range.and_then(|(_, total)| total));
        self.response = Some(response);
        Ok(())
    }

    /// The server sent the file from its start: reads over what we have, if it is the same file.
    async fn skip_ahead(&mut self, mut response: Response) -> Result<(), Error> {
        if validator(&response) != self.validator || length(&response) != self.total {
            return Err(self.changed());
        }
        let mut skipped = 0u64;
        while skipped < self.offset {
            let chunk = within(&*self.client.shared.runtime, self.limit(), response.body.chunk()).await;
            if chunk.is_none() && self.left().is_some_and(|left| left.is_zero()) {
                return Err(self.out_of_time());
            }
            let Some(Ok(Some(piece))) = chunk else {
                // Broke off again: the next attempt begins anew.
                return self.wait_to_resume(Error::new(ErrorKind::Network, "the download broke off again")).await;
            };
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let wanted = self.offset - skipped;
            if length > wanted {
                let rest = piece.slice(usize::try_from(wanted).unwrap_or(piece.len())..);
                response.body = Box::new(Ahead { first: Some(rest), rest: response.body });
            }
            skipped = skipped.saturating_add(length);
        }
        self.response = Some(response);
        Ok(())
    }
}

/// A body with a piece put before it.
struct Ahead {
    first: Option<Bytes>,
    rest: Box<dyn crate::transport::ResponseBody>,
}

impl crate::transport::ResponseBody for Ahead {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        match self.first.take() {
            Some(first) => Box::pin(core::future::ready(Ok(Some(first)))),
            None => self.rest.chunk(),
        }
    }
}

fn length(response: &Response) -> Option<u64> {
    response.headers.get("Content-Length").and_then(|value| value.parse().ok()).or_else(|| response.body.length())
}

fn validator(response: &Response) -> Option<String> {
    let etag = response.headers.get("ETag").filter(|etag| !etag.starts_with("W/"));
    etag.or_else(|| response.headers.get("Last-Modified")).map(ToString::to_string)
}

/// `bytes START-END/TOTAL` (RFC 9110 §14.4).
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}
