//! What the fuzz targets call: everything that reads text from outside. Built with `--cfg fuzzing` only.

use alloc::string::String;
use core::time::Duration;

use crate::{Error, auth::token::Claims, retry};

/// Reads a Retry-After header.
pub fn retry_after(value: &str, now: u64) -> Option<Duration> {
    retry::retry_after(value, now)
}

/// Reads a token; says whether it has expired at `now`, in Unix seconds.
pub fn token_expired(token: &str, now: i64) -> Option<bool> {
    Claims::read(token).map(|claims| claims.expired(now))
}

/// Makes the error of an answer.
pub fn error(status: u16, body: &str) -> Error {
    Error::from_answer(status, None, body)
}

/// Undoes percent-encoding.
pub fn decode_percent(text: &str) -> Option<String> {
    crate::url::decode_percent(text)
}

/// Percent-encodes.
pub fn encode_percent(text: &str) -> String {
    let mut out = String::new();
    crate::url::push_encoded(&mut out, text);
    out
}
