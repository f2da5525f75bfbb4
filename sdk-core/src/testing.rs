//! Pure functions for the shared test vectors, for the tests of the bindings alone: what a language cannot see from
//! outside. Hidden, and not in what ships.

use alloc::{string::String, vec::Vec};

use crate::{
    Json,
    auth::token::{Claims, RefreshAction, refresh_action},
    error::Error,
    realtime::sse::Decoder,
    retry,
    url::fill_path,
};

/// Runs one case of a topic: its `in` to its `out`, or to `{"error": {…}}`. None for a topic that is not here.
#[must_use]
pub fn run(topic: &str, given: &Json) -> Option<Json> {
    let out = match topic {
        "redact" => Ok(Json::object([("url", Json::string(&crate::url::redact(&text(given, "url"))))])),
        "retry_after" => Ok(retry_after(given)),
        "backoff" => Ok(backoff(given)),
        "path" => path(given),
        "tokens" => Ok(tokens(given)),
        "refresh" => Ok(refresh(given)),
        "sse" => Ok(sse(given)),
        _ => return None,
    };
    Some(out.unwrap_or_else(|error| {
        let parts = [("kind", error.kind().as_str()), ("message", error.message()), ("fix", error.fix())];
        Json::object([("error", Json::object(parts.map(|(name, text)| (name, Json::string(text)))))])
    }))
}

fn text(given: &Json, name: &str) -> String {
    given.get(name).and_then(|value| value.as_str()).unwrap_or_default()
}

fn number(given: &Json, name: &str) -> Option<i64> {
    given.get(name).and_then(|value| value.as_i64())
}

fn flag(given: &Json, name: &str) -> bool {
    given.get(name).and_then(|value| value.as_bool()) == Some(true)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn maybe(number: Option<i64>) -> Json {
    number.map_or_else(Json::null, Json::int)
}

fn ms(time: core::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn retry_after(given: &Json) -> Json {
    let now = unsigned(number(given, "now").unwrap_or(0));
    let value = given.get("value").and_then(|value| value.as_str());
    let delay = value.and_then(|value| retry::retry_after(&value, now));
    Json::object([("delay_ms", maybe(delay.map(ms)))])
}

/// `random` in units of 2⁻³².
fn backoff(given: &Json) -> Json {
    let attempt = u32::try_from(number(given, "attempt").unwrap_or(0)).unwrap_or(u32::MAX);
    let random = unsigned(number(given, "random").unwrap_or(0));
    Json::object([("delay_ms", Json::int(ms(retry::backoff(attempt, random))))])
}

fn path(given: &Json) -> Result<Json, Error> {
    let params = given.get("params").map(|params| params.members()).unwrap_or_default();
    let params: Vec<(String, String)> =
        params.into_iter().map(|(name, value)| (name, value.as_str().unwrap_or_default())).collect();
    let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Ok(Json::object([("path", Json::string(&fill_path(&text(given, "template"), &params)?))]))
}

fn tokens(given: &Json) -> Json {
    let claims = Claims::read(&text(given, "token"));
    let now = number(given, "now").unwrap_or(0);
    let shown = |text: Option<&String>| text.map_or_else(Json::null, |text| Json::string(text));
    let of = |read: fn(&Claims) -> Option<&String>| shown(claims.as_ref().and_then(read));
    Json::object([
        ("valid_shape", Json::bool(claims.is_some())),
        ("exp", maybe(claims.as_ref().and_then(|claims| claims.exp))),
        ("id", of(|claims| claims.id.as_ref())),
        ("collection_id", of(|claims| claims.collection_id.as_ref())),
        ("type", of(|claims| claims.kind.as_ref())),
        ("refreshable", Json::bool(claims.as_ref().is_none_or(|claims| claims.refreshable))),
        ("expired", Json::bool(claims.as_ref().is_none_or(|claims| claims.expired(now)))),
    ])
}

fn refresh(given: &Json) -> Json {
    let claims = Claims {
        exp: number(given, "exp"),
        id: None,
        collection_id: None,
        kind: None,
        refreshable: flag(given, "refreshable"),
    };
    let (received, now) = (number(given, "received_at").unwrap_or(0), number(given, "now").unwrap_or(0));
    let action = match refresh_action(&claims, received, flag(given, "loaded"), now, number(given, "last_attempt_at")) {
        RefreshAction::None => "none",
        RefreshAction::Refresh => "refresh",
        RefreshAction::AskFirst => "ask_first",
        RefreshAction::Ended => "ended",
    };
    Json::object([("action", Json::string(action))])
}

fn sse(given: &Json) -> Json {
    let max = number(given, "max").map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    let mut decoder = Decoder::new(max);
    let (mut messages, mut too_long) = (Vec::new(), false);
    for chunk in given.get("chunks").map(|chunks| chunks.items()).unwrap_or_default() {
        let pushed = decoder.push(&bytes(&chunk), |message| {
            let parts = [("event", &*message.event), ("id", &*message.id), ("data", message.data.as_str())];
            messages.push(Json::object(parts.map(|(name, text)| (name, Json::string(text)))));
        });
        too_long |= pushed.is_err();
    }
    let (messages, retry) = (Json::array(messages), maybe(decoder.retry().map(ms)));
    Json::object([("messages", messages), ("retry_ms", retry), ("too_long", Json::bool(too_long))])
}

/// A chunk: text, or `{"hex": "…"}`.
fn bytes(chunk: &Json) -> Vec<u8> {
    let Some(hex) = chunk.get("hex").and_then(|hex| hex.as_str()) else {
        return chunk.as_str().unwrap_or_default().into_bytes();
    };
    let digits: Vec<char> = hex.chars().collect();
    let pair = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap_or(0);
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bindings_call_gives_what_the_core_gives() {
        let run = |topic: &str, given: &str| {
            run(topic, &Json::parse(given.to_string()).unwrap()).map(|out| out.as_text().to_string())
        };
        assert_eq!(run("backoff", r#"{"attempt": 1, "random": 2147483648}"#).unwrap(), r#"{"delay_ms":500}"#);
        assert_eq!(run("retry_after", r#"{"value": null, "now": 0}"#).unwrap(), r#"{"delay_ms":null}"#);
        assert_eq!(run("path", r#"{"template": "/a/{b}", "params": {"b": "c/d"}}"#).unwrap(), r#"{"path":"/a/c%2Fd"}"#);
        assert!(run("path", r#"{"template": "/a/{b}", "params": {"b": ".."}}"#).unwrap().contains("NotFound"));
        assert!(
            run("sse", r#"{"chunks": ["data:a\n\n", {"hex": "646174613a620a0a"}]}"#).unwrap().contains(r#""data":"b""#)
        );
        assert_eq!(run("nothing", "{}"), None);
    }
}
