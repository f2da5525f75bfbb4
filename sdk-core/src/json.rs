//! JSON that the core carries but does not read.
//!
//! Record bodies are decoded once, in the language that uses them. The core only peeks at a few members (a token, an
//! id, the ids of a page) and composes a few envelopes (a batch, `@jsonPayload`). So [`Json`] is the text itself with
//! a scanner that skips what it is not asked for; it builds no tree, and numbers are never read as floats. On the web it can also be a
//! value of the host (`tree`), so that bodies are decoded and encoded by JavaScript and never enter the module.

#[cfg(not(feature = "std"))]
mod tree;

use alloc::{
    borrow::Cow,
    string::{String, ToString},
    vec::Vec,
};
use core::borrow::Borrow;

use bytes::Bytes;

#[cfg(not(feature = "std"))]
use self::tree::Tree;
#[cfg(not(feature = "std"))]
pub use self::tree::{HostValue, JsonView};
use crate::error::Error;

/// Nesting that [`Json::parse`] accepts; deeper text is refused so that no decoder behind it overflows its stack.
const MAX_DEPTH: usize = 128;

/// A piece of JSON text (RFC 8259). Cheap to clone.
///
/// ```
/// use picobase::Json;
/// let json = Json::parse(r#"{"id": "abc", "tags": ["x", "y"]}"#)?;
/// assert_eq!(json.get("id").and_then(|id| id.as_str()).as_deref(), Some("abc"));
/// assert_eq!(json.get("tags").map(|tags| tags.items().len()), Some(2));
/// # Ok::<(), picobase::Error>(())
/// ```
#[derive(Clone)]
pub struct Json {
    #[cfg(feature = "std")]
    text: Bytes,
    /// One pointer: where weight decides, so does how much each move and each drop has to say.
    #[cfg(not(feature = "std"))]
    tree: Tree,
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Json {}

impl Json {
    /// What is known to be JSON text.
    fn of(text: Bytes) -> Json {
        Json {
            #[cfg(feature = "std")]
            text,
            #[cfg(not(feature = "std"))]
            tree: Tree::of_text(text),
        }
    }

    /// The text to scan; empty where this is a tree.
    #[cfg(feature = "std")]
    fn raw(&self) -> &Bytes {
        &self.text
    }

    /// The text to scan; empty where this is a tree.
    #[cfg(not(feature = "std"))]
    fn raw(&self) -> &Bytes {
        static EMPTY: Bytes = Bytes::new();
        self.tree.given_text().unwrap_or(&EMPTY)
    }

    /// The text without the blanks around it, to look for a scalar in; empty where this is a tree, which is none.
    fn scalar(&self) -> &str {
        core::str::from_utf8(self.raw()).unwrap_or_default().trim()
    }

    /// The tree, where it is one.
    #[cfg(not(feature = "std"))]
    fn tree(&self) -> Option<&Tree> {
        match self.tree.given_text() {
            Some(_) => None,
            None => Some(&self.tree),
        }
    }

    /// Checks that `text` is one JSON value and keeps it.
    ///
    /// # Errors
    /// Kind `Decode` where it is not.
    ///
    /// ```
    /// assert!(picobase::Json::parse("[1, 2").is_err());
    /// ```
    pub fn parse(text: impl Into<Bytes>) -> Result<Json, Error> {
        let json = Json::from_body(text.into())?;
        let mut scan = Scan::new(json.raw());
        match scan.value() {
            Some(_) if scan.rest_is_blank() => Ok(json),
            _ => Err(Error::decode("this is not JSON", json.as_text())),
        }
    }

    /// Is it JSON to the end? What the platform has decoded is.
    pub(crate) fn check(&self) -> Result<(), Error> {
        #[cfg(not(feature = "std"))]
        if self.tree().is_some() {
            return Ok(());
        }
        Json::parse(self.raw().clone()).map(drop)
    }

    /// Keeps a body that is going to be decoded by whoever uses it, so only what is plainly something else is
    /// refused: not UTF-8, empty, or HTML.
    pub(crate) fn from_body(text: Bytes) -> Result<Json, Error> {
        if let Err(e) = core::str::from_utf8(&text) {
            let start = text.get(..e.valid_up_to()).unwrap_or_default();
            return Err(Error::decode("the body is not UTF-8", &String::from_utf8_lossy(start)));
        }
        Json::from_text(text)
    }

    /// [`from_body`](Self::from_body) for what was a string, so that it need not be looked through once more.
    pub(crate) fn from_text(text: Bytes) -> Result<Json, Error> {
        match text.iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Ok(Json::of(text)),
            None => Err(Error::decode("the body is empty where JSON was expected", "")),
            Some(_) => {
                let json = Json::of(text);
                Err(Error::decode("the body is not JSON", json.as_text()))
            }
        }
    }

