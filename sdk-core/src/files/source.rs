//! Where the bytes of an upload come from.

#[cfg(feature = "std")]
use alloc::boxed::Box;
#[cfg(not(feature = "std"))]
use alloc::rc::Rc;
use alloc::{
    string::{String, ToString},
    sync::Arc,
};
use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
#[cfg(feature = "std")]
use futures_core::Stream;

#[cfg(not(feature = "std"))]
use crate::json::HostValue;
#[cfg(feature = "std")]
use crate::runtime::{MaybeSend, MaybeSync};
use crate::{
    runtime::{BoxStream, Lock},
    transport::{Failure, TransportError},
};

/// How many bytes are handed to the transport at a time.
const PIECE: usize = 64 * 1024;

/// A file to upload: its name, its type, and where its bytes come from.
///
/// ```
/// use picobase::files::FileSource;
/// let from_memory = FileSource::bytes("hello.txt", "hello");
/// let from_disk = FileSource::path("/tmp/cover.png").content_type("image/png");
/// ```
#[derive(Clone)]
pub struct FileSource {
    pub(crate) source: Source,
    pub(crate) filename: String,
    pub(crate) content_type: Option<String>,
}

impl FileSource {
    /// A file in memory. It can be sent again after a failure.
    ///
    /// ```
    /// let file = picobase::files::FileSource::bytes("data.bin", vec![1, 2, 3]);
    /// ```
    pub fn bytes(filename: &str, data: impl Into<Bytes>) -> Self {
        FileSource::new(filename, Source::bytes(data))
    }

    /// A file on disk, read in pieces as it is sent. It can be sent again after a failure.
    ///
    /// ```
    /// let file = picobase::files::FileSource::path("/tmp/film.mp4");
    /// ```
    #[cfg(feature = "std")]
    pub fn path(path: impl Into<std::path::PathBuf>) -> Self {
        let path = path.into();
        let filename = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        FileSource::new(&filename, Source::path(path))
    }

    /// A stream, with its length if it is known. It can be sent once: after its first byte was taken, a failure is
    /// final.
    ///
    /// ```
    /// use bytes::Bytes;
    /// let parts = futures_util::stream::iter([Ok(Bytes::from("hel")), Ok(Bytes::from("lo"))]);
    /// let file = picobase::files::FileSource::stream("hello.txt", Some(5), parts);
    /// ```
    #[cfg(feature = "std")]
    pub fn stream(
        filename: &str,
        length: Option<u64>,
        stream: impl Stream<Item = std::io::Result<Bytes>> + MaybeSend + 'static,
    ) -> Self {
        FileSource::new(filename, Source::stream(length, stream))
    }

    /// A stream that can be opened once more, with its length if it is known. `open` is called for each sending, so it
    /// can be sent again after a failure.
    ///
    /// ```
    /// use bytes::Bytes;
    /// let parts = || futures_util::stream::iter([Ok(Bytes::from("hel")), Ok(Bytes::from("lo"))]);
    /// let file = picobase::files::FileSource::reopened("hello.txt", Some(5), parts);
    /// ```
    #[cfg(feature = "std")]
    pub fn reopened<S>(
        filename: &str,
        length: Option<u64>,
        open: impl Fn() -> S + MaybeSend + MaybeSync + 'static,
    ) -> Self
    where
        S: Stream<Item = std::io::Result<Bytes>> + MaybeSend + 'static,
    {
        FileSource::new(filename, Source::reopened(length, open))
    }

    /// A file of the host, which reads and sends it itself.
    #[cfg(not(feature = "std"))]
    pub fn host(filename: &str, source: Source) -> Self {
        FileSource::new(filename, source)
    }

    fn new(filename: &str, source: Source) -> Self {
        FileSource { source, filename: filename.to_string(), content_type: None }
    }

    /// The media type. Default: by the name's ending.
    ///
    /// ```
    /// let file = picobase::files::FileSource::bytes("data", "{}").content_type("application/json");
    /// ```
    #[must_use]
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.content_type = Some(content_type.to_string());
        self
    }

    /// Another name than the source's.
    ///
    /// ```
    /// let file = picobase::files::FileSource::path("/tmp/upload-17").filename("report.pdf");
    /// ```
    #[must_use]
    pub fn filename(mut self, filename: &str) -> Self {
        self.filename = filename.to_string();
        self
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource").field("filename", &self.filename).finish_non_exhaustive()
    }
}

/// Bytes to send: from memory, from a file, or from a stream. Clones share a stream.
#[derive(Clone)]
pub struct Source {
    kind: Kind,
    length: Option<u64>,
    taken: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Kind {
    Bytes(Bytes),
    #[cfg(feature = "std")]
    Path(Arc<std::path::PathBuf>),
    /// A value of the host, and whether it can be read more than once.
    #[cfg(not(feature = "std"))]
    Host(Rc<dyn HostValue>, bool),
    #[cfg(feature = "std")]
    Reopened(Arc<dyn Open>),
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "on the web streams are values of the host"))]
    Stream(Arc<Lock<Option<Pieces>>>),
}

