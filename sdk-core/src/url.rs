//! Building URLs: the base URL, paths from templates, queries, and taking secrets out again.
//!
//! Percent-encoding is RFC 3986: everything but `A-Z a-z 0-9 - . _ ~` is written as `%XX` of its UTF-8 bytes, so every
//! language sends the same bytes.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use crate::error::Error;

/// The address of an instance: `scheme://host[:port][/base/path]`, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    origin_len: usize,
}

impl BaseUrl {
    /// Checks and normalises an address.
    ///
    /// # Errors
    /// Kind `Configuration`, with what to write instead.
    ///
    /// ```
    /// use picobase::url::BaseUrl;
    /// let base = BaseUrl::parse("HTTPS://Api.Example.com:443/base/")?;
    /// assert_eq!(base.as_str(), "https://api.example.com/base");
    /// assert_eq!(base.origin(), "https://api.example.com");
    /// assert!(BaseUrl::parse("localhost:8090").unwrap_err().fix().contains("http://localhost:8090"));
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<BaseUrl, Error> {
        let text = text.trim();
        BaseUrl::read(text).map_err(|(what, fix)| {
            let fix = if fix.is_empty() { scheme_fix(text) } else { fix.to_string() };
            Error::configuration(["the URL ", what].concat()).with_fix(fix)
        })
    }

    /// An error is what is wrong and what to do; the latter is empty where that depends on the text.
    fn read(text: &str) -> Result<BaseUrl, (&'static str, &'static str)> {
        if text.is_empty() {
            return Err(("is empty", "Pass one like https://my-app.picobase.com, or set PICOBASE_URL."));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '<' | '>' | '"')) {
            return Err(("has blanks or other characters that no URL has", EXAMPLE));
        }
        let Some((scheme, rest)) = split_at_text(text, "://") else { return Err(("has no scheme", "")) };
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(("is neither http nor https", EXAMPLE));
        }
        if has(rest, "?#") {
            return Err(("has a query or a fragment", "Leave out everything from the ? or # on."));
        }
        let (authority, path) = cut(rest, "/");
        if has(authority, "@") {
            return Err((
                "has a user or a password in it",
                "Leave out what stands before the @; pass the key on its own.",
            ));
        }
        let authority = normal_authority(authority, &scheme).map_err(|what| (what, EXAMPLE))?;
        let path = path.trim_end_matches('/');
        if path.split('/').skip(1).any(|s| s.is_empty() || is_dots(s)) {
            return Err(("has an empty, . or .. segment in its path", "Write the path plainly."));
        }
        let origin = [scheme.as_str(), "://", &authority].concat();
        Ok(BaseUrl { origin_len: origin.len(), text: origin + path })
    }

    /// The whole address.
    ///
    /// ```
    /// # use picobase::url::BaseUrl;
    /// assert_eq!(BaseUrl::parse("http://[::1]:8090/")?.as_str(), "http://[::1]:8090");
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port: whom key and token may be sent to.
    ///
    /// ```
    /// # use picobase::url::BaseUrl;
    /// assert_eq!(BaseUrl::parse("https://a.example/x")?.origin(), "https://a.example");
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn origin(&self) -> &str {
        self.text.get(..self.origin_len).unwrap_or_default()
    }

    /// The address of a path (that begins with a slash) with a query.
    pub(crate) fn join(&self, path: &str, query: &Query) -> String {
        let mut out = String::with_capacity(self.text.len() + path.len() + 64);
        out.push_str(&self.text);
        out.push_str(path);
        query.append_to(&mut out);
        out
    }
}

/// `.` or `..`, percent-encoded or not: URL parsers read them as steps in the path.
pub(crate) fn is_dots(segment: &str) -> bool {
    let (mut rest, mut dots) = (segment, 0);
    while !rest.is_empty() {
        let length = if rest.starts_with('.') { 1 } else { 3 };
        let Some((dot, after)) = rest.split_at_checked(length) else { return false };
        if length == 3 && !dot.eq_ignore_ascii_case("%2e") {
            return false;
        }
        (rest, dots) = (after, dots + 1);
    }
    dots == 1 || dots == 2
}

/// What to write in place of most URLs that are wrong.
const EXAMPLE: &str = "Write it like https://my-app.picobase.com.";

/// A text up to the first of these ASCII characters, and the rest from there on.
pub(crate) fn cut<'a>(text: &'a str, marks: &str) -> (&'a str, &'a str) {
    let at = text.bytes().position(|byte| marks.as_bytes().contains(&byte));
    at.and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""))
}