    /// The text.
    ///
    /// ```
    /// assert_eq!(picobase::Json::string("a\"b").as_text(), r#""a\"b""#);
    /// ```
    pub fn as_text(&self) -> &str {
        // Every constructor checks UTF-8, and slices are cut at ASCII characters.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The text as bytes, without a copy.
    ///
    /// ```
    /// assert_eq!(picobase::Json::bool(true).into_bytes().as_ref(), b"true");
    /// ```
    pub fn into_bytes(self) -> Bytes {
        #[cfg(not(feature = "std"))]
        return self.tree.text().clone();
        #[cfg(feature = "std")]
        self.text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        #[cfg(not(feature = "std"))]
        return self.tree.text();
        #[cfg(feature = "std")]
        &self.text
    }

    /// `null`.
    ///
    /// ```
    /// assert!(picobase::Json::null().is_null());
    /// ```
    pub fn null() -> Json {
        Json::of(Bytes::from_static(b"null"))
    }

    /// `true` or `false`.
    ///
    /// ```
    /// assert_eq!(picobase::Json::bool(false).as_bool(), Some(false));
    /// ```
    pub fn bool(value: bool) -> Json {
        Json::of(Bytes::from_static(if value { b"true" } else { b"false" }))
    }

    /// A whole number.
    ///
    /// ```
    /// assert_eq!(picobase::Json::int(-7).as_i64(), Some(-7));
    /// ```
    pub fn int(value: i64) -> Json {
        Json::of(Bytes::from(crate::url::decimal(value)))
    }

    /// A string.
    ///
    /// ```
    /// assert_eq!(picobase::Json::string("hi").as_str().as_deref(), Some("hi"));
    /// ```
    pub fn string(value: &str) -> Json {
        let mut out = String::with_capacity(value.len().saturating_add(2));
        push_string(&mut out, value);
        Json::of(Bytes::from(out))
    }

    /// An array of these values.
    ///
    /// ```
    /// use picobase::Json;
    /// assert_eq!(Json::array([Json::int(1), Json::null()]).as_text(), "[1,null]");
    /// ```
    pub fn array(items: impl IntoIterator<Item = Json>) -> Json {
        #[cfg(not(feature = "std"))]
        return Json { tree: Tree::array(items.into_iter().collect()) };
        #[cfg(feature = "std")]
        Json::of(array_text(items))
    }

    /// An object of these members, in this order.
    ///
    /// ```
    /// use picobase::Json;
    /// assert_eq!(Json::object([("a", Json::int(1))]).as_text(), r#"{"a":1}"#);
    /// ```
    pub fn object<K: AsRef<str>>(members: impl IntoIterator<Item = (K, Json)>) -> Json {
        #[cfg(not(feature = "std"))]
        return Json { tree: Tree::object(members.into_iter().map(|(k, v)| (k.as_ref().to_string(), v)).collect()) };
        #[cfg(feature = "std")]
        Json::of(object_text(members))
    }

    /// The member of that name, if this is an object that has it. The last one wins, as in every decoder.
    ///
    /// ```
    /// # use picobase::Json;
    /// assert!(Json::parse(r#"{"a": 1}"#)?.get("b").is_none());
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn get(&self, name: &str) -> Option<Json> {
        #[cfg(not(feature = "std"))]
        if let Some(tree) = self.tree() {
            return tree.get(name);
        }
        let mut found = None;
        self.each_member(|key, value| {
            if key_is(key, name) {
                found = Some(value);
            }
        });
        found.map(|value| self.slice(value))
    }

    /// The members of these names, found in one pass.
    pub(crate) fn peek<const N: usize>(&self, names: [&str; N]) -> [Option<Json>; N] {
        #[cfg(not(feature = "std"))]
        if let Some(tree) = self.tree() {
            return names.map(|name| tree.get(name));
        }
        let mut found = names.map(|_| None);
        self.each_member(|key, value| note(&mut found, &names, key, value));
        found.map(|value| value.map(|value| self.slice(value)))
    }

    /// The members in their order; none if this is no object.
    ///
    /// ```
    /// # use picobase::Json;
    /// let members = Json::parse(r#"{"a": 1, "b": 2}"#)?.members();
    /// assert_eq!(members.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn members(&self) -> Vec<(String, Json)> {
        #[cfg(not(feature = "std"))]
        if let Some(tree) = self.tree() {
            return tree.members();
        }
        let mut out = Vec::new();
        self.each_member(|key, value| out.push((unescape(key).into_owned(), self.slice(value))));
        out
    }

