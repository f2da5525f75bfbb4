//! Filters with values put in safely.
//!
//! A filter is the server's own language (`title ~ "rust" && created > "2026-01-01"`). Values from users belong in
//! `{:name}` placeholders, never in the text: [`filter`] quotes them so that they can only ever be values.
//!
//! One limit is the server's: it looks for `@request.` in the whole filter, quoted values included, and answers 403 to
//! everyone but superusers where it finds it.

use alloc::string::String;

#[cfg(feature = "std")]
use crate::url::{NOT_FINITE, plain_decimals};
use crate::{
    error::Error,
    url::{NO_DATE, QueryValue, TOO_LONG, date, decimal, has, json_number, quoted},
};

/// Which escapes the server's filter literals understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FilterDialect {
    /// Server 0.39.9 and newer: a backslash is written twice.
    #[default]
    Backslash,
    /// Server 0.39.8 and older: backslashes are plain characters, only the quote is escaped.
    Plain,
}

impl FilterDialect {
    /// The dialect of a server version such as `0.36.9`.
    ///
    /// # Errors
    /// Kind `Configuration` where that is no version.
    ///
    /// ```
    /// use picobase::filter::FilterDialect;
    /// assert_eq!(FilterDialect::of_server("0.39.8")?, FilterDialect::Plain);
    /// assert_eq!(FilterDialect::of_server("v0.40.6")?, FilterDialect::Backslash);
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn of_server(version: &str) -> Result<FilterDialect, Error> {
        let parse = || {
            let mut parts = version.trim().trim_start_matches('v').splitn(3, '.');
            let mut next = || {
                parts
                    .next()
                    .unwrap_or("0")
                    .split(['-', '+'])
                    .next()?
                    .parse::<u64>()
                    .ok()
                    .and_then(|n| u32::try_from(n).ok())
            };
            Some((next()?, next()?, next()?))
        };
        match parse() {
            Some(version) if version >= (0, 39, 9) => Ok(FilterDialect::Backslash),
            Some(_) => Ok(FilterDialect::Plain),
            None => Err(Error::configuration([&quoted(version), " is not a server version"].concat())
                .with_fix("Write it like 0.40.6, or leave it out for the newest.")),
        }
    }
}

/// Puts values into the `{:name}` placeholders of a filter, for a server of version 0.39.9 or newer. See
/// [`filter_for`] for older ones, or set `server_version` on the client and use
/// [`Client::filter`](crate::Client::filter).
///
/// Text is quoted, dates become `"YYYY-MM-DD HH:MM:SS.mmmZ"`, numbers are written in plain decimals. Values are never
/// looked at again: one that contains `{:other}` stays as it is.
///
/// # Errors
/// Kind `Validation` for a placeholder that has no value or stands inside quotes, for numbers that are not finite, and
/// for NUL characters.
///
/// ```
/// use picobase::{filter, params};
/// let filter = filter("title ~ {:title} && views > {:views}", params! { "title" => "\"hi\"", "views" => 3 })?;
/// assert_eq!(filter, r#"title ~ "\"hi\"" && views > 3"#);
/// # Ok::<(), picobase::Error>(())
/// ```
pub fn filter<'a>(template: &str, params: impl IntoIterator<Item = (&'a str, QueryValue)>) -> Result<String, Error> {
    filter_for(FilterDialect::default(), template, params)
}

/// [`filter`] for a server of a given [`FilterDialect`].
///
/// # Errors
/// As [`filter`]; with [`FilterDialect::Plain`] also for text that ends in a backslash, which those servers cannot
/// express.
///
/// ```
/// use picobase::{filter::{filter_for, FilterDialect}, params};
/// let filter = filter_for(FilterDialect::Plain, "path = {:p}", params! { "p" => r"a\b" })?;
/// assert_eq!(filter, r#"path = "a\b""#);
/// # Ok::<(), picobase::Error>(())
/// ```
pub fn filter_for<'a>(
    dialect: FilterDialect,
    template: &str,
    params: impl IntoIterator<Item = (&'a str, QueryValue)>,
) -> Result<String, Error> {
    let params: alloc::vec::Vec<(&str, QueryValue)> = params.into_iter().collect();
    let mut out = String::with_capacity(template.len() + 32);
    let mut place = Place::Code;
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        if let Some((name, after)) = placeholder(rest) {
            if place != Place::Code {
                return Err(Error::validation(about("the placeholder {:", name, "} stands inside ") + place.noun())
                    .with_fix(about("Write it without quotes: {:", name, "}. The value brings its own.")));
            }
            let Some((_, value)) = params.iter().find(|(key, _)| *key == name) else {
                return Err(Error::validation(about("the placeholder {:", name, "} has no value")).with_fix(about(
                    "Pass a value named ",
                    name,
                    ".",
                )));
            };
            push_value(&mut out, dialect, name, value)?;
            rest = after;
            continue;
        }
        let taken = place.step(dialect, c, rest);
        let (done, after) = rest.split_at_checked(taken).unwrap_or((rest, ""));
        out.push_str(done);
        rest = after;
    }
    Ok(out)
}

