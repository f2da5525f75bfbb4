//! The session as cookies, for pages that a server renders.
//!
//! The value is `encodeURIComponent` of JSON `{"token": …, "record": …}`, in the cookie `pb_auth` of the PocketBase
//! SDK; where that would pass what browsers keep in one cookie, in the chunks `pb_auth.0`, `pb_auth.1`, ….

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use super::Session;
use crate::{
    json::Json,
    url::{civil, decode_percent},
};

/// What browsers keep of one cookie: name, value and attributes, in bytes.
const COOKIE_MAX: usize = 4096;
/// The last millisecond of the year 9999: the date of a cookie has four digits for the year.
const LAST_DATE: u64 = 253_402_300_799_999;

/// When browsers send a cookie along with requests that another site started (RFC 6265bis §5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed. The default.
    #[default]
    Lax,
    /// Always; browsers want `secure` with it.
    None,
}

impl SameSite {
    fn as_str(self) -> &'static str {
        match self {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        }
    }
}

/// The name and the attributes of session cookies. Default: `pb_auth`, for the whole host (`Path=/`), as long as the
/// token lives, `Secure`, `HttpOnly`, `SameSite=Lax`.
///
/// ```
/// use picobase::{Json, auth::{CookieOptions, SameSite, Session}};
/// let options = CookieOptions::default().name("sid").secure(false).same_site(SameSite::Strict);
/// let session = Session::new("t".to_string(), Json::null());
/// assert_eq!(
///     session.to_cookies(&options, &[]),
///     ["sid=%7B%22token%22%3A%22t%22%2C%22record%22%3Anull%7D; Path=/; HttpOnly; SameSite=Strict"],
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieOptions {
    name: String,
    path: String,
    domain: Option<String>,
    max_age: Option<Duration>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
}

impl Default for CookieOptions {
    fn default() -> Self {
        CookieOptions {
            name: "pb_auth".to_string(),
            path: "/".to_string(),
            domain: None,
            max_age: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
        }
    }
}

impl CookieOptions {
    /// The cookie's name; characters that no name can have are left out. Default: `pb_auth`.
    ///
    /// ```
    /// let options = picobase::auth::CookieOptions::default().name("sid");
    /// assert!(options.removal(&[])[0].starts_with("sid=; "));
    /// ```
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = cookie_name(name);
        self
    }

    /// The path below which the cookie is sent. Default: `/`.
    ///
    /// ```
    /// let options = picobase::auth::CookieOptions::default().path("/app");
    /// assert!(options.removal(&[])[0].contains("; Path=/app;"));
    /// ```
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = attribute_value(path);
        self
    }

    /// The domain whose hosts get the cookie. Default: only the host that sets it.
    ///
    /// ```
    /// let options = picobase::auth::CookieOptions::default().domain("example.com");
    /// assert!(options.removal(&[])[0].contains("; Domain=example.com;"));
    /// ```
    #[must_use]
    pub fn domain(mut self, domain: &str) -> Self {
        self.domain = Some(attribute_value(domain)).filter(|domain| !domain.is_empty());
        self
    }

    /// How long browsers keep the cookie, in whole seconds. Default: until the token expires.
    ///
    /// ```
    /// use std::time::Duration;
    /// use picobase::{Json, auth::{CookieOptions, Session}};
    /// let options = CookieOptions::default().max_age(Duration::from_secs(3600));
    /// let session = Session::new("t".to_string(), Json::null());
    /// assert!(session.to_cookies(&options, &[])[0].contains("; Max-Age=3600;"));
    /// ```
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Is the cookie sent over HTTPS only? Default: yes. Turn it off for development over plain HTTP.
    ///
    /// ```
    /// let options = picobase::auth::CookieOptions::default().secure(false);
    /// assert!(!options.removal(&[])[0].contains("Secure"));
    /// ```
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Is the cookie kept from the page's scripts? Default: yes. Turn it off where a client in the page takes the
    /// session over; then a script that got in can take it as well.
    ///
    /// ```
    /// let options = picobase::auth::CookieOptions::default().http_only(false);
    /// assert!(!options.removal(&[])[0].contains("HttpOnly"));
    /// ```
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// When browsers send the cookie along with requests that another site started. Default: `Lax`.
    ///
    /// ```
    /// use picobase::auth::{CookieOptions, SameSite};
    /// let options = CookieOptions::default().same_site(SameSite::None);
    /// assert!(options.removal(&[])[0].contains("; SameSite=None"));
    /// ```
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// The `Set-Cookie` values that remove a session, for signing out. `existing` are the names of the cookies that the
    /// request brought.
    ///
    /// ```
    /// let removal = picobase::auth::CookieOptions::default().removal(&["theme", "pb_auth.0"]);
    /// assert_eq!(removal.len(), 2);
    /// assert!(removal[0].starts_with("pb_auth=; ") && removal[1].starts_with("pb_auth.0=; "));
    /// ```
    pub fn removal(&self, existing: &[&str]) -> Vec<String> {
        let mut parts = self.parts(existing);
        parts.push(Part::WHOLE);
        self.removal_of(parts)
    }

    /// Removes these cookies: the whole one first, then the chunks by their numbers.
    fn removal_of(&self, mut parts: Vec<Part>) -> Vec<String> {
        parts.sort_unstable();
        parts.dedup();
        let attributes = self.attributes(Some(0), None);
        parts.into_iter().map(|part| format!("{}={attributes}", part.name(&self.name))).collect()
    }

    /// Which of these cookies are this session's.
    fn parts(&self, existing: &[&str]) -> Vec<Part> {
        existing.iter().filter_map(|cookie| Part::read(cookie, &self.name)).collect()
    }

    /// What follows the value. `expires` in Unix milliseconds.
    fn attributes(&self, expires: Option<u64>, max_age: Option<Duration>) -> String {
        let mut out = format!("; Path={}", self.path);
        if let Some(domain) = &self.domain {
            out.push_str("; Domain=");
            out.push_str(domain);
        }
        if let Some(expires) = expires {
            out.push_str("; Expires=");
            out.push_str(&http_date(expires));
        }
        if let Some(age) = max_age {
            out.push_str("; Max-Age=");
            out.push_str(&age.as_secs().to_string());
        }
        if self.http_only {
            out.push_str("; HttpOnly");
        }
        if self.secure {
            out.push_str("; Secure");
        }
        out.push_str("; SameSite=");
        out.push_str(self.same_site.as_str());
        out
    }
}