    /// The items in their order; none if this is no array.
    ///
    /// ```
    /// # use picobase::Json;
    /// assert_eq!(Json::parse("[1, [2, 3]]")?.items().len(), 2);
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn items(&self) -> Vec<Json> {
        #[cfg(not(feature = "std"))]
        if let Some(tree) = self.tree() {
            return tree.items();
        }
        let mut out = Vec::new();
        let mut scan = Scan::new(self.raw());
        if !scan.eat(b'[') || scan.eat(b']') {
            return out;
        }
        while let Some(value) = scan.value() {
            out.push(self.slice(value));
            if !scan.eat(b',') {
                break;
            }
        }
        out
    }

    /// The string, unescaped, if this is one.
    ///
    /// ```
    /// # use picobase::Json;
    /// assert_eq!(Json::parse(r#""\u00e9\n""#)?.as_str().as_deref(), Some("é\n"));
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn as_str(&self) -> Option<String> {
        self.str().map(Cow::into_owned)
    }

    /// [`as_str`](Self::as_str), without a copy where nothing is escaped.
    pub(crate) fn str(&self) -> Option<Cow<'_, str>> {
        string_in(self.raw())
    }

    /// The whole part of the number, towards zero, if this is a number that fits; exponents are understood.
    ///
    /// ```
    /// # use picobase::Json;
    /// assert_eq!(Json::parse("1.75e3")?.as_i64(), Some(1750));
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn as_i64(&self) -> Option<i64> {
        whole_number(self.scalar())
    }

    /// [`as_i64`](Self::as_i64), but down: a negative fraction is the next lower number.
    pub(crate) fn floor(&self) -> Option<i64> {
        let whole = self.as_i64()?;
        let text = self.scalar();
        let fraction =
            text.starts_with('-') && crate::url::json_number(text).is_some_and(|plain| crate::url::has(&plain, "."));
        if fraction { whole.checked_sub(1) } else { Some(whole) }
    }

    /// The boolean, if this is one.
    ///
    /// ```
    /// assert_eq!(picobase::Json::int(1).as_bool(), None);
    /// ```
    pub fn as_bool(&self) -> Option<bool> {
        match self.scalar() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Is this `null`?
    ///
    /// ```
    /// assert!(!picobase::Json::int(0).is_null());
    /// ```
    pub fn is_null(&self) -> bool {
        self.scalar() == "null"
    }

    /// Is this an object?
    ///
    /// ```
    /// assert!(!picobase::Json::null().is_object());
    /// ```
    pub fn is_object(&self) -> bool {
        #[cfg(not(feature = "std"))]
        if let Some(tree) = self.tree() {
            return tree.is_object();
        }
        self.as_text().trim_start().starts_with('{')
    }

    /// Is this an array?
    #[cfg(not(feature = "std"))]
    fn is_array(&self) -> bool {
        match self.tree() {
            Some(tree) => !tree.is_object(),
            None => self.as_text().trim_start().starts_with('['),
        }
    }

    /// Is this a number?
    pub(crate) fn is_number(&self) -> bool {
        is_number(self.scalar().as_bytes())
    }

    /// The string member of that name.
    pub(crate) fn get_str(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|value| value.as_str())
    }

    /// This object without one member; anything else stays as it is.
    pub(crate) fn without(&self, name: &str) -> Json {
        if !self.is_object() {
            return self.clone();
        }
        Json::object(self.members().into_iter().filter(|(key, _)| key != name))
    }

    /// This object with one member set; anything else becomes an object of that member.
    pub(crate) fn with(&self, name: &str, value: Json) -> Json {
        let mut members = self.members();
        match members.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => members.push((name.to_string(), value)),
        }
        Json::object(members)
    }

    /// The same value without blanks, its strings escaped no more than they must be.
    pub(crate) fn compact(&self) -> Json {
        #[cfg(not(feature = "std"))]
        if self.tree().is_some() {
            return self.clone();
        }
        let mut out = String::with_capacity(self.raw().len());
        let mut scan = Scan::new(self.raw());
        loop {
            scan.blanks();
            match scan.peek() {
                None => return Json::of(Bytes::from(out)),
                Some(b'"') => match scan.string() {
                    Some(raw) => push_string(&mut out, &unescape(raw)),
                    None => return self.clone(),
                },
                Some(other) => {
                    out.push(char::from(other));
                    scan.skip(1);
                }
            }
        }
    }

    /// The same value with the members of its objects in the order of their names. With `fields` a server answers
    /// them in any order, another one each time.
    pub(crate) fn sorted(&self) -> Json {
        let mut out = Vec::with_capacity(self.raw().len());
        self.push_sorted(&mut out);
        // Nothing was lost: the scanner has understood all of it, and there were no blanks.
        if out.len() == self.raw().len() { Json::of(Bytes::from(out)) } else { self.clone() }
    }

    fn push_sorted(&self, out: &mut Vec<u8>) {
        let mut first = true;
        let mut comma = |out: &mut Vec<u8>| {
            if !core::mem::take(&mut first) {
                out.push(b',');
            }
        };
        match self.raw().first() {
            Some(b'{') => {
                let mut members = Vec::new();
                self.each_member(|key, value| members.push((key, value)));
                members.sort_by_key(|(key, _)| *key);
                out.push(b'{');
                for (key, value) in members {
                    comma(out);
                    out.push(b'"');
                    out.extend_from_slice(key);
                    out.extend_from_slice(b"\":");
                    self.slice(value).push_sorted(out);
                }
                out.push(b'}');
            }
            Some(b'[') => {
                out.push(b'[');
                for item in self.items() {
                    comma(out);
                    item.push_sorted(out);
                }
                out.push(b']');
            }
            _ => out.extend_from_slice(self.raw()),
        }
    }

    /// Calls `visit` with the raw key and the raw value of each member.
    fn each_member<'a>(&'a self, mut visit: impl FnMut(&'a [u8], &'a [u8])) {
        Scan::new(self.raw()).members(|key, scan| {
            visit(key, scan.value()?);
            Some(())
        });
    }

    /// The items of a page; none where this is no page.
    #[cfg(not(feature = "std"))]
    pub(crate) fn page_items(&self) -> Option<Vec<Json>> {
        self.get("items").map(|items| items.items())
    }

    /// A part of this text; shares the buffer.
    fn slice(&self, part: &[u8]) -> Json {
        Json::part(self.raw(), part)
    }

    /// A part of `text` that is known to be JSON; shares the buffer.
    pub(crate) fn part(text: &Bytes, part: &[u8]) -> Json {
        Json::of(text.slice_ref(part))
    }
}