/// Has the text one of these ASCII characters? As `contains`, which brings a search for long texts.
pub(crate) fn has(text: &str, marks: &str) -> bool {
    text.bytes().any(|byte| marks.as_bytes().contains(&byte))
}

/// What stands behind the last of this ASCII character.
pub(crate) fn behind_last(text: &str, mark: u8) -> Option<&str> {
    let at = text.bytes().rposition(|byte| byte == mark)?;
    text.get(at.saturating_add(1)..)
}

/// What stands before and behind the first `part` of a text. As `split_once`, whose search is made for long texts.
pub(crate) fn split_at_text<'a>(text: &'a str, part: &str) -> Option<(&'a str, &'a str)> {
    let at = text.as_bytes().windows(part.len().max(1)).position(|window| window == part.as_bytes())?;
    Some((text.get(..at)?, text.get(at.saturating_add(part.len())..)?))
}

/// How to write an address that came without a scheme. What may hold a secret is not repeated.
fn scheme_fix(text: &str) -> String {
    if has(text, "@?#:/") && !text.starts_with("localhost:") {
        return "Begin it with http:// or https://, like https://my-app.picobase.com.".to_string();
    }
    ["Put the scheme before it: http://", text, " or https://", text, "."].concat()
}

/// Host in lower case, default port left out; what is wrong where one of them is not valid.
fn normal_authority(authority: &str, scheme: &str) -> Result<String, &'static str> {
    let (host, port) = split_authority(authority).ok_or("has no valid host")?;
    if !host.is_ascii() {
        return Err("has a host beyond ASCII, which must be written in punycode (xn--…)");
    }
    let host = host.to_ascii_lowercase();
    if host.is_empty() {
        return Err("has no host");
    }
    if !host.starts_with('[') && has(&host, "[]:%^|{}`,") {
        return Err("has no valid host");
    }
    let Some(port) = port else { return Ok(host) };
    let number = port.parse::<u64>().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit()));
    match (number, scheme) {
        (None | Some(0 | 65_536..), _) => Err("has no valid port: ports are 1 to 65535"),
        (Some(80), "http") | (Some(443), "https") => Ok(host),
        (Some(port), _) => Ok([host.as_str(), ":", &digits(port)].concat()),
    }
}

/// Host, with the brackets of an IPv6 address, and port.
fn split_authority(authority: &str) -> Option<(&str, Option<&str>)> {
    let Some(rest) = authority.strip_prefix('[') else {
        return Some(match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        });
    };
    let (address, after) = rest.split_once(']')?;
    address.parse::<core::net::Ipv6Addr>().ok()?;
    let host = authority.get(..address.len().saturating_add(2))?;
    match after {
        "" => Some((host, None)),
        after => Some((host, Some(after.strip_prefix(':')?))),
    }
}

/// A query under construction. Names and values are encoded as they are added.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
    /// The name of the first parameter whose value cannot be written, and why: told when the call is made.
    mistake: Option<(String, &'static str)>,
}

/// The names only: a value may be a token.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

impl Query {
    /// An empty query.
    ///
    /// ```
    /// assert_eq!(picobase::url::Query::new().to_string(), "");
    /// ```
    pub fn new() -> Self {
        Query::default()
    }

    /// Sets a parameter; the last value of a name wins. [`QueryValue::Null`] takes it out.
    ///
    /// ```
    /// use picobase::url::Query;
    /// let mut query = Query::new();
    /// query.set("sort", "-created").set("page", 2).set("expand", "author").set("expand", None::<&str>);
    /// assert_eq!(query.to_string(), "sort=-created&page=2");
    /// ```
    pub fn set(&mut self, name: &str, value: impl Into<QueryValue>) -> &mut Self {
        self.put(name, value.into());
        self
    }

    /// [`set`](Self::set), compiled once.
    fn put(&mut self, name: &str, value: QueryValue) {
        if self.mistake.as_ref().is_some_and(|(key, _)| key == name) {
            self.mistake = None;
        }
        match self.written(name, value) {
            Some(text) => match self.pairs.iter_mut().find(|(key, _)| key == name) {
                Some((_, old)) => *old = text,
                None => self.pairs.push((name.to_string(), text)),
            },
            None => self.pairs.retain(|(key, _)| key != name),
        }
    }

