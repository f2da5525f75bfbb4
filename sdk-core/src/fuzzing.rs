//! What the fuzz targets call: everything that reads text from outside. Built with `--cfg fuzzing` only.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use crate::{Error, auth::token::Claims, realtime::sse::Decoder, retry};

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

/// What came of a text/event-stream.
#[derive(Debug, PartialEq, Eq)]
pub struct EventStream {
    /// Event, id and data of each message.
    pub messages: Vec<[String; 3]>,
    /// The last `retry`.
    pub retry: Option<Duration>,
    /// Whether it was given up.
    pub too_long: bool,
}

/// Reads a text/event-stream that comes in these chunks. `held` is told the bytes that wait after each.
pub fn event_stream<'a>(
    max: usize,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    mut held: impl FnMut(usize),
) -> EventStream {
    let mut decoder = Decoder::new(max);
    let (mut messages, mut too_long) = (Vec::new(), false);
    for chunk in chunks {
        let pushed = decoder
            .push(chunk, |message| messages.push([message.event.to_string(), message.id.to_string(), message.data]));
        too_long |= pushed.is_err();
        held(decoder.held());
    }
    EventStream { messages, retry: decoder.retry(), too_long }
}
