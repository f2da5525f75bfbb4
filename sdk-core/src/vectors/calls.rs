//! Single calls: their headers, what an answer means, and what is tried again.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::{Map, Value, json};

use super::{sessions::FakeRuntime, text, texts};
use crate::{
    auth::{Session, token::Claims},
    call::{Sent, advised, check_headers, exchange},
    client::Client,
    endpoints::{self, Caller},
    error::Error,
    files::Source,
    json::Json,
    retry::{self, Outcome, Verdict, verdict},
    transport::{Body, Failure, Headers, MemoryTransport, Method, Request, Response},
};

fn headers_of(given: &Value) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in given.as_object().into_iter().flatten() {
        headers.set(name, value.as_str().unwrap());
    }
    headers
}

pub(super) fn headers(given: &Value, _: &Value) -> Result<Value, Error> {
    let runtime = FakeRuntime::new(1_800_000_000);
    runtime.set_browser(given["server_side"] == json!(false));
    let transport = MemoryTransport::new(|_| async { unreachable!("nothing is sent") });
    let mut builder = Client::builder().url("https://h").runtime(runtime.clone()).transport(transport);
    builder = builder.api_key(given["key"].as_str().unwrap_or_default());
    if let Some(language) = given["accept_language"].as_str() {
        builder = builder.accept_language(language);
    }
    let client = builder.build()?;
    let token = token_of(&client, &runtime, given)?;
    let own = headers_of(&given["user_headers"]);
    check_headers(&own)?;
    let sent = crate::call::headers(&client, &own, token.as_ref());
    let mut out = Map::new();
    for name in ["accept-language", "authorization", "x-picobase-key"] {
        if let Some(value) = sent.get(name) {
            out.insert(name.to_string(), json!(value));
        }
    }
    Ok(json!({"headers": out}))
}

/// The token that a call of that kind carries in that state of the session.
fn token_of(client: &Client, runtime: &FakeRuntime, given: &Value) -> Result<Option<Session>, Error> {
    let state = &client.session;
    let session = &given["session"];
    if let Some(token) = session["token"].as_str() {
        let session = Session::new(token.to_string(), Json::object([("id", Json::string("u1"))]));
        state.begin(client, &session).now_or_never().unwrap()?;
    } else {
        state.ready(client).now_or_never().unwrap()?;
    }
    match session["state"].as_str() {
        Some("expired") => {
            let exp = Claims::read(text(session, "token")).unwrap().exp.unwrap();
            runtime.set_now(u64::try_from(exp).unwrap());
        }
        Some("ended") => state.end(client, state.generation()).now_or_never().unwrap()?,
        _ => {}
    }
    let caller = match given["call"].as_str().unwrap_or("ordinary") {
        "ordinary" => Caller::Rule,
        "open" => Caller::Anyone,
        "question" => return Ok(Some(Session::new(text(session, "token").to_string(), Json::null()))),
        other => panic!("{other}"),
    };
    // A call that must wait for the question first has at most the token that may be sent right now.
    Ok(match state.authorize(client, caller)? {
        Some(authorized) => authorized.session,
        None => state.token_at_hand(client).session,
    })
}

/// What the core makes of one answer.
fn answered(status: u16, headers: Headers, body: &str, now: u64, method: Method, url: &str) -> Sent {
    let runtime = FakeRuntime::new(0);
    runtime.set_now_ms(now);
    let body = body.to_string();
    let transport = MemoryTransport::new(move |_| {
        let response = Response::new(status, headers.clone(), body.clone());
        async move { Ok(response) }
    });
    let client = Client::builder().url("https://h").runtime(runtime).transport(transport).build().unwrap();
    let sending = exchange(&client, false, Request::new(method, url));
    sending.now_or_never().unwrap()
}

pub(super) fn redirects(given: &Value, _: &Value) -> Result<Value, Error> {
    let mut headers = Headers::new();
    if let Some(location) = given["location"].as_str() {
        headers.set("Location", location);
    }
    let status = given["status"].as_u64().unwrap().try_into().unwrap();
    let url = format!("{}/api/health", text(given, "base"));
    match answered(status, headers, "", 0, Method::Get, &url) {
        Sent::Error(error, _) => Err(error.with_url(&url)),
        _ => Ok(Value::Null),
    }
}