    /// Adds a parameter behind those that are there, also behind one of the same name. [`QueryValue::Null`] adds none.
    ///
    /// ```
    /// use picobase::url::Query;
    /// let mut query = Query::new();
    /// query.append("tag", "a").append("tag", "b").append("tag", None::<&str>);
    /// assert_eq!(query.to_string(), "tag=a&tag=b");
    /// ```
    pub fn append(&mut self, name: &str, value: impl Into<QueryValue>) -> &mut Self {
        if let Some(text) = self.written(name, value.into()) {
            self.pairs.push((name.to_string(), text));
        }
        self
    }

    /// Sets all that another one has; what stands there several times does so here.
    pub(crate) fn merge(&mut self, other: Query) {
        self.pairs.retain(|(name, _)| !other.pairs.iter().any(|(key, _)| key == name));
        self.pairs.extend(other.pairs);
        if other.mistake.is_some() {
            self.mistake = other.mistake;
        }
    }

    /// A value as text; none for null, and for one that cannot be written, which is noted.
    fn written(&mut self, name: &str, value: QueryValue) -> Option<String> {
        value.text().unwrap_or_else(|why| {
            self.mistake.get_or_insert_with(|| (name.to_string(), why));
            None
        })
    }

    /// # Errors
    /// Kind `Validation` where a value cannot be written: a number that is not finite, a date beyond the years 1 to
    /// 9999.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.mistake {
            None => Ok(()),
            Some((name, why)) => Err(Error::validation(["the query parameter ", name, " is ", why].concat())
                .with_fix("Pass another value, or leave the parameter out.")),
        }
    }

    /// Names and plain values in their order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The plain value of a parameter.
    ///
    /// ```
    /// let mut query = picobase::url::Query::new();
    /// assert_eq!(query.set("page", 2).get("page"), Some("2"));
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Appends `?a=b&c=d` to a URL; nothing where there are no parameters.
    pub(crate) fn append_to(&self, url: &mut String) {
        let mut separator = if has(url, "?") { '&' } else { '?' };
        for (name, value) in &self.pairs {
            url.push(separator);
            separator = '&';
            push_encoded(url, name);
            url.push('=');
            push_encoded(url, value);
        }
    }
}

/// The query without its question mark.
impl core::fmt::Display for Query {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut out = String::new();
        self.append_to(&mut out);
        f.write_str(out.strip_prefix('?').unwrap_or_default())
    }
}

/// The value of a query parameter or of a filter placeholder.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum QueryValue {
    /// Left out of a query; `null` in a filter.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number, written in its shortest plain decimals, never with an exponent.
    #[cfg(feature = "std")]
    Float(f64),
    /// Text.
    Text(String),
    /// A moment in milliseconds since the Unix epoch, written `YYYY-MM-DD HH:MM:SS.mmmZ`.
    Date(i64),
    /// JSON: text, numbers, booleans and null are the values that they say, arrays and objects their compact text.
    Json(crate::json::Json),
}

impl QueryValue {
    /// How it stands in a query before encoding; none for null. An error says what is wrong with it.
    fn text(self) -> Result<Option<String>, &'static str> {
        Ok(match self {
            QueryValue::Null => None,
            QueryValue::Bool(value) => Some(value.to_string()),
            QueryValue::Int(value) => Some(decimal(value)),
            #[cfg(feature = "std")]
            QueryValue::Float(value) if !value.is_finite() => return Err(NOT_FINITE),
            #[cfg(feature = "std")]
            QueryValue::Float(value) => Some(plain_decimals(value)),
            QueryValue::Text(text) => Some(text),
            QueryValue::Date(at) => Some(date(at).ok_or(NO_DATE)?),
            QueryValue::Json(json) => json_text(&json)?,
        })
    }
}

/// JSON in a query: scalars are the values that they say, arrays and objects their compact text.
fn json_text(json: &crate::json::Json) -> Result<Option<String>, &'static str> {
    if json.is_null() {
        return Ok(None);
    }
    if let Some(text) = json.as_str() {
        return Ok(Some(text));
    }
    if json.is_number() {
        return json_number(json.as_text().trim()).map(Some).ok_or(TOO_LONG);
    }
    Ok(Some(json.compact().as_text().to_string()))
}

/// What is wrong with a number.
#[cfg(feature = "std")]
pub(crate) const NOT_FINITE: &str = "a number that is not finite";
/// What is wrong with a number of JSON.
pub(crate) const TOO_LONG: &str = "a number that is too long without an exponent";
/// What is wrong with a date.
pub(crate) const NO_DATE: &str = "a date beyond the years 1 to 9999";

/// The shortest decimals that read back as the same number, without an exponent.
#[cfg(feature = "std")]
pub(crate) fn plain_decimals(value: f64) -> String {
    // Rust's Display for floats is just that; only negative zero keeps its sign.
    if value == 0.0 { "0".to_string() } else { value.to_string() }
}

