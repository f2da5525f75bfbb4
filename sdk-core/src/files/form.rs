//! Forms of files (RFC 7578).
//!
//! The server reads plain form parts as text, so everything that is no file goes into one `@jsonPayload` part, and the
//! files follow. Names are escaped as browsers do it (WHATWG HTML, multipart/form-data encoding), so all platforms send
//! the same.

use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};
use core::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::source::{FileSource, Reader, Source};
use crate::{
    json::Json,
    runtime::Listener,
    transport::{Body, TransportError},
    url::behind_last,
};

/// How far a transfer has come, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes transferred so far. A transfer that is sent again begins at 0 again.
    pub done: u64,
    /// Bytes in all, if that is known.
    pub total: Option<u64>,
}

/// A file and the field that it goes to.
#[derive(Debug, Clone)]
pub struct FilePart {
    /// The field's name; `field+` adds to the files that are there.
    pub field: String,
    /// The file.
    pub source: FileSource,
}

impl FilePart {
    /// The file's name as it is sent.
    fn name(&self) -> &str {
        if self.source.filename.is_empty() { "file" } else { &self.source.filename }
    }

    /// The media type as it is sent.
    fn content_type(&self) -> &str {
        self.source.content_type.as_deref().unwrap_or_else(|| guess_content_type(&self.source.filename))
    }
}

/// A form: JSON for everything that is no file, and files.
#[derive(Clone)]
pub struct Form {
    json: Option<Json>,
    files: Vec<FilePart>,
    progress: Option<Listener<Progress>>,
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl Form {
    pub(crate) fn new(json: Option<Json>, files: Vec<FilePart>, progress: Option<Listener<Progress>>) -> Form {
        Form { json, files, progress }
    }

    /// The body of a write: JSON where there are no files, else a form.
    pub(crate) fn body(json: Json, files: Vec<FilePart>, progress: Option<Listener<Progress>>) -> Body {
        if files.is_empty() { Body::Json(json) } else { Body::Multipart(Form::new(Some(json), files, progress)) }
    }

    /// Files only, for endpoints that take no record.
    pub(crate) fn of_files(files: Vec<FilePart>) -> Form {
        Form { json: None, files, progress: None }
    }

    /// The JSON of the `@jsonPayload` part, if the form has one.
    ///
    /// ```
    /// # fn demo(form: picobase::files::Form) {
    /// if let Some(json) = form.json() {
    ///     println!("{}", json.as_text());
    /// }
    /// # }
    /// ```
    pub fn json(&self) -> Option<&Json> {
        self.json.as_ref()
    }

    /// Calls `visit` with the field, the file name, the content type and the source of each file, in their order.
    #[cfg(not(feature = "std"))]
    pub fn each_file(&self, mut visit: impl FnMut(&str, &str, &str, &Source)) {
        for file in &self.files {
            visit(&file.field, file.name(), file.content_type(), &file.source.source);
        }
    }

    /// The host has sent so many bytes of it. Of which file nobody knows: any stream among them may have been begun.
    #[cfg(not(feature = "std"))]
    pub fn note_taken(&self, bytes: u64) {
        for (n, file) in self.files.iter().enumerate() {
            let source = &file.source.source;
            if n == 0 || !source.repeatable() {
                source.note_taken(bytes);
            }
        }
    }

    pub(crate) fn replayable(&self) -> bool {
        self.files.iter().all(|file| file.source.source.replayable())
    }

    pub(crate) fn repeatable(&self) -> bool {
        self.files.iter().all(|file| file.source.source.repeatable())
    }

    /// Can all files be read?
    pub(crate) fn check(&self) -> Result<(), TransportError> {
        self.files.iter().try_for_each(|file| file.source.source.check())
    }

    /// How long the files are together, if that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.source.source.length()?))
    }

