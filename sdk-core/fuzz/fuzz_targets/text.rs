//! Headers, cookies, tokens, error bodies and URLs from outside: nothing panics, and what is written is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use picobase::{
    auth::{CookieOptions, Session},
    fuzzing,
    url::{BaseUrl, redact},
};

fuzz_target!(|input: (String, u64)| {
    let (text, number) = input;
    if let Some(delay) = fuzzing::retry_after(&text, number) {
        assert!(delay.as_secs() <= 86_400);
    }
    let _ = fuzzing::token_expired(&text, number as i64);
    let _ = fuzzing::error((number % 600) as u16, &text).to_string();
    let _ = redact(&text);
    if let Ok(base) = BaseUrl::parse(&text) {
        let again = BaseUrl::parse(base.as_str()).expect("a normalised URL is a URL");
        assert_eq!(again.as_str(), base.as_str());
    }
    assert_eq!(fuzzing::decode_percent(&fuzzing::encode_percent(&text)).as_ref(), Some(&text));
    if let Some(session) = Session::from_cookies(&text, "pb_auth") {
        let cookies = session.to_cookies(&CookieOptions::default(), &[]);
        assert!(cookies.iter().all(|cookie| cookie.len() <= 4096));
    }
});