/// Raw texts within an object: the member `beside`, the object `outer`, and its members of these names.
pub(crate) type Peeked<'a, const N: usize> = (&'a [u8], &'a [u8], [Option<&'a [u8]>; N]);

/// The member `outer` of the object in `text` and, where it is an object, its members of these names, found in one pass
/// with the member `beside` it.
pub(crate) fn peek_into<'a, const N: usize>(
    text: &'a [u8],
    beside: &str,
    outer: &str,
    names: &[&str; N],
) -> Option<Peeked<'a, N>> {
    let (mut string, mut found) = (None, None);
    Scan::new(text).members(|key, scan| {
        if !key_is(key, outer) {
            let value = scan.value()?;
            if key_is(key, beside) {
                string = Some(value);
            }
            return Some(());
        }
        scan.blanks();
        let start = scan.rest;
        let mut inner = [None; N];
        scan.members(|key, scan| {
            let value = scan.value()?;
            note(&mut inner, names, key, value);
            Some(())
        })?;
        found = Some((raw(start, scan.rest)?, inner));
        Some(())
    });
    let (object, inner) = found?;
    Some((string?, object, inner))
}

/// The string of this raw text, if it is one; without a copy where nothing is escaped.
pub(crate) fn string_in(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(unescape(inner))
}

/// Shows how long it is and no more: payloads can hold secrets.
impl core::fmt::Debug for Json {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Json").field("bytes", &self.raw().len()).finish_non_exhaustive()
    }
}