/// Values for the placeholders of a [`filter`].
///
/// ```
/// use picobase::{filter, params};
/// assert_eq!(filter("a = {:a} && b = {:b}", params! { "a" => true, "b" => None::<&str> })?, "a = true && b = null");
/// # Ok::<(), picobase::Error>(())
/// ```
#[macro_export]
macro_rules! params {
    ($($name:expr => $value:expr),* $(,)?) => {
        [$(($name, $crate::url::QueryValue::from($value))),*]
    };
}

/// Where in a filter a character stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Code,
    Quoted(char),
    Comment,
}

impl Place {
    fn noun(self) -> &'static str {
        match self {
            Place::Comment => "a comment",
            _ => "quotes",
        }
    }

    /// Moves past `c`, the first character of `rest`; answers how many bytes were passed.
    fn step(&mut self, dialect: FilterDialect, c: char, rest: &str) -> usize {
        match (*self, c) {
            (Place::Code, '"' | '\'') => *self = Place::Quoted(c),
            (Place::Code, '/') if rest.starts_with("//") => *self = Place::Comment,
            (Place::Comment, '\n') => *self = Place::Code,
            (Place::Quoted(quote), '\\') => {
                let escaped = rest.chars().nth(1).filter(|next| dialect == FilterDialect::Backslash || *next == quote);
                return 1 + escaped.map_or(0, char::len_utf8);
            }
            (Place::Quoted(quote), c) if c == quote => *self = Place::Code,
            _ => {}
        }
        c.len_utf8()
    }
}

/// A `{:name}` at the start of `text`, and what follows it.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix("{:")?.split_once('}')?;
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    valid.then_some((name, after))
}

fn push_value(out: &mut String, dialect: FilterDialect, name: &str, value: &QueryValue) -> Result<(), Error> {
    match value {
        QueryValue::Null => out.push_str("null"),
        QueryValue::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        QueryValue::Int(value) => out.push_str(&decimal(*value)),
        #[cfg(feature = "std")]
        QueryValue::Float(value) if !value.is_finite() => return Err(unwritable(name, NOT_FINITE)),
        #[cfg(feature = "std")]
        QueryValue::Float(value) => out.push_str(&plain_decimals(*value)),
        QueryValue::Date(at) => {
            let date = date(*at).ok_or_else(|| unwritable(name, NO_DATE))?;
            push_literal(out, dialect, name, &date)?;
        }
        QueryValue::Text(text) => push_literal(out, dialect, name, text)?,
        QueryValue::Json(json) => push_json(out, dialect, name, json)?,
    }
    Ok(())
}

/// JSON scalars are the values they say; arrays and objects are compared as their text.
fn push_json(out: &mut String, dialect: FilterDialect, name: &str, json: &crate::json::Json) -> Result<(), Error> {
    if let Some(text) = json.as_str() {
        return push_literal(out, dialect, name, &text);
    }
    if json.is_null() || json.as_bool().is_some() {
        out.push_str(json.as_text().trim());
        return Ok(());
    }
    if json.is_number() {
        out.push_str(&json_number(json.as_text().trim()).ok_or_else(|| unwritable(name, TOO_LONG))?);
        return Ok(());
    }
    push_literal(out, dialect, name, json.compact().as_text())
}

/// A sentence about the placeholder of that name.
fn about(before: &str, name: &str, after: &str) -> String {
    [before, name, after].concat()
}

fn unwritable(name: &str, why: &str) -> Error {
    Error::validation(about("the value for {:", name, "} is ") + why).with_fix("Pass another value.")
}

/// A string literal in double quotes.
fn push_literal(out: &mut String, dialect: FilterDialect, name: &str, text: &str) -> Result<(), Error> {
    if has(text, "\0") {
        return Err(Error::validation(about("the text for {:", name, "} has a NUL character"))
            .with_fix("The server refuses NUL in filters; take it out of the value."));
    }
    if dialect == FilterDialect::Plain && text.ends_with('\\') {
        return Err(Error::validation(about("the text for {:", name, "} ends in a backslash")).with_fix(
            "Servers up to 0.39.8 cannot express that; update the server, or compare with ~ and leave the last backslash out.",
        ));
    }
    out.push('"');
    for c in text.chars() {
        if c == '"' || (c == '\\' && dialect == FilterDialect::Backslash) {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Ok(())
}