impl Session {
    /// The session as `Set-Cookie` values, ready to send: one cookie, or several chunks where it is too long for one.
    ///
    /// `existing` are the names of the cookies that the request brought: those of an earlier session that are not
    /// written now are removed, so that no old chunk stays behind.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, cookie_header: &str) -> Result<(), picobase::Error> {
    /// use picobase::auth::{CookieOptions, Session};
    /// let (options, existing) = (CookieOptions::default(), ["theme", "pb_auth"]);
    /// let visitor = match Session::from_cookies(cookie_header, "pb_auth") {
    ///     Some(session) => client.with_session(session),
    ///     None => client.with_session(picobase::client::SessionSource::Guest),
    /// };
    /// // … render the page with `visitor`, then answer with the session as it is now:
    /// let set_cookies = match visitor.auth().session() {
    ///     Some(session) => session.to_cookies(&options, &existing),
    ///     None => options.removal(&existing),
    /// };
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_cookies(&self, options: &CookieOptions, existing: &[&str]) -> Vec<String> {
        let json = Json::object([("token", Json::string(self.token())), ("record", self.record_json().compact())]);
        let attributes = options.attributes(self.expires_at(), options.max_age);
        let whole = format!("{}={}{attributes}", options.name, encode(json.as_text()));
        let cookies = if whole.len() <= COOKIE_MAX {
            Vec::from([(Part::WHOLE, whole)])
        } else {
            chunks(json.as_text(), &options.name, &attributes)
        };
        let (written, mut cookies): (Vec<Part>, Vec<String>) = cookies.into_iter().unzip();
        let mut stale = options.parts(existing);
        stale.retain(|part| !written.contains(part));
        cookies.extend(options.removal_of(stale));
        cookies
    }

    /// The session in a request's `Cookie` header; none where there is none, or it is damaged. `name` is the cookie's,
    /// `pb_auth` by default.
    ///
    /// Whoever sends a cookie can write into it what they like. The server checks the token with every call, but
    /// nobody has checked the `record`: do not decide by it who someone is or what they may do before
    /// [`refresh`](super::Auth::refresh) has brought the record that the server has.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, cookie_header: &str) -> Result<(), picobase::Error> {
    /// use picobase::auth::Session;
    /// if let Some(session) = Session::from_cookies(cookie_header, "pb_auth") {
    ///     let visitor = client.with_session(session);
    ///     let session = visitor.auth().refresh().await?;
    ///     println!("{} is who they say", session.user_id());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_cookies(cookie_header: &str, name: &str) -> Option<Session> {
        let name = cookie_name(name);
        let read = |cookie: &'_ str| -> Option<(Part, String)> {
            let (key, value) = cookie.split_once('=')?;
            Some((Part::read(key.trim(), &name)?, unquoted(value.trim()).to_string()))
        };
        let mut found: Vec<(Part, String)> = cookie_header.split(';').filter_map(read).collect();
        // Both keep the order of what is equal, so the first of a name counts.
        found.sort_by_key(|(part, _)| *part);
        found.dedup_by_key(|(part, _)| *part);
        let text = match found.first() {
            Some((Part::WHOLE, value)) if !value.is_empty() => value.clone(),
            _ => joined(&found)?,
        };
        let session = Session::from_stored(&decode(&text)?)?;
        if session.record_json().is_object() {
            return Some(session);
        }
        Some(session.with_record(Json::null()))
    }
}

/// One of the cookies of a session: the whole of it, or the chunk of that number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part(Option<u32>);

impl Part {
    const WHOLE: Part = Part(None);

    /// Which part of the session `name` this cookie is.
    fn read(cookie: &str, name: &str) -> Option<Part> {
        let rest = cookie.strip_prefix(name)?;
        if rest.is_empty() {
            return Some(Part::WHOLE);
        }
        let digits = rest.strip_prefix('.')?;
        let number: u32 = digits.parse().ok()?;
        // Neither `+1` nor `01` is a name that was written.
        (number.to_string() == digits).then_some(Part(Some(number)))
    }

