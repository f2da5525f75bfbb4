//! What a client may know of a token: the claims it can read, and when to ask for a new one.
//!
//! Tokens are JWTs (RFC 7519). A client cannot check their signature and does not try: it reads `exp` to know when to
//! refresh, and the ids to know whose it is.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use crate::{auth::Session, json::Json};

/// The shortest time before expiry at which a refresh runs, and the shortest time between two, in seconds.
const MINUTE: i64 = 60;

/// The claims of a token that matter to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Unix seconds; none if the token never says.
    pub(crate) exp: Option<i64>,
    pub(crate) id: Option<String>,
    pub(crate) collection_id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) refreshable: bool,
}

impl Claims {
    /// Reads the payload; none if this is not shaped like a JWT.
    pub(crate) fn read(token: &str) -> Option<Claims> {
        let mut parts = token.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let payload = Json::parse(base64url_decode(payload)?).ok().filter(Json::is_object)?;
        Some(Claims {
            exp: payload.get("exp").and_then(|exp| exp.floor()),
            id: payload.get_str("id"),
            collection_id: payload.get_str("collectionId"),
            kind: payload.get_str("type"),
            refreshable: payload.get("refreshable").and_then(|value| value.as_bool()) != Some(false),
        })
    }

    /// Does the local clock (Unix seconds) say that it has expired?
    pub(crate) fn expired(&self, now: i64) -> bool {
        self.exp.is_some_and(|exp| now >= exp)
    }

    /// A session of which only the token is known; its record has the ids that the token names.
    pub(crate) fn minimal_session(token: &str) -> Session {
        let claims = Claims::read(token);
        let id = |value: Option<String>| Json::string(&value.unwrap_or_default());
        let record = match claims {
            Some(claims) => Json::object([("id", id(claims.id)), ("collectionId", id(claims.collection_id))]),
            None => Json::null(),
        };
        Session::new(token.to_string(), record)
    }
}

/// What to do about a token before a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshAction {
    /// Use it.
    None,
    /// Use it, and refresh it meanwhile.
    Refresh,
    /// The local clock says it has expired: ask the server before it is used.
    AskFirst,
    /// It has expired and cannot be refreshed.
    Ended,
}

/// All times in Unix seconds. `received`: when the token came from the server or, if `loaded`, from a store;
/// `last_attempt`: the last refresh.
pub(crate) fn refresh_action(
    claims: &Claims,
    received: i64,
    loaded: bool,
    now: i64,
    last_attempt: Option<i64>,
) -> RefreshAction {
    let Some(exp) = claims.exp else { return RefreshAction::None };
    // The server had just issued it and the clock said it had expired: so the clock is wrong and says nothing.
    let clock_is_wrong = !loaded && received >= exp;
    if now >= exp && !clock_is_wrong {
        return if claims.refreshable { RefreshAction::AskFirst } else { RefreshAction::Ended };
    }
    if !claims.refreshable || last_attempt.is_some_and(|at| now.saturating_sub(at) < MINUTE && now >= at) {
        return RefreshAction::None;
    }
    let (life, left) = (exp.saturating_sub(received), exp.saturating_sub(now));
    let near = left < MINUTE || left.saturating_mul(10) < life;
    if near || clock_is_wrong { RefreshAction::Refresh } else { RefreshAction::None }
}

/// Base64url without padding (RFC 4648 §5); padding is tolerated. None where it is something else.
pub(crate) fn base64url_decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut have) = (0u32, 0u32);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from((bits >> have) & 0xff).ok()?);
        }
    }
    (have < 6).then_some(out)
}

/// Base64url without padding (RFC 4648 §5).
pub(crate) fn base64url_encode(bytes: &[u8]) -> String {
    let alphabet = |n: u32| {
        let n = u8::try_from(n & 63).unwrap_or(0);
        char::from(match n {
            0..=25 => b'A' + n,
            26..=51 => b'a' + (n - 26),
            52..=61 => b'0' + (n - 52),
            62 => b'-',
            _ => b'_',
        })
    };
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 4);
    for group in bytes.chunks(3) {
        let mut value = 0;
        for n in 0..3 {
            value = (value << 8) | u32::from(group.get(n).copied().unwrap_or(0));
        }
        for n in 0..=group.len() {
            out.push(alphabet(value >> (18 - 6 * n)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn base64_survives(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(base64url_decode(&base64url_encode(&bytes)), Some(bytes));
        }

        #[test]
        fn reading_never_panics(token in ".*\\..*\\..*") {
            let _ = Claims::read(&token);
        }

        #[test]
        fn reading_a_payload_never_panics(bytes: Vec<u8>, exp in "[-0-9.eE]{0,12}", rest in ".{0,40}") {
            for payload in [bytes, format!("{{\"exp\":{exp}}}").into_bytes(), format!("{{\"id\":{rest}").into_bytes()] {
                let token = format!("h.{}.s", base64url_encode(&payload));
                if let Some(claims) = Claims::read(&token) {
                    let _ = claims.expired(0);
                }
                let _ = Claims::minimal_session(&token);
            }
        }

        #[test]
        fn deciding_never_panics(exp: i64, received: i64, loaded: bool, now: i64, last: Option<i64>, refreshable: bool) {
            let claims = Claims { exp: Some(exp), id: None, collection_id: None, kind: None, refreshable };
            let _ = refresh_action(&claims, received, loaded, now, last);
        }
    }
}
