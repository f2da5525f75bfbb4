//! What comes over a connection that stays open.

use serde_json::{Value, json};

use super::text;
use crate::{error::Error, realtime::sse::Decoder};

pub(super) fn sse(given: &Value, _: &Value) -> Result<Value, Error> {
    let max = given["max"].as_u64().map_or(usize::MAX, |max| usize::try_from(max).unwrap());
    let mut decoder = Decoder::new(max);
    let mut messages = Vec::new();
    let mut too_long = false;
    for chunk in given["chunks"].as_array().unwrap() {
        let pushed = decoder.push(&bytes(chunk), |message| {
            messages.push(json!({"event": &*message.event, "id": &*message.id, "data": message.data}));
        });
        too_long |= pushed.is_err();
    }
    let retry_ms = decoder.retry().map(|retry| u64::try_from(retry.as_millis()).unwrap());
    Ok(json!({"messages": messages, "retry_ms": retry_ms, "too_long": too_long}))
}

fn bytes(chunk: &Value) -> Vec<u8> {
    match chunk.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let digits = text(chunk, "hex").as_bytes().chunks(2);
            digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
        }
    }
}
