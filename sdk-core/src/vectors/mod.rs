//! Runs the test vectors of the SDK family, `tests/vectors/*.json`, on the core.
//!
//! One test per topic, which tells every case that does not hold. What a topic's cases mean is said in the README of
//! the vectors; where the core has a function for it, a case calls that function and nothing else.

mod calls;
mod realtime;
mod sessions;
mod streams;
mod urls;
mod writes;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};

/// Runs one case: its `in`, and its `out` for topics that compare in ways of their own.
type Run = fn(&Value, &Value) -> Result<Value, Error>;

macro_rules! topics {
    ($($topic:ident: $run:path;)*) => {
        const TOPICS: &[&str] = &[$(stringify!($topic)),*];

        $(#[test]
        fn $topic() {
            hold(stringify!($topic), $run);
        })*
    };
}

topics! {
    base_url: urls::base_url;
    path: urls::path;
    query: urls::query;
    filter: urls::filter;
    file_urls: urls::file_urls;
    redact: urls::redact;
    redirects: calls::redirects;
    headers: calls::headers;
    errors: calls::errors;
    retry_after: calls::retry_after;
    backoff: calls::backoff;
    retry_policy: calls::retry_policy;
    tokens: sessions::tokens;
    refresh: sessions::refresh;
    cookies: sessions::cookies;
    session_life: sessions::session_life;
    multipart: writes::multipart;
    batch: writes::batch;
    sse: streams::sse;
    realtime: realtime::realtime;
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

fn read(file: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    assert!(text.is_ascii(), "{file} is not ASCII");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

#[test]
fn no_case_is_left_out() {
    let index = read("index.json");
    let files = index["files"].as_array().unwrap();
    let mut in_folder: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json") && name != "index.json")
        .collect();
    in_folder.sort_unstable();
    let mut in_index: Vec<&str> = files.iter().map(|file| text(file, "file")).collect();
    in_index.sort_unstable();
    assert_eq!(in_folder, in_index, "the index disagrees with the folder");
    let mut topics: Vec<&str> = files.iter().map(|file| text(file, "topic")).collect();
    topics.sort_unstable();
    let mut known = TOPICS.to_vec();
    known.sort_unstable();
    assert_eq!(topics, known, "a topic has no runner, or a runner no topic");
    let mut sum = 0;
    for file in files {
        let vectors = read(text(file, "file"));
        let cases = vectors["cases"].as_array().unwrap().len();
        assert_eq!((&vectors["vectors"], json!(cases)), (&file["topic"], file["cases"].clone()), "{file}");
        assert_eq!(vectors["contract"], file["contract"], "{file}");
        sum += cases;
    }
    assert_eq!(index["cases"], json!(sum));
}

/// Runs every case of a topic, and fails with all that do not hold.
fn hold(topic: &str, run: Run) {
    let file = format!("{topic}.json");
    let vectors = read(&file);
    let (mut failures, mut names) = (Vec::new(), Vec::new());
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let name = text(case, "name");
        assert!(!names.contains(&name), "{file}: two cases are called {name:?}");
        names.push(name);
        for need in texts(&case["needs"]) {
            assert_eq!(need, "ordered_objects", "{file}: {name}");
        }
        let came = std::panic::catch_unwind(|| run(&case["in"], &case["out"]));
        if let Some(why) = mistake(case, came) {
            failures.push(format!("{name}\n    in:   {}\n    {why}", case["in"]));
        }
    }
    assert!(failures.is_empty(), "{file}: {} of {} fail:\n  {}", failures.len(), cases.len(), failures.join("\n  "));
}

/// What is wrong with the result of a case, if anything.
fn mistake(case: &Value, came: std::thread::Result<Result<Value, Error>>) -> Option<String> {
    match (case.get("out"), case.get("error"), came) {
        (_, _, Err(_)) => Some("it panicked, see above".to_string()),
        (Some(out), None, Ok(Ok(came))) => {
            let differ = |(key, wanted): (&String, &Value)| !same(wanted, came.get(key).unwrap_or(&Value::Null));
            out.as_object().unwrap().iter().any(differ).then(|| format!("want: {out}\n    came: {came}"))
        }
        (Some(out), None, Ok(Err(error))) => Some(format!("want: {out}\n    came: {error:?}")),
        (None, Some(wanted), Ok(Ok(came))) => Some(format!("want: {wanted}\n    came: {came}")),
        (None, Some(wanted), Ok(Err(error))) => {
            let wrong = wrong_error(wanted, &error);
            (!wrong.is_empty()).then(|| format!("want: {wanted}\n    {wrong}: {error:?}"))
        }
        _ => Some("a case has `out` or `error`, and not both".to_string()),
    }
}

/// What of an error is not as wanted.
fn wrong_error(wanted: &Value, error: &Error) -> String {
    let mut wrong = Vec::new();
    if error.kind().as_str() != text(wanted, "kind") {
        wrong.push("other kind".to_string());
    }
    let said = format!("{} {}", error.message(), error.fix()).to_ascii_lowercase();
    let status = if error.kind() == ErrorKind::NotFound { 404 } else { 0 };
    if u64::from(error.status()) != wanted["status"].as_u64().unwrap_or(status) {
        wrong.push(format!("status {}", error.status()));
    }
    for mention in texts(&wanted["mentions"]) {
        if !said.contains(&mention.to_ascii_lowercase()) {
            wrong.push(format!("does not mention {mention:?}"));
        }
    }
    let shown = format!("{error} {error:?} {} {} {}", error.message(), error.fix(), error.url().unwrap_or_default());
    for secret in texts(&wanted["not_mentions"]) {
        if shown.contains(secret) {
            wrong.push(format!("mentions {secret:?}"));
        }
    }
    if wanted["fix"] == json!(true) && error.fix().is_empty() {
        wrong.push("has no fix".to_string());
    }
    wrong.join(", ")
}

/// Equal as JSON values: `1` is `1.0`, and the order of keys means nothing.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}
