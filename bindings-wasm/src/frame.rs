//! How values are written where they cross: one after the other, each a tag and its content, numbers little-endian.
//!
//! | tag | content |
//! |---|---|
//! | 0, 1, 2 | null, true, false |
//! | 3, 4, 7, 9 | length (u32), then a string, a number as text, JSON text, bytes |
//! | 5 | count (u32), then the items |
//! | 6 | the handle of a JavaScript value (u32) |
//! | 8 | a moment: milliseconds since the Unix epoch (f64) |
//! | 10 | count (u32), then name and value of each member |
//! | 11 | a number (f64) |
//! | 12 | a source of bytes: handle (u32), length (f64, −1 where unknown), can it be sent twice (u8) |
//!
//! JavaScript writes 0 to 9 and 12, the module 0 to 11. `npm/src/core/frame.ts` is the other side.

use alloc::{
    boxed::Box,
    rc::Rc,
    string::{String, ToString},
    vec::{IntoIter, Vec},
};
use core::time::Duration;

use picobase::{
    Json, JsonView,
    files::Source,
    transport::{Headers, ResponseBody},
    url::QueryValue,
};

use crate::host::Handle;

/// A value that JavaScript sent.
pub(crate) enum Value {
    Null,
    Bool(bool),
    Text(String),
    Number(String),
    List(Vec<Value>),
    Host(Rc<Handle>),
    Json(Json),
    Date(i64),
    Bytes(Vec<u8>),
    Source(Source),
}

impl Value {
    /// The string; none for anything else.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number; none for anything else.
    pub(crate) fn int(&self) -> Option<u64> {
        match self {
            Value::Number(text) => {
                text.bytes().take_while(|byte| *byte != b'.').try_fold(0u64, |sum, digit| match digit {
                    b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
                    _ => None,
                })
            }
            _ => None,
        }
    }

    /// The items; none for anything else.
    pub(crate) fn list(self) -> Vec<Value> {
        match self {
            Value::List(items) => items,
            _ => Vec::new(),
        }
    }

    /// As JSON.
    pub(crate) fn json(self) -> Json {
        match self {
            Value::Null | Value::Date(_) | Value::Bytes(_) | Value::Source(_) => Json::null(),
            Value::Bool(value) => Json::bool(value),
            Value::Text(text) => Json::string(&text),
            Value::Number(text) => Json::parse(text).unwrap_or_else(|_| Json::null()),
            Value::List(items) => Json::array(items.into_iter().map(Value::json)),
            Value::Host(handle) => Json::host(handle),
            Value::Json(json) => json,
        }
    }

    /// As the value of a query parameter.
    pub(crate) fn query(self) -> QueryValue {
        match self {
            Value::Null | Value::Bytes(_) | Value::Source(_) => QueryValue::Null,
            Value::Bool(value) => QueryValue::Bool(value),
            Value::Text(text) => QueryValue::Text(text),
            Value::Date(at) => QueryValue::Date(at),
            other => QueryValue::Json(other.json()),
        }
    }
}

/// The arguments of an operation, taken one after the other.
pub(crate) struct Args(IntoIter<Value>);

impl Args {
    pub(crate) fn new(values: Vec<Value>) -> Args {
        Args(values.into_iter())
    }

    /// The next one; null behind the last.
    pub(crate) fn next(&mut self) -> Value {
        self.0.next().unwrap_or(Value::Null)
    }

    /// The next one's text, empty where there is none.
    pub(crate) fn text(&mut self) -> String {
        self.next().text().unwrap_or_default()
    }

    /// The next one's text, where there is some.
    pub(crate) fn some(&mut self) -> Option<String> {
        self.next().text()
    }

    /// The next one as whole number.
    pub(crate) fn int(&mut self) -> Option<u64> {
        self.next().int()
    }

    /// The next one as small number.
    pub(crate) fn small(&mut self) -> Option<u32> {
        self.int().map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    }

    /// The next one as time in milliseconds.
    pub(crate) fn time(&mut self) -> Option<Duration> {
        self.int().map(Duration::from_millis)
    }

    /// Is the next one true?
    pub(crate) fn flag(&mut self) -> bool {
        matches!(self.next(), Value::Bool(true))
    }

    /// The next one as JSON; none for null.
    pub(crate) fn json(&mut self) -> Option<Json> {
        match self.next() {
            Value::Null => None,
            value => Some(value.json()),
        }
    }

    /// The next one's items.
    pub(crate) fn list(&mut self) -> Vec<Value> {
        self.next().list()
    }

    /// The texts of the next one's items.
    pub(crate) fn texts(&mut self) -> Vec<String> {
        self.list().into_iter().filter_map(Value::text).collect()
    }
}