pub(super) fn errors(given: &Value, wanted: &Value) -> Result<Value, Error> {
    let call = &given["call"];
    let mut headers = headers_of(&given["headers"]);
    if let Some(content_type) = given["content_type"].as_str() {
        headers.set("Content-Type", content_type);
    }
    let body = given["body"].as_str().map_or_else(|| given["body"].to_string(), str::to_string);
    let (status, now) = (given["status"].as_u64().unwrap().try_into().unwrap(), given["now"].as_u64().unwrap_or(0));
    let result =
        match answered(status, headers, &body, now, Method::named(text(call, "method")).unwrap(), text(call, "url")) {
            Sent::Error(error, _) => {
                let signs_in = text(given, "endpoint") == "auth";
                Err(advised(error, if signs_in { &endpoints::AUTH_PASSWORD } else { &endpoints::RECORDS_LIST }))
            }
            Sent::Answer(answer) => match text(given, "endpoint") {
                "json" => answer.decode::<Value>().map(|_| ()),
                "batch" => answer.decode::<Vec<Value>>().map(|_| ()),
                "auth" => answer.decode::<Json>().and_then(|json| Session::from_answer(&json)).map(|_| ()),
                "empty" => answer.nothing(),
                other => panic!("{other}"),
            },
            Sent::Response(_) | Sent::Failed(_) => panic!("no answer"),
        };
    Ok(match result {
        Ok(()) => json!({"ok": true}),
        Err(error) => shown(&error.with_url(text(call, "url")), wanted),
    })
}

/// An error as the vectors write it. Where they say what a text must mention, those that it does mention are told.
fn shown(error: &Error, wanted: &Value) -> Value {
    let mentioned = |text: &str, wanted: &Value| -> Vec<String> {
        texts(wanted).into_iter().filter(|m| text.contains(m)).map(str::to_string).collect()
    };
    let body = error.body().unwrap_or_default();
    let most = wanted["body_excerpt_max"].as_u64().unwrap_or(u64::MAX);
    let length = u64::try_from(body.chars().count()).unwrap();
    let fields: Map<String, Value> = error
        .fields()
        .iter()
        .map(|(name, field)| {
            let params = field.params.as_ref().map(|params| params.decode::<Value>().unwrap());
            (name.clone(), json!({"code": field.code, "message": field.message, "params": params}))
        })
        .collect();
    json!({
        "kind": error.kind().as_str(),
        "status": error.status(),
        "code": error.code(),
        "message": error.message(),
        "message_mentions": mentioned(error.message(), &wanted["message_mentions"]),
        "fields": fields,
        "mfa_id": error.mfa_id(),
        "retry_after_ms": error.retry_after().map(|delay| u64::try_from(delay.as_millis()).unwrap()),
        "item": error.item(),
        "url": error.url(),
        "has_fix": !error.fix().is_empty(),
        "fix_mentions": mentioned(error.fix(), &wanted["fix_mentions"]),
        "body_excerpt_mentions": mentioned(body, &wanted["body_excerpt_mentions"]),
        "body_excerpt_max": if length <= most { most } else { length },
    })
}

pub(super) fn retry_after(given: &Value, _: &Value) -> Result<Value, Error> {
    let now = given["now"].as_u64().unwrap();
    let delay = given["value"].as_str().and_then(|value| retry::retry_after(value, now));
    Ok(json!({"delay_ms": delay.map(|delay| u64::try_from(delay.as_millis()).unwrap())}))
}

pub(super) fn backoff(given: &Value, _: &Value) -> Result<Value, Error> {
    let attempt = u32::try_from(given["attempt"].as_u64().unwrap()).unwrap();
    // The core counts in units of 2⁻³².
    let random = (given["random"].as_f64().unwrap() * 4_294_967_296.0) as u64;
    Ok(json!({"delay_ms": u64::try_from(retry::backoff(attempt, random).as_millis()).unwrap()}))
}

pub(super) fn retry_policy(given: &Value, _: &Value) -> Result<Value, Error> {
    let outcome = match text(given, "outcome") {
        "refused" => Outcome::Failed(Failure::Refused),
        "broken" => Outcome::Failed(Failure::Broken),
        "tls" => Outcome::Failed(Failure::Tls),
        "unknown_host" => Outcome::Failed(Failure::UnknownHost),
        status => Outcome::Status(status.strip_prefix("status:").unwrap().parse().unwrap()),
    };
    let pieces = futures_util::stream::iter([Ok(Bytes::from_static(b"abc"))]);
    let source = match given["replayable"] == json!(true) {
        true => Source::bytes("abc"),
        false => Source::stream(None, pieces),
    };
    if given["bytes_taken"] == json!(true) {
        let mut reader = source.open(None).unwrap();
        let piece = futures_util::future::poll_fn(|cx| reader.poll_piece(cx)).now_or_never();
        assert!(matches!(piece, Some(Some(Ok(_)))));
    }
    let harmless = given["safe"] == json!(true) || Method::named(text(given, "method")).unwrap().is_read();
    let verdict = verdict(outcome, harmless);
    let again = verdict != Verdict::Done && Body::Raw(source).replayable();
    Ok(json!({"retry": again, "gate": if verdict == Verdict::Asleep { "close" } else { "none" }}))
}

#[test]
fn a_browser_is_known_by_its_runtime() {
    let runtime: Arc<FakeRuntime> = FakeRuntime::new(0);
    runtime.set_browser(true);
    let credentials = crate::auth::Credentials::new("service@example.com", "secret");
    let error = Client::builder().url("https://h").runtime(runtime).credentials(credentials).build().unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Configuration);
}