/// Walks JSON text from value to value. Strings and brackets are respected, everything else is left to the decoder.
struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn new(text: &'a [u8]) -> Self {
        Scan { rest: text }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline(always)]
    fn skip(&mut self, n: usize) {
        self.rest = self.rest.get(n..).unwrap_or_default();
    }

    /// Mostly there are none, which is found out without a call.
    #[inline(always)]
    fn blanks(&mut self) {
        if let Some(0..=b' ') = self.peek() {
            self.skip_blanks();
        }
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.skip(1);
        }
    }

    fn rest_is_blank(&mut self) -> bool {
        self.blanks();
        self.rest.is_empty()
    }

    /// Skips blanks, then `byte` if it is next.
    fn eat(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.peek() == Some(byte);
        if found {
            self.skip(1);
        }
        found
    }

    /// The next string's raw inside.
    fn string(&mut self) -> Option<&'a [u8]> {
        let (b'"', start) = self.rest.split_first()? else { return None };
        let mut len = 0usize;
        loop {
            let rest = start.get(len..)?;
            let step = plain_length(rest);
            len = len.saturating_add(step);
            match rest.get(step)? {
                b'"' => {
                    self.rest = rest.get(step.saturating_add(1)..)?;
                    return start.get(..len);
                }
                b'\\' => len = len.saturating_add(escape_length(rest.get(step.saturating_add(1)..)?)?),
                _ => return None,
            }
        }
    }

    /// The next value's raw text, without the blanks around it.
    fn value(&mut self) -> Option<&'a [u8]> {
        self.blanks();
        let start = self.rest;
        // Most values are strings.
        if start.first() == Some(&b'"') {
            self.string()?;
            return raw(start, self.rest);
        }
        let mut nesting = Nesting::default();
        loop {
            self.blanks();
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                open @ (b'{' | b'[') => {
                    self.skip(1);
                    nesting.open(open)?;
                    if self.begins_member(nesting.close()?)? {
                        continue;
                    }
                }
                _ => self.literal()?,
            }
            // After a value: close what ends here, then go on behind the comma.
            loop {
                let Some(close) = nesting.close() else { return raw(start, self.rest) };
                self.blanks();
                match self.peek()? {
                    b',' => {
                        self.skip(1);
                        self.begins_member(close)?;
                        break;
                    }
                    byte if byte == close => {
                        self.skip(1);
                        nesting.end();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Walks the object that is next. `visit` gets each raw key and goes past its value; without one it ends.
    fn members(&mut self, mut visit: impl FnMut(&'a [u8], &mut Self) -> Option<()>) -> Option<()> {
        if !self.eat(b'{') {
            return None;
        }
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            self.blanks();
            let key = self.string()?;
            if !self.eat(b':') {
                return None;
            }
            visit(key, self)?;
            if !self.eat(b',') {
                return self.eat(b'}').then_some(());
            }
        }
    }

    /// Inside an object: skips the key and the colon. Says whether a value is next (an empty bracket has none).
    fn begins_member(&mut self, close: u8) -> Option<bool> {
        self.blanks();
        if self.peek()? == close {
            return Some(false);
        }
        if close == b'}' {
            self.string()?;
            if !self.eat(b':') {
                return None;
            }
        }
        Some(true)
    }

    /// A number, `true`, `false` or `null`.
    fn literal(&mut self) -> Option<()> {
        let end = self
            .rest
            .iter()
            .position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
            .unwrap_or(self.rest.len());
        let word = self.rest.get(..end)?;
        let known = matches!(word, b"true" | b"false" | b"null") || is_number(word);
        self.skip(end);
        known.then_some(())
    }
}

/// Which brackets are open: a bit for each, set for objects. No more fit than [`MAX_DEPTH`].
#[derive(Default)]
struct Nesting {
    objects: u128,
    depth: usize,
}

impl Nesting {
    /// None where that is too deep.
    fn open(&mut self, bracket: u8) -> Option<()> {
        self.depth = self.depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH)?;
        self.objects = (self.objects << 1) | u128::from(bracket == b'{');
        Some(())
    }

    /// What closes the innermost.
    fn close(&self) -> Option<u8> {
        (self.depth > 0).then_some(if self.objects & 1 == 1 { b'}' } else { b']' })
    }

    fn end(&mut self) {
        self.objects >>= 1;
        self.depth = self.depth.saturating_sub(1);
    }
}

/// How many bytes of a string's inside come before a quote, a backslash or a control character.
fn plain_length(bytes: &[u8]) -> usize {
    // Eight bytes at a time: the lowest marked bit stands in the first byte that ends them.
    const EACH: u64 = 0x0101_0101_0101_0101;
    let is = |word: u64, byte: u8| {
        let same = word ^ (EACH * u64::from(byte));
        same.wrapping_sub(EACH) & !same
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut plain = 0usize;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(EACH * 0x20) & !word;
        let marks = (is(word, b'"') | is(word, b'\\') | control) & (EACH * 0x80);
        if marks != 0 {
            return plain.saturating_add((marks.trailing_zeros() / 8) as usize);
        }
        plain = plain.saturating_add(8);
    }
    let end = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
    plain.saturating_add(end.unwrap_or(rest.len()))
}

/// How long the escape is whose backslash stands before these bytes, if it is one.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(1..5)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// What lies between the start of a text and its rest.
fn raw<'a>(start: &'a [u8], rest: &[u8]) -> Option<&'a [u8]> {
    start.get(..start.len().checked_sub(rest.len())?)
}

/// The number grammar of RFC 8259 §6.
fn is_number(word: &[u8]) -> bool {
    fn digits(text: &[u8]) -> (usize, &[u8]) {
        let n = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
        (n, text.get(n..).unwrap_or_default())
    }
    let word = word.strip_prefix(b"-").unwrap_or(word);
    let (whole, mut rest) = digits(word);
    if whole == 0 || (whole > 1 && word.first() == Some(&b'0')) {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let (n, after) = digits(fraction);
        if n == 0 {
            return false;
        }
        rest = after;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        let (n, after) = digits(exponent);
        return n > 0 && after.is_empty();
    }
    rest.is_empty()
}