/// A JSON number in plain decimals, without floating point: the digits stay, the exponent moves the point. None where
/// it is larger or smaller than any float.
pub(crate) fn json_number(text: &str) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok().filter(|e| (-400..=400).contains(e))?),
        None => (text, 0),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let mut digits = String::new();
    (point..0).for_each(|_| digits.push('0'));
    digits.push_str(whole);
    digits.push_str(fraction);
    let point = usize::try_from(point).unwrap_or(0);
    while digits.len() < point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at_checked(point)?;
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match (whole, fraction) {
        ("0", "") => "0".to_string(),
        (whole, "") => [sign, whole].concat(),
        (whole, fraction) => [sign, whole, ".", fraction].concat(),
    })
}

macro_rules! into_query_value {
    ($($from:ty => |$value:ident| $make:expr;)*) => {
        $(impl From<$from> for QueryValue {
            fn from($value: $from) -> Self { $make }
        })*
    };
}

into_query_value! {
    bool => |v| QueryValue::Bool(v);
    i32 => |v| QueryValue::Int(v.into());
    i64 => |v| QueryValue::Int(v);
    u32 => |v| QueryValue::Int(v.into());
    u16 => |v| QueryValue::Int(v.into());
    &str => |v| QueryValue::Text(v.to_string());
    &String => |v| QueryValue::Text(v.clone());
    String => |v| QueryValue::Text(v);
    crate::json::Json => |v| QueryValue::Json(v);
}

impl From<u64> for QueryValue {
    fn from(value: u64) -> Self {
        match i64::try_from(value) {
            Ok(value) => QueryValue::Int(value),
            Err(_) => QueryValue::Text(digits(value)),
        }
    }
}

impl From<usize> for QueryValue {
    fn from(value: usize) -> Self {
        QueryValue::from(value as u64)
    }
}

#[cfg(feature = "std")]
impl From<f64> for QueryValue {
    fn from(value: f64) -> Self {
        QueryValue::Float(value)
    }
}

#[cfg(feature = "std")]
impl From<std::time::SystemTime> for QueryValue {
    fn from(value: std::time::SystemTime) -> Self {
        let ms = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        match value.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => QueryValue::Date(ms(after)),
            Err(before) => QueryValue::Date(ms(before.duration()).saturating_neg()),
        }
    }
}

impl<T: Into<QueryValue>> From<Option<T>> for QueryValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(QueryValue::Null, Into::into)
    }
}

/// `YYYY-MM-DD HH:MM:SS.mmmZ`, the form in which the server keeps and compares dates.
/// None beyond the years 1 to 9999, which that form cannot say.
///
/// ```
/// assert_eq!(picobase::url::date(1_700_000_000_123).as_deref(), Some("2023-11-14 22:13:20.123Z"));
/// ```
pub fn date(unix_ms: i64) -> Option<String> {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    if !(1..=9999).contains(&year) {
        return None;
    }
    let (hours, minutes, seconds, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let mut out = String::with_capacity(24);
    let parts = [
        (year, 4, "-"),
        (month, 2, "-"),
        (day, 2, " "),
        (hours, 2, ":"),
        (minutes, 2, ":"),
        (seconds, 2, "."),
        (ms, 3, "Z"),
    ];
    for (number, width, after) in parts {
        let digits = decimal(number);
        (digits.len()..width).for_each(|_| out.push('0'));
        out.push_str(&digits);
        out.push_str(after);
    }
    Some(out)
}

/// Unix milliseconds of a date in that form; none where it is another one, or before 1970.
pub(crate) fn parse_date(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(*b - b'0')))
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if bytes.len() != 24 || marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
        return None;
    }
    let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    u64::try_from(days * 86_400_000 + seconds * 1000 + number(20, 23)?).ok()
}

/// Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`).
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = (month + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Days since 1970-01-01 as year, month and day of the Gregorian calendar (H. Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`).
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Fills `{name}` in a path template with encoded segments.
///
/// # Errors
/// Kind `NotFound` where a value is empty, `.` or `..`: no such thing can exist, and the server would redirect the
/// call to another route.
pub(crate) fn fill_path(template: &str, params: &[(&str, &str)]) -> Result<String, Error> {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let value = params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value).unwrap_or_default();
        check_segment(name, value)?;
        out.push_str(before);
        push_encoded(&mut out, value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Refuses what cannot be a segment of a path: the parameter of this name.
///
/// # Errors
/// As [`fill_path`].
pub(crate) fn check_segment(name: &str, value: &str) -> Result<(), Error> {
    if !matches!(value, "" | "." | "..") {
        return Ok(());
    }
    let message = [&quoted(value), " cannot be the ", param_noun(name), " of anything"].concat();
    Err(Error::not_found(message).with_fix("Pass the id or name of something that exists."))
}

/// A number in decimals. What `Display` writes, without its formatter: a module for the web needs nothing else of it.
pub(crate) fn decimal(value: i64) -> String {
    let digits = digits(value.unsigned_abs());
    if value < 0 { ["-", &digits].concat() } else { digits }
}

/// [`decimal`], without a sign.
pub(crate) fn digits(mut value: u64) -> String {
    let mut digits = [b'0'; 20];
    let mut length = 0usize;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        length = length.saturating_add(1);
        if value == 0 {
            break;
        }
    }
    digits.iter().skip(digits.len().saturating_sub(length)).map(|digit| char::from(*digit)).collect()
}

/// A text as it is shown in a message.
pub(crate) fn quoted(text: &str) -> String {
    crate::json::Json::string(text).as_text().to_string()
}

/// What a path parameter is called towards the user.
fn param_noun(name: &str) -> &'static str {
    match name {
        "c" => "collection name",
        "id" => "id",
        "key" => "backup key",
        _ => "name",
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986 §2.3.
pub(crate) fn push_encoded(out: &mut String, text: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| !plain(*c)) {
        out.push_str(rest.get(..at).unwrap_or_default());
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            out.push('%');
            for half in [byte >> 4, byte & 15] {
                out.push(char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
        rest = rest.get(at.saturating_add(c.len_utf8())..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// Undoes percent-encoding; what is not valid stays as it is. None where the bytes are not UTF-8.
pub(crate) fn decode_percent(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if let (b'%', [high, low, tail @ ..]) = (first, after)
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            out.push(u8::try_from(high * 16 + low).ok()?);
            rest = tail;
            continue;
        }
        out.push(first);
        rest = after;
    }
    String::from_utf8(out).ok()
}

/// The names of query parameters whose values are secrets.
const SECRET_PARAMETERS: [&str; 16] = [
    "token",
    "key",
    "apikey",
    "api_key",
    "password",
    "otp",
    "code",
    "state",
    "code_verifier",
    "access_token",
    "id_token",
    "refresh_token",
    "authorization",
    "secret",
    "client_secret",
    "x-picobase-key",
];

/// A URL that may be shown: without user and password, and with tokens and the values of secret parameters replaced by
/// `***`.
///
/// ```
/// assert_eq!(picobase::url::redact("https://u:p@h/f.png?thumb=1x1&token=abc"), "https://h/f.png?thumb=1x1&token=***");
/// ```
pub fn redact(url: &str) -> String {
    let (address, mut rest) = cut(url, "?#");
    let mut out = without_userinfo(address);
    // Parameters may stand in the fragment as well, and in the URL that a parameter holds.
    while let Some(separator) = rest.chars().next() {
        let after = rest.get(separator.len_utf8()..).unwrap_or_default();
        let (name, value) = cut(after, "=&#?");
        let secret = is_secret_parameter(name) && value.starts_with('=');
        let (pair, next) = cut(after, if secret { "&#" } else { "?&#" });
        out.push(separator);
        out.push_str(if secret { name } else { pair });
        out.push_str(if secret { "=***" } else { "" });
        rest = next;
    }
    without_tokens(&out)
}

/// Wherever they stand, the server's tokens can be told: a JWT is three parts with dots between them, and begins with
/// an encoded `{"`.
fn without_tokens(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, _)) = split_at_text(rest, "eyJ") {
        let token = rest.get(before.len()..).unwrap_or_default();
        let end = token.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
        let (token, after) = token.split_at_checked(end.unwrap_or(token.len())).unwrap_or((token, ""));
        out.push_str(before);
        out.push_str(if token.split('.').filter(|part| part.len() > 9).count() > 2 { "***" } else { token });
        rest = after;
    }
    out.push_str(rest);
    out
}

fn is_secret_parameter(name: &str) -> bool {
    let name = decode_percent(name).unwrap_or_default().to_ascii_lowercase();
    SECRET_PARAMETERS.contains(&name.as_str())
}

fn without_userinfo(address: &str) -> String {
    let Some((scheme, rest)) = split_at_text(address, "://") else { return address.to_string() };
    let (authority, path) = cut(rest, "/#");
    let host = behind_last(authority, b'@').unwrap_or(authority);
    [scheme, "://", host, path].concat()
}