type Pieces = BoxStream<'static, Result<Bytes, TransportError>>;

/// What opens a stream.
#[cfg(feature = "std")]
trait Open: Fn() -> Pieces + MaybeSend + MaybeSync {}
#[cfg(feature = "std")]
impl<F: Fn() -> Pieces + MaybeSend + MaybeSync> Open for F {}

impl Source {
    /// Bytes in memory.
    ///
    /// ```
    /// let source = picobase::files::Source::bytes("hello");
    /// assert_eq!(source.length(), Some(5));
    /// ```
    pub fn bytes(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        let length = u64::try_from(data.len()).ok();
        Source::new(Kind::Bytes(data), length)
    }

    /// A file on disk.
    ///
    /// ```
    /// let source = picobase::files::Source::path("/tmp/film.mp4");
    /// ```
    #[cfg(feature = "std")]
    pub fn path(path: impl Into<std::path::PathBuf>) -> Self {
        Source::new(Kind::Path(Arc::new(path.into())), None)
    }

    /// A stream that can be read once.
    ///
    /// ```
    /// let parts = futures_util::stream::iter([Ok(bytes::Bytes::from("hello"))]);
    /// let source = picobase::files::Source::stream(None, parts);
    /// ```
    #[cfg(feature = "std")]
    pub fn stream(
        length: Option<u64>,
        stream: impl Stream<Item = std::io::Result<Bytes>> + MaybeSend + 'static,
    ) -> Self {
        let pieces = Failing { inner: Box::pin(stream) };
        Source::new(Kind::Stream(Arc::new(Lock::new(Some(Box::pin(pieces))))), length)
    }

    /// A stream that can be read again: `open` begins it anew.
    ///
    /// ```
    /// let parts = || futures_util::stream::iter([Ok(bytes::Bytes::from("hello"))]);
    /// let source = picobase::files::Source::reopened(Some(5), parts);
    /// ```
    #[cfg(feature = "std")]
    pub fn reopened<S>(length: Option<u64>, open: impl Fn() -> S + MaybeSend + MaybeSync + 'static) -> Self
    where
        S: Stream<Item = std::io::Result<Bytes>> + MaybeSend + 'static,
    {
        let open = move || -> Pieces { Box::pin(Failing { inner: Box::pin(open()) }) };
        Source::new(Kind::Reopened(Arc::new(open)), length)
    }

    /// A value of the host, which reads and sends it itself. `replayable`: it can be sent more than once.
    #[cfg(not(feature = "std"))]
    pub fn host(value: Rc<dyn HostValue>, length: Option<u64>, replayable: bool) -> Self {
        Source::new(Kind::Host(value, replayable), length)
    }

    /// What the host knows it by; none for other sources.
    #[cfg(not(feature = "std"))]
    pub fn handle(&self) -> Option<u32> {
        match &self.kind {
            Kind::Host(value, _) => Some(value.handle()),
            _ => None,
        }
    }

    /// The host has sent so many bytes of it.
    #[cfg(not(feature = "std"))]
    pub fn note_taken(&self, bytes: u64) {
        self.taken.store(bytes, Ordering::Relaxed);
    }

    fn new(kind: Kind, length: Option<u64>) -> Self {
        Source { kind, length, taken: Arc::new(AtomicU64::new(0)) }
    }

    /// How many bytes it has, if that is known. A file on disk has those that it has now.
    ///
    /// ```
    /// assert_eq!(picobase::files::Source::bytes("").length(), Some(0));
    /// ```
    pub fn length(&self) -> Option<u64> {
        match &self.kind {
            #[cfg(feature = "std")]
            Kind::Path(path) => std::fs::metadata(&**path).ok().filter(std::fs::Metadata::is_file).map(|m| m.len()),
            _ => self.length,
        }
    }

    /// Can it be read at all? Asked before anything is sent: a file that is missing is no fault of the connection.
    pub(crate) fn check(&self) -> Result<(), TransportError> {
        match &self.kind {
            #[cfg(feature = "std")]
            Kind::Path(path) => open_file(path).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Can it be sent from its start (once more)? A stream can, until a byte was taken.
    pub(crate) fn replayable(&self) -> bool {
        match &self.kind {
            Kind::Stream(stream) => stream.with(|slot| slot.is_some()),
            #[cfg(not(feature = "std"))]
            Kind::Host(_, replayable) => *replayable || self.taken() == 0,
            _ => true,
        }
    }

    /// Can it be sent any number of times?
    pub(crate) fn repeatable(&self) -> bool {
        match &self.kind {
            Kind::Stream(_) => false,
            #[cfg(not(feature = "std"))]
            Kind::Host(_, replayable) => *replayable,
            _ => true,
        }
    }

    /// How many bytes the transport has taken so far, over all attempts.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Opens it for one sending. It must have that many bytes, if the server was told a length.
    pub(crate) fn open(&self, length: Option<u64>) -> Result<Reader, TransportError> {
        let from = match &self.kind {
            Kind::Bytes(data) => From::Bytes(data.clone()),
            #[cfg(feature = "std")]
            Kind::Path(path) => From::File(open_file(path)?, path.clone()),
            #[cfg(not(feature = "std"))]
            Kind::Host(..) => return Err(TransportError::new(Failure::Source, "only the host can read this")),
            #[cfg(feature = "std")]
            Kind::Reopened(open) => From::Stream(open()),
            Kind::Stream(stream) => match stream.with(Option::take) {
                Some(pieces) => From::Stream(pieces),
                None => {
                    return Err(TransportError::new(
                        Failure::Source,
                        "the stream was read before and cannot be read again",
                    ));
                }
            },
        };
        Ok(Reader { from, length, read: 0, taken: self.taken.clone() })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(feature = "std")]
fn open_file(path: &std::path::Path) -> Result<std::fs::File, TransportError> {
    // Looked at before it is opened: opening a pipe waits for somebody to write to it.
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => std::fs::File::open(path).map_err(|e| unreadable(path, &e)),
        Ok(_) => Err(unreadable(path, &"it is not a file")),
        Err(e) => Err(unreadable(path, &e)),
    }
}

#[cfg(feature = "std")]
fn unreadable(path: &std::path::Path, why: &dyn fmt::Display) -> TransportError {
    TransportError::new(Failure::Source, alloc::format!("cannot read {}: {why}", path.display()))
}

/// One reading of a [`Source`].
pub(crate) struct Reader {
    from: From,
    /// How many bytes there must be, where that was said.
    length: Option<u64>,
    read: u64,
    taken: Arc<AtomicU64>,
}

enum From {
    Bytes(Bytes),
    #[cfg(feature = "std")]
    File(std::fs::File, Arc<std::path::PathBuf>),
    Stream(Pieces),
}

impl Reader {
    /// The next piece; none at the end. Files are read in place: a piece is small, and another thread costs more.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, TransportError>>> {
        let piece = match &mut self.from {
            From::Bytes(rest) if rest.is_empty() => None,
            From::Bytes(rest) => Some(Ok(rest.split_to(rest.len().min(PIECE)))),
            #[cfg(feature = "std")]
            From::File(file, path) => read_piece(file, path),
            From::Stream(pieces) => match pieces.as_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => piece,
            },
        };
        Poll::Ready(match piece {
            Some(Ok(piece)) => Some(self.count(piece)),
            None => self.wrong_length(|read, length| read < length).map(Err),
            failed => failed,
        })
    }

    fn count(&mut self, piece: Bytes) -> Result<Bytes, TransportError> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.read = self.read.saturating_add(length);
        self.taken.fetch_add(length, Ordering::Relaxed);
        self.wrong_length(|read, length| read > length).map_or(Ok(piece), Err)
    }