/// Reads what JavaScript wrote. What is cut off ends the list.
pub(crate) fn read(bytes: &[u8]) -> Vec<Value> {
    let mut rest = bytes;
    let mut values = Vec::new();
    while let Some(value) = value(&mut rest) {
        values.push(value);
    }
    values
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(n)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

fn float(rest: &mut &[u8]) -> Option<f64> {
    Some(f64::from_le_bytes(take(rest, 8)?.try_into().ok()?))
}

fn value(rest: &mut &[u8]) -> Option<Value> {
    let tag = *take(rest, 1)?.first()?;
    Some(match tag {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => Value::Bool(false),
        3 | 4 | 7 | 9 => {
            let len = number(rest)? as usize;
            let bytes = take(rest, len)?;
            if tag == 9 {
                return Some(Value::Bytes(bytes.to_vec()));
            }
            let text = String::from_utf8_lossy(bytes).to_string();
            match tag {
                3 => Value::Text(text),
                4 => Value::Number(text),
                _ => Value::Json(Json::parse(text).unwrap_or_else(|_| Json::null())),
            }
        }
        5 => {
            let count = number(rest)?;
            let mut items = Vec::new();
            for _ in 0..count {
                items.push(value(rest)?);
            }
            Value::List(items)
        }
        6 => Value::Host(Handle::new(number(rest)?)),
        // A date that is none is refused as one that is too late; as a number it would be that of 1970.
        8 => match float(rest)? {
            at if at.is_nan() => Value::Date(i64::MAX),
            at => Value::Date(at as i64),
        },
        12 => {
            let handle = Handle::new(number(rest)?);
            let length = float(rest)?;
            let again = *take(rest, 1)?.first()?;
            let length = if length < 0.0 { None } else { Some(length as u64) };
            Value::Source(Source::host(handle, length, again == 1))
        }
        _ => return None,
    })
}

/// How many bytes a frame has room for before it grows: a call's request, an event with a small record.
const RESERVED: usize = 480;

/// What is written for JavaScript.
pub(crate) struct Frame {
    bytes: Vec<u8>,
    /// Where the length of a text of events stands that can still grow; 0 where there is none.
    open: usize,
    /// What the handles stand for, until the frame was read.
    kept: Vec<Json>,
    body: Option<Box<dyn ResponseBody>>,
}

impl Frame {
    pub(crate) const fn new() -> Frame {
        Frame { bytes: Vec::new(), open: 0, kept: Vec::new(), body: None }
    }

    /// One number.
    pub(crate) fn number(value: u32) -> Frame {
        let mut out = Frame::new();
        out.int(value.into());
        out
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Keeps what a handle stands for until the frame was read.
    pub(crate) fn keep(&mut self, body: Box<dyn ResponseBody>) {
        self.body = Some(body);
    }

    /// Most frames are no longer than what is reserved with the first tag.
    fn tag(&mut self, tag: u8) {
        self.open = 0;
        if self.bytes.is_empty() {
            self.bytes.reserve(RESERVED);
        }
        self.bytes.push(tag);
    }

    fn size(&mut self, n: usize) {
        self.bytes.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn block(&mut self, tag: u8, bytes: &[u8]) -> &mut Frame {
        self.tag(tag);
        self.size(bytes.len());
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn null(&mut self) -> &mut Frame {
        self.tag(0);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Frame {
        self.block(3, text.as_bytes())
    }

    pub(crate) fn some(&mut self, text: Option<&str>) -> &mut Frame {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    pub(crate) fn int(&mut self, value: u64) -> &mut Frame {
        self.tag(11);
        self.bytes.extend_from_slice(&(value as f64).to_le_bytes());
        self
    }

    pub(crate) fn maybe_int(&mut self, value: Option<u64>) -> &mut Frame {
        match value {
            Some(value) => self.int(value),
            None => self.null(),
        }
    }

    /// Header fields: names and values, one behind the other.
    pub(crate) fn headers(&mut self, headers: &Headers) -> &mut Frame {
        self.list(headers.iter().count().saturating_mul(2));
        for (name, value) in headers.iter() {
            self.text(name).text(value);
        }
        self
    }

    /// A list of so many items, which follow.
    pub(crate) fn list(&mut self, items: usize) -> &mut Frame {
        self.tag(5);
        self.size(items);
        self
    }

    pub(crate) fn handle(&mut self, handle: u32) -> &mut Frame {
        self.tag(6);
        self.size(handle as usize);
        self
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Frame {
        self.block(9, bytes)
    }

    pub(crate) fn json(&mut self, json: &Json) -> &mut Frame {
        match json.view() {
            JsonView::Host(handle) => {
                self.kept.push(json.clone());
                self.handle(handle)
            }
            JsonView::Array(items) => self.items(items),
            JsonView::Object(members) => {
                self.tag(10);
                self.size(members.len());
                for (name, value) in members {
                    self.text(name);
                    self.json(value);
                }
                self
            }
            JsonView::Text(text) => self.block(7, text.as_bytes()),
            _ => self.null(),
        }
    }

    /// An event whose record is text. Those of one topic, one behind the other, are one text, which is decoded at once:
    /// `["records", topic, action, record, action, record, …]`.
    pub(crate) fn event(&mut self, topic: &str, action: &str, record: &str) {
        if self.open == 0 {
            self.tag(7);
            self.open = self.bytes.len();
            self.size(0);
            self.bytes.extend_from_slice(b"[\"records\",");
            self.bytes.extend_from_slice(Json::string(topic).as_text().as_bytes());
        } else {
            self.bytes.pop();
        }
        for part in [",\"", action, "\",", record, "]"] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        let text = self.bytes.len().saturating_sub(self.open).saturating_sub(4);
        if let Some(size) = self.bytes.get_mut(self.open..).and_then(|rest| rest.first_chunk_mut()) {
            *size = u32::try_from(text).unwrap_or(u32::MAX).to_le_bytes();
        }
    }

    /// A list of JSON values.
    pub(crate) fn items(&mut self, items: &[Json]) -> &mut Frame {
        self.list(items.len());
        for item in items {
            self.json(item);
        }
        self
    }

    pub(crate) fn maybe(&mut self, json: Option<&Json>) -> &mut Frame {
        match json {
            Some(json) => self.json(json),
            None => self.null(),
        }
    }
}