/// The whole part of a JSON number, without floating point.
fn whole_number(text: &str) -> Option<i64> {
    if !is_number(text.as_bytes()) {
        return None;
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // How many digits, from the left, stand before the decimal point once the exponent is applied.
    let keep = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let mut value: i64 = 0;
    for (n, digit) in (0i64..).zip(whole.bytes().chain(fraction.bytes())) {
        if n >= keep {
            break;
        }
        value = value.checked_mul(10)?.checked_add(i64::from(digit.wrapping_sub(b'0')))?;
    }
    let written = i64::try_from(whole.len().saturating_add(fraction.len())).ok()?;
    for _ in written..keep.min(written.saturating_add(20)) {
        value = value.checked_mul(10)?;
    }
    if negative { value.checked_neg() } else { Some(value) }
}

/// Keeps a member's value where its name is one of these. The last one of a name wins.
fn note<'a, const N: usize>(found: &mut [Option<&'a [u8]>; N], names: &[&str; N], key: &[u8], value: &'a [u8]) {
    for (slot, name) in found.iter_mut().zip(names) {
        if key_is(key, name) {
            *slot = Some(value);
        }
    }
}

/// Compares a raw key with a name. Most differ at the first byte already, which is found out without a call.
#[inline(always)]
fn key_is(raw: &[u8], name: &str) -> bool {
    let first = raw.first();
    (first == name.as_bytes().first() || first == Some(&b'\\')) && whole_key_is(raw, name)
}

fn whole_key_is(raw: &[u8], name: &str) -> bool {
    // Escaped ones are rare and longer.
    raw == name.as_bytes() || (raw.len() > name.len() && raw.contains(&b'\\') && unescape(raw) == name)
}

/// Undoes the escapes of RFC 8259 §7. Broken surrogates become U+FFFD.
fn unescape(raw: &[u8]) -> Cow<'_, str> {
    let text = core::str::from_utf8(raw).unwrap_or_default();
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => out.push(unicode_escape(&mut chars)),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Cow::Owned(out)
}

/// The character of `\uXXXX`, or of a surrogate pair.
fn unicode_escape(chars: &mut core::str::Chars<'_>) -> char {
    let Some(first) = hex4(chars) else { return char::REPLACEMENT_CHARACTER };
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    let mut ahead = chars.clone();
    if ahead.next() == Some('\\')
        && ahead.next() == Some('u')
        && let Some(second) = hex4(&mut ahead)
        && (0xDC00..0xE000).contains(&second)
    {
        *chars = ahead;
        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    char::REPLACEMENT_CHARACTER
}

fn hex4(chars: &mut core::str::Chars<'_>) -> Option<u32> {
    let mut code = 0;
    for _ in 0..4 {
        code = code * 16 + chars.next()?.to_digit(16)?;
    }
    Some(code)
}

/// The text of an array.
fn array_text(items: impl IntoIterator<Item = impl Borrow<Json>>) -> Bytes {
    let mut out = String::from("[");
    for item in items {
        push_comma(&mut out);
        out.push_str(item.borrow().as_text());
    }
    out.push(']');
    Bytes::from(out)
}

/// The text of an object.
fn object_text(members: impl IntoIterator<Item = (impl AsRef<str>, impl Borrow<Json>)>) -> Bytes {
    let mut out = String::from("{");
    for (name, value) in members {
        push_comma(&mut out);
        push_string(&mut out, name.as_ref());
        out.push(':');
        out.push_str(value.borrow().as_text());
    }
    out.push('}');
    Bytes::from(out)
}

/// Before all but the first, behind the bracket.
fn push_comma(out: &mut String) {
    if out.len() > 1 {
        out.push(',');
    }
}

/// Writes a JSON string.
pub(crate) fn push_string(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    out.push(char::from_digit(((c as u32) >> shift) & 15, 16).unwrap_or('0'));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What a call answers: decoded from the body. Every `serde::de::DeserializeOwned` type is one.
#[cfg(feature = "std")]
pub trait FromJson: serde::de::DeserializeOwned + Send + 'static {
    /// Decodes one answer. An empty body arrives as `null`.
    ///
    /// # Errors
    /// Kind `Decode`, with the place and an excerpt.
    fn from_json(json: Json) -> Result<Self, Error>;
}

/// What a call answers: taken from the body. On the web JavaScript decodes, and this is [`Json`] in most places.
#[cfg(not(feature = "std"))]
pub trait FromJson: Sized + 'static {
    /// Reads one answer. An empty body arrives as `null`.
    ///
    /// # Errors
    /// Kind `Decode`, with an excerpt.
    fn from_json(json: Json) -> Result<Self, Error>;
}