    /// Another length than the one said. HTTP libraries would cut what is too long, and blame the connection for what
    /// is too short.
    fn wrong_length(&self, is_wrong: impl Fn(u64, u64) -> bool) -> Option<TransportError> {
        let length = self.length.filter(|length| is_wrong(self.read, *length))?;
        let than = if self.read > length { "more bytes than" } else { "fewer bytes than" };
        let what = match &self.from {
            From::Bytes(_) => "the data has".to_string(),
            #[cfg(feature = "std")]
            From::File(_, path) => alloc::format!("{} changed while it was sent: it has", path.display()),
            From::Stream(_) => "the stream has".to_string(),
        };
        Some(TransportError::new(
            Failure::Source,
            [&what, " ", than, " the ", &crate::url::digits(length), " that were said"].concat(),
        ))
    }
}

#[cfg(feature = "std")]
fn read_piece(file: &mut std::fs::File, path: &std::path::Path) -> Option<Result<Bytes, TransportError>> {
    use std::io::Read;
    let mut piece = alloc::vec![0; PIECE];
    match file.read(&mut piece) {
        Ok(0) => None,
        Ok(n) => {
            piece.truncate(n);
            Some(Ok(Bytes::from(piece)))
        }
        Err(e) => Some(Err(unreadable(path, &e))),
    }
}

/// A user's stream with its errors told as ours.
#[cfg(feature = "std")]
struct Failing<S> {
    inner: core::pin::Pin<Box<S>>,
}

#[cfg(feature = "std")]
impl<S: Stream<Item = std::io::Result<Bytes>>> Stream for Failing<S> {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: core::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let failed = |e: std::io::Error| TransportError::new(Failure::Source, alloc::format!("the stream failed: {e}"));
        self.inner.as_mut().poll_next(cx).map(|piece| piece.map(|piece| piece.map_err(failed)))
    }
}