    pub(crate) fn taken(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.source.source.taken()))
    }

    /// The headers of each part in order, without the blank line.
    pub(crate) fn part_headers(&self) -> Vec<PartHeader> {
        let json = self.json.iter().map(|_| PartHeader {
            name: "@jsonPayload".to_string(),
            filename: None,
            content_type: "application/json".to_string(),
        });
        let files = self.files.iter().map(|file| PartHeader {
            name: file.field.clone(),
            filename: Some(file.name().to_string()),
            content_type: file.content_type().to_string(),
        });
        json.chain(files).collect()
    }

    /// The form as bytes, to be sent with `multipart/form-data; boundary=…`.
    pub fn encode(&self, boundary: &str) -> BodyReader {
        let mut segments = VecDeque::new();
        let bodies = self.json.iter().map(|json| Segment::Bytes(json.clone().into_bytes()));
        let bodies = bodies.chain(self.files.iter().map(|file| Segment::source(&file.source.source)));
        for (header, body) in self.part_headers().iter().zip(bodies) {
            segments.push_back(Segment::Bytes(Bytes::from(["--", boundary, "\r\n", &header.text(), "\r\n"].concat())));
            segments.push_back(body);
            segments.push_back(Segment::Bytes(Bytes::from_static(b"\r\n")));
        }
        segments.push_back(Segment::Bytes(Bytes::from(["--", boundary, "--\r\n"].concat())));
        BodyReader::new(segments, self.progress.clone())
    }
}

/// What stands before a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartHeader {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: String,
}

impl PartHeader {
    pub(crate) fn text(&self) -> String {
        let mut out = ["Content-Disposition: form-data; name=\"", &escape(&self.name), "\""].concat();
        if let Some(filename) = &self.filename {
            out.push_str(&["; filename=\"", &escape(filename), "\""].concat());
        }
        out.push_str("\r\nContent-Type: ");
        // A line break would begin a header of its own.
        out.extend(self.content_type.chars().filter(|c| !c.is_control()));
        out.push_str("\r\n");
        out
    }
}

/// As browsers write names: quotes and line breaks percent-encoded, all else as it is.
fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' => out.push_str("%22"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            c => out.push(c),
        }
    }
    out
}

/// The media type by a name's ending. The server looks at the bytes anyway.
fn guess_content_type(filename: &str) -> &'static str {
    let ending = behind_last(filename, b'.').unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

enum Segment {
    Bytes(Bytes),
    /// A source, and the length that the server is told.
    Source(Source, Option<u64>),
}

impl Segment {
    fn source(source: &Source) -> Segment {
        Segment::Source(source.clone(), source.length())
    }
}

/// The bytes of one upload, piece by piece, for transports.
pub struct BodyReader {
    segments: VecDeque<Segment>,
    reading: Option<Reader>,
    total: Option<u64>,
    done: u64,
    progress: Option<Listener<Progress>>,
}

impl fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyReader").field("total", &self.total).finish_non_exhaustive()
    }
}

impl BodyReader {
    fn new(segments: VecDeque<Segment>, progress: Option<Listener<Progress>>) -> BodyReader {
        let length = |segment: &Segment| match segment {
            Segment::Bytes(bytes) => u64::try_from(bytes.len()).ok(),
            Segment::Source(_, length) => *length,
        };
        let total = segments.iter().map(length).try_fold(0u64, |sum, length| sum.checked_add(length?));
        BodyReader { segments, reading: None, total, done: 0, progress }
    }

    /// One source on its own.
    pub fn of_source(source: &Source) -> BodyReader {
        BodyReader::new(VecDeque::from([Segment::source(source)]), None)
    }

    /// How many bytes there will be, if that is known.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// Where a source cannot be read, or has changed its length.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, TransportError>>> {
        loop {
            if let Some(reader) = &mut self.reading {
                match reader.poll_piece(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(piece))) if piece.is_empty() => continue,
                    Poll::Ready(Some(Ok(piece))) => return Poll::Ready(Some(Ok(self.count(piece)))),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => self.reading = None,
                }
            }
            match self.segments.pop_front() {
                None => return Poll::Ready(None),
                Some(Segment::Bytes(bytes)) if bytes.is_empty() => {}
                Some(Segment::Bytes(bytes)) => return Poll::Ready(Some(Ok(self.count(bytes)))),
                Some(Segment::Source(source, length)) => match source.open(length) {
                    Ok(reader) => self.reading = Some(reader),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
            }
        }
    }

    fn count(&mut self, piece: Bytes) -> Bytes {
        self.done = self.done.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if let Some(listener) = &self.progress {
            listener(&Progress { done: self.done, total: self.total });
        }
        piece
    }
}