/// What a call sends.
///
/// Off the web every `serde::Serialize` type is one.
pub trait ToJson {
    /// Encodes the value.
    ///
    /// # Errors
    /// Kind `Validation` where it has no JSON form (a map with keys that are no strings, say).
    fn to_json(&self) -> Result<Json, Error>;
}

/// Answers of a known shape are read by hand: that needs no serde where the `std` feature is off. `$read` says none
/// where the JSON is something else.
macro_rules! read_by_hand {
    ($type:ty, |$json:ident| $read:expr) => {
        #[cfg(feature = "std")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let $json = <$crate::json::Json as serde::Deserialize>::deserialize(deserializer)?;
                $read.ok_or_else(|| serde::de::Error::custom(concat!("this is no ", stringify!($type))))
            }
        }

        #[cfg(not(feature = "std"))]
        impl $crate::json::FromJson for $type {
            fn from_json($json: $crate::json::Json) -> Result<Self, $crate::error::Error> {
                let said = concat!("this is no ", stringify!($type));
                $read.ok_or_else(|| $crate::error::Error::decode(said, $json.as_text()))
            }
        }
    };
}
pub(crate) use read_by_hand;

#[cfg(feature = "std")]
mod serde_impl {
    use alloc::string::String;

    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
    use serde_json::value::RawValue;

    use super::{FromJson, Json, ToJson};
    use crate::error::Error;

    impl Json {
        /// Decodes it as any serde type.
        ///
        /// # Errors
        /// Kind `Decode`, with the place and an excerpt.
        ///
        /// ```
        /// let ids: Vec<u32> = picobase::Json::parse("[1, 2]")?.decode()?;
        /// assert_eq!(ids, [1, 2]);
        /// # Ok::<(), picobase::Error>(())
        /// ```
        pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
            serde_json::from_str(self.as_text())
                .map_err(|e| Error::decode(&alloc::format!("the answer does not fit: {e}"), self.as_text()))
        }

        /// The items of a page, found in one pass; none where this is no page.
        pub(crate) fn page_items(&self) -> Option<alloc::vec::Vec<Json>> {
            #[derive(Deserialize)]
            struct Page<'a> {
                #[serde(borrow)]
                items: alloc::vec::Vec<&'a RawValue>,
            }
            let page: Page<'_> = serde_json::from_str(self.as_text()).ok()?;
            Some(page.items.iter().map(|item| self.slice(item.get().as_bytes())).collect())
        }

        /// Encodes any serde type.
        ///
        /// # Errors
        /// Kind `Validation` where it has no JSON form.
        ///
        /// ```
        /// assert_eq!(picobase::Json::encode(&[1, 2])?.as_text(), "[1,2]");
        /// # Ok::<(), picobase::Error>(())
        /// ```
        pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Json, Error> {
            match serde_json::to_vec(value) {
                Ok(text) => Ok(Json::of(Bytes::from(text))),
                Err(e) => Err(Error::validation(alloc::format!("this value has no JSON form: {e}"))),
            }
        }
    }

    impl Serialize for Json {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let raw: &RawValue = serde_json::from_str(self.as_text()).map_err(serde::ser::Error::custom)?;
            raw.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Json {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let raw = alloc::boxed::Box::<RawValue>::deserialize(deserializer)?;
            Ok(Json::of(Bytes::from(String::from(alloc::boxed::Box::<str>::from(raw)))))
        }
    }

    impl<T: DeserializeOwned + Send + 'static> FromJson for T {
        fn from_json(json: Json) -> Result<Self, Error> {
            json.decode()
        }
    }

    impl<T: Serialize + ?Sized> ToJson for T {
        fn to_json(&self) -> Result<Json, Error> {
            Json::encode(self)
        }
    }
}

#[cfg(not(feature = "std"))]
mod plain_impl {
    use alloc::vec::Vec;

    use super::{FromJson, Json, ToJson};
    use crate::error::Error;

    impl FromJson for Json {
        fn from_json(json: Json) -> Result<Self, Error> {
            Ok(json)
        }
    }

    impl FromJson for () {
        fn from_json(_: Json) -> Result<Self, Error> {
            Ok(())
        }
    }

    impl<T: FromJson> FromJson for Vec<T> {
        fn from_json(json: Json) -> Result<Self, Error> {
            if !json.is_array() {
                return Err(Error::decode("the answer is no list", json.as_text()));
            }
            json.items().into_iter().map(T::from_json).collect()
        }
    }

    impl ToJson for Json {
        fn to_json(&self) -> Result<Json, Error> {
            Ok(self.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_string()).unwrap()
    }