    fn name(self, name: &str) -> String {
        match self.0 {
            None => name.to_string(),
            Some(number) => format!("{name}.{number}"),
        }
    }
}

/// Cuts a text that is too long for one cookie, between its characters.
fn chunks(text: &str, name: &str, attributes: &str) -> Vec<(Part, String)> {
    let mut chunks = Vec::new();
    let mut rest = text;
    for number in 0u32.. {
        let part = Part(Some(number));
        let mut cookie = format!("{}=", part.name(name));
        let mut taken = 0usize;
        for c in rest.chars() {
            let encoded = encode(c.encode_utf8(&mut [0; 4]));
            // At least one character each, or a name of 4 KB would make chunks for ever.
            if taken > 0 && cookie.len().saturating_add(encoded.len()).saturating_add(attributes.len()) > COOKIE_MAX {
                break;
            }
            cookie.push_str(&encoded);
            taken = taken.saturating_add(c.len_utf8());
        }
        cookie.push_str(attributes);
        chunks.push((part, cookie));
        rest = rest.get(taken..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
    }
    chunks
}

/// The chunks of a session put together; none where one is missing.
fn joined(found: &[(Part, String)]) -> Option<String> {
    let mut text = String::new();
    let chunks = found.iter().filter_map(|(part, value)| part.0.map(|number| (number, value)));
    for (expected, (number, value)) in (0u32..).zip(chunks) {
        if number != expected {
            return None;
        }
        text.push_str(value);
    }
    (!text.is_empty()).then_some(text)
}

/// `encodeURIComponent` (ECMA-262 §19.2.6.4).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                for half in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
    }
    out
}

/// `decodeURIComponent`; none where an escape is broken or the bytes are not UTF-8.
fn decode(text: &str) -> Option<String> {
    let is_escape = |rest: &str| rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if text.split('%').skip(1).all(is_escape) { decode_percent(text) } else { None }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// Only what a cookie's name may have (RFC 6265 §4.1.1: a token of RFC 9110).
fn cookie_name(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*c)).collect()
}

/// Only what an attribute's value may have (RFC 6265 §4.1.1: path-value).
fn attribute_value(value: &str) -> String {
    value.chars().filter(|c| matches!(c, ' '..='~') && *c != ';').collect()
}

/// `Thu, 01 Jan 1970 00:00:00 GMT` (RFC 9110 §5.6.7).
fn http_date(unix_ms: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = i64::try_from(unix_ms.min(LAST_DATE) / 1000).unwrap_or(0);
    let days = seconds / 86_400;
    let (year, month, day) = civil(days);
    let nth = |n: i64, names: &[&'static str]| {
        usize::try_from(n).ok().and_then(|n| names.get(n).copied()).unwrap_or_default()
    };
    let (weekday, month) = (nth(days % 7, &DAYS), nth(month - 1, &MONTHS));
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_cannot_break_out_of_their_attribute() {
        let options = CookieOptions::default().name("a=b; c\r\n").path("/x; Domain=evil\r\nX: 1").domain("\u{e9};");
        assert_eq!(
            options.removal(&[]),
            ["abc=; Path=/x Domain=evilX: 1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"]
        );
    }

    #[test]
    fn dates_stay_dates() {
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(http_date(951_782_400_000), "Tue, 29 Feb 2000 00:00:00 GMT");
    }

    #[test]
    fn a_session_without_its_middle_is_none() {
        let header = "pb_auth.0={\"token\":\"a; pb_auth.1=b; pb_auth.2=c\"}";
        assert_eq!(Session::from_cookies(header, "pb_auth").unwrap().token(), "abc");
        assert!(Session::from_cookies(&header.replace("pb_auth.1=b; ", ""), "pb_auth").is_none());
    }

    proptest::proptest! {
        #[test]
        fn importing_never_panics(header in ".*", value in "[%0-9a-fA-F\\{\\}\":a-z]*") {
            let _ = Session::from_cookies(&header, "pb_auth");
            let _ = Session::from_cookies(&format!("pb_auth={value}; pb_auth.0={value}; pb_auth.1={header}"), "pb_auth");
        }

        #[test]
        fn what_is_exported_is_imported(token in ".+", name in ".*", repeat in 0usize..300) {
            let record = Json::object([("name", Json::string(&name.repeat(repeat)))]);
            let session = Session::new(token.clone(), record.clone());
            let cookies = session.to_cookies(&CookieOptions::default(), &["pb_auth", "pb_auth.7000"]);
            let header: Vec<&str> = cookies.iter().filter_map(|cookie| cookie.split(';').next()).collect();
            let header: Vec<&str> = header.into_iter().filter(|cookie| !cookie.ends_with('=')).collect();
            let back = Session::from_cookies(&header.join("; "), "pb_auth").unwrap();
            proptest::prop_assert_eq!(back.token(), token);
            proptest::prop_assert_eq!(back.record_json(), &record);
        }
    }
}