    #[test]
    fn peeks_at_members_and_items() {
        let page = json(r#" {"page":1, "items":[ {"id":"a","x":{"id":"no"}} , {"id":"b\u0021"}],"e":[],"o":{} } "#);
        let ids: Vec<_> = page.get("items").unwrap().items().iter().filter_map(|i| i.get_str("id")).collect();
        assert_eq!(ids, ["a", "b!"]);
        assert_eq!(page.get("e").unwrap().items().len(), 0);
        assert_eq!(page.get("o").unwrap().members().len(), 0);
        assert!(page.get("missing").is_none());
        assert_eq!(page.get("page").unwrap().as_i64(), Some(1));
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            "",
            " ",
            "<html>",
            "{",
            "{\"a\"}",
            "[1,",
            "[1}",
            "{\"a\":1]",
            "tru",
            "01",
            "1.",
            "-",
            "\"\u{1}\"",
            "1 2",
            "[,1]",
            "{,}",
            "[1,]",
            "{\"a\":1,}",
            "1e",
            r#""\q""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#"["\"#,
        ] {
            assert!(Json::parse(text.to_string()).is_err(), "{text:?} must be refused");
        }
        assert!(Json::parse("[".repeat(200) + &"]".repeat(200)).is_err());
        assert!(Json::parse(Bytes::from_static(b"\"\xff\"")).is_err());
    }

    #[test]
    fn reads_whole_numbers_without_floats() {
        for (text, value) in [
            ("0", 0),
            ("-5", -5),
            ("12.9", 12),
            ("1e3", 1000),
            ("1.5E2", 150),
            ("125e-1", 12),
            ("-0", 0),
            ("9007199254740993", 9007199254740993),
            ("0e99999", 0),
        ] {
            assert_eq!(json(text).as_i64(), Some(value), "{text}");
        }
        assert_eq!(json("1e30").as_i64(), None);
        assert_eq!(json("\"1\"").as_i64(), None);
    }

    #[test]
    fn edits_objects() {
        let object = json(r#"{"a":1,"id":"x","b":[2]}"#);
        assert_eq!(object.without("id").as_text(), r#"{"a":1,"b":[2]}"#);
        assert_eq!(object.with("a", Json::null()).as_text(), r#"{"a":null,"id":"x","b":[2]}"#);
        let spaced = json(" { \"a b\" : [ 1 , \"\\u0041\\u000a\\b\\/ \" ] ,\n \"c\" : { } } ");
        assert_eq!(spaced.compact().as_text(), r#"{"a b":[1,"A\n\b/ "],"c":{}}"#);
        assert_eq!(Json::string("\u{1}\"\\é\n").as_str().as_deref(), Some("\u{1}\"\\é\n"));
        assert_eq!(json(r#""\ud83d\ude00 \ud83d""#).as_str().as_deref(), Some("😀 \u{FFFD}"));
    }

    #[test]
    fn members_are_sorted_at_every_level() {
        let mixed = json(r#"{"b":[{"z":"}","y":{}},[]],"a\"":1.50,"a":null}"#);
        assert_eq!(mixed.sorted().as_text(), r#"{"a":null,"a\"":1.50,"b":[{"y":{},"z":"}"},[]]}"#);
        for same in ["[]", "{}", "3", r#""x""#, r#"{"b": 1,"a":2}"#, r#"{"b":1,"a":"#, r#"{"b":1,"a":2}x"#] {
            let same = Json::from_body(Bytes::from(same)).unwrap();
            assert_eq!(same.sorted(), same, "what is no compact JSON stays as it is");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_agrees_with_serde(text in "[\\[\\]{}\",:0-9a-z\\\\. \\-]{0,24}") {
            let ours = Json::parse(text.clone()).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            // Which characters \u may name is left to the decoder; everything else must agree.
            if !text.contains("\\u") {
                proptest::prop_assert_eq!(ours, theirs, "{}", text);
            }
        }

        #[test]
        fn peeking_at_what_nobody_checked_never_panics(
            text in "[\\[{\"0-9tfn-][\\[\\]{}\",:0-9eEa-z\\\\u. \\-+]{0,40}",
            odd in "\\PC*",
        ) {
            for text in [text, odd] {
                let Ok(json) = Json::from_body(Bytes::from(text)) else { continue };
                let _ = (json.get("a"), json.members(), json.items(), json.as_str(), json.as_i64(), json.floor());
                let _ = (json.sorted(), json.compact(), json.without("a"), json.with("a", Json::null()), json.is_number());
                let _ = crate::error::Error::from_answer(400, None, json.as_text());
            }
        }

        #[test]
        fn strings_survive(value in ".*") {
            proptest::prop_assert_eq!(Json::string(&value).as_str(), Some(value));
        }
    }
}
