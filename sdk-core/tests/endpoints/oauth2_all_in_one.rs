//! Signing in through a provider's page, without an address of one's own to come back to.

use std::{
    collections::HashMap,
    future::IntoFuture,
    io::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt;
use picobase::{
    Client, ErrorKind, Record,
    auth::Session,
    blocking,
    runtime::BoxFuture,
    transport::{Request, ReqwestTransport, Response, ResponseBody, Transport, TransportError},
};
use picobase_testkit::{Cut, Proxy};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use tracing_subscriber::fmt::MakeWriter;

use crate::common::{
    PATIENCE, address, builder, calls, client, kit, new_user, password, superuser, unique, user_id, within,
};

/// Lets a browser visit the page, as this user of the provider.
fn browse(email: &str) -> impl FnOnce(&str) + Send + 'static + use<> {
    let hint = format!("&login_hint={email}");
    move |url| drop(visit(format!("{url}{hint}")))
}

/// Visits a page and follows it to the end; the end's status.
fn visit(url: String) -> JoinHandle<u16> {
    tokio::spawn(async move { reqwest::get(url).await.unwrap().status().as_u16() })
}

/// An opener that hands the address out.
fn hand_out() -> (impl FnOnce(&str) + Send + 'static, oneshot::Receiver<String>) {
    let (sender, receiver) = oneshot::channel();
    (move |url: &str| sender.send(url.to_string()).unwrap(), receiver)
}

fn parameters(url: &str) -> Vec<(String, String)> {
    reqwest::Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

fn parameter(url: &str, name: &str) -> Vec<String> {
    parameters(url).into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect()
}

/// Waits until no request is under way: streams are closed.
async fn until_idle(proxy: &Proxy) {
    let end = Instant::now() + PATIENCE;
    while proxy.stats().await.in_flight > 0 {
        assert!(Instant::now() < end, "the stream stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a sign-in listens for what the provider sends back, and so for its user.
async fn until_listening(proxy: &Proxy) {
    proxy.wait_for(1, PATIENCE, |r| r.method == "POST" && r.path == "/api/realtime").await;
}

fn email_of(session: &Session) -> String {
    session.record::<Record>().unwrap().get_str("email").unwrap().to_string()
}

#[tokio::test]
async fn a_new_user_and_the_same_user_again() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let mut changes = client.auth().changes();
        let email = address("one");
        let sign_in = client.auth().sign_in_with_oauth2("oidc", browse(&email)).create_data(&json!({"name": "Eve"}));
        let first = sign_in.await.unwrap();
        assert_eq!(email_of(&first), email);
        assert_eq!(client.auth().get_user().unwrap().get_str("name"), Some("Eve"));
        until_idle(&proxy).await;
        let log = proxy.requests().await;
        assert_eq!(calls(&log, "/api/realtime"), ["GET /api/realtime", "POST /api/realtime"]);
        assert_eq!(calls(&log, "oauth2-redirect").len(), 1);

        let again = crate::common::client(&proxy.url);
        let second = again.auth().sign_in_with_oauth2("oidc", browse(&email)).await.unwrap();
        assert_eq!(second.user_id(), first.user_id());
        let events: Vec<_> = (&mut changes).take(2).map(|change| change.event.as_str()).collect().await;
        assert_eq!(events, ["INITIAL_SESSION", "SIGNED_IN"]);
    })
    .await;
}

#[tokio::test]
async fn the_page_is_the_providers_with_our_state_challenge_and_scopes() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (open, url) = hand_out();
        let sign_in = client.auth().sign_in_with_oauth2("oidc", open).scopes(["openid", "a b"]);
        let sign_in = tokio::spawn(sign_in.into_future());
        let url = url.await.unwrap();
        assert_eq!(parameter(&url, "scope"), ["openid a b"]);
        assert_eq!(parameter(&url, "redirect_uri"), [format!("{}/api/oauth2-redirect", proxy.url)]);
        assert_eq!(parameter(&url, "code_challenge_method"), ["S256"]);
        let log = proxy.requests().await;
        let submit: Value =
            log.iter().find(|r| r.method == "POST").map(|r| serde_json::from_str(&r.body).unwrap()).unwrap();
        assert_eq!(parameter(&url, "state"), [submit["clientId"].as_str().unwrap()]);
        assert_eq!(submit["subscriptions"], json!(["@oauth2"]));
        assert_eq!(visit(format!("{url}&login_hint={}", address("scope"))).await.unwrap(), 200);
        sign_in.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_live_session_gets_the_account_linked() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, email) = new_user(&proxy.url).await;
        let id = user_id(&client);
        let linked = client.auth().sign_in_with_oauth2("oidc", browse(&address("linked"))).await.unwrap();
        assert_eq!((linked.user_id(), email_of(&linked)), (id.clone(), email));
        assert_eq!(client.auth().external_auths(&id).unwrap().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_ends_before_the_user_is_sent_anywhere() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let nobody = |_: &str| panic!("there is no page to open");
        let unknown = client.auth().sign_in_with_oauth2("github", nobody).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        assert!(unknown.fix().contains("oidc"), "{}", unknown.fix());
        proxy.clear_requests().await;
        let no_json = HashMap::from([((1, 2), 3)]);
        let mistake = client.auth().sign_in_with_oauth2("oidc", nobody).create_data(&no_json).await.unwrap_err();
        assert_eq!(mistake.kind(), ErrorKind::Validation);
        assert!(proxy.requests().await.is_empty());
        let refused =
            json!([{"path": "/api/realtime", "method": "POST", "action": {"type": "respond", "status": 400}}]);
        proxy.faults(refused).await;
        let refused = client.auth().sign_in_with_oauth2("oidc", nobody).await.unwrap_err();
        assert_eq!((refused.kind(), refused.status()), (ErrorKind::Validation, 400));
        until_idle(&proxy).await;
        proxy.faults(json!([{"path": "/api/realtime", "action": {"type": "truncate", "bytes": 0}}])).await;
        let cut = client.auth().sign_in_with_oauth2("oidc", nobody).await.unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::Network, "{cut}");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_of_the_provider() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        kit().oauth_user(json!({"sub": unique("sub"), "email": address("denied"), "deny": true})).await;
        let denied = client.auth().sign_in_with_oauth2("oidc", |url| drop(visit(url.to_string()))).await.unwrap_err();
        kit().control("DELETE", "/oauth/user", None).await;
        assert_eq!(denied.kind(), ErrorKind::Validation);
        assert!(denied.message().contains("access_denied"), "{denied}");
        assert!(client.auth().session().is_none());
        assert!(calls(&proxy.requests().await, "auth-with-oauth2").is_empty());
        until_idle(&proxy).await;
    })
    .await;
}

#[tokio::test]
async fn what_the_server_refuses() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (open, url) = hand_out();
        let sign_in = tokio::spawn(client.auth().sign_in_with_oauth2("oidc", open).into_future());
        let url = url.await.unwrap();
        let state = parameter(&url, "state").remove(0);
        let forged = format!("{}/api/oauth2-redirect?state={state}&code=forged", proxy.url);
        visit(forged).await.unwrap();
        let refused = sign_in.await.unwrap().unwrap_err();
        assert_eq!((refused.kind(), refused.status()), (ErrorKind::Validation, 400), "{refused}");
        assert!(client.auth().session().is_none());
    })
    .await;
}

/// A transport on which the events have another text than the server sent.
struct Tampering {
    inner: ReqwestTransport,
    from: &'static str,
    to: &'static str,
}

struct Tampered {
    inner: Box<dyn ResponseBody>,
    from: &'static str,
    to: &'static str,
}

impl Transport for Tampering {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let stream = request.url.ends_with("/api/realtime");
        Box::pin(async move {
            let mut response = self.inner.send(request).await?;
            if stream {
                let (from, to) = (self.from, self.to);
                response.body = Box::new(Tampered { inner: response.body, from, to });
            }
            Ok(response)
        })
    }
}

impl ResponseBody for Tampered {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        Box::pin(async {
            let chunk = self.inner.chunk().await?;
            Ok(chunk.map(|chunk| String::from_utf8_lossy(&chunk).replace(self.from, self.to).into()))
        })
    }
}

fn tampering(url: &str, from: &'static str, to: &'static str) -> Client {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    builder(url).transport(Tampering { inner: ReqwestTransport::new(http), from, to }).build().unwrap()
}

#[tokio::test]
async fn an_answer_that_is_not_for_this_sign_in() {
    within(60, async {
        let proxy = kit().proxy().await;
        let cases = [
            ("\"state\":\"", "\"state\":\"x", ErrorKind::Validation),
            ("\"state\":", "\"other\":", ErrorKind::Validation),
            ("\"code\":", "\"other\":", ErrorKind::Validation),
            ("\"state\":", "\"state\"", ErrorKind::Decode),
        ];
        for (from, to, kind) in cases {
            let client = tampering(&proxy.url, from, to);
            let email = address("forged");
            let error = client.auth().sign_in_with_oauth2("oidc", browse(&email)).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{to}: {error}");
            assert!(error.body().is_none_or(str::is_empty), "a code may be in {:?}", error.body());
            assert!(client.auth().session().is_none());
        }
        assert!(calls(&proxy.requests().await, "auth-with-oauth2").is_empty());
        until_idle(&proxy).await;
    })
    .await;
}

#[tokio::test]
async fn a_user_who_does_not_come_back() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let sign_in = client.auth().sign_in_with_oauth2("oidc", |_| {}).timeout(Duration::from_millis(400));
        let start = Instant::now();
        let late = sign_in.await.unwrap_err();
        assert!(start.elapsed() >= Duration::from_millis(400));
        assert_eq!(late.kind(), ErrorKind::Timeout);
        assert!(late.fix().contains("again"), "{}", late.fix());
        until_idle(&proxy).await;
    })
    .await;
}

#[tokio::test]
async fn the_time_is_the_users_alone() {
    within(60, async {
        let proxy = kit().proxy().await;
        proxy.faults(json!([{"path_contains": "auth-with-oauth2", "action": {"type": "delay", "ms": 1500}}])).await;
        let client = client(&proxy.url);
        let sign_in = client.auth().sign_in_with_oauth2("oidc", browse(&address("slow")));
        sign_in.timeout(Duration::from_millis(1400)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn who_drops_the_sign_in_closes_its_stream() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (open, url) = hand_out();
        let sign_in = tokio::spawn(client.auth().sign_in_with_oauth2("oidc", open).into_future());
        let url = url.await.unwrap();
        assert_eq!(proxy.stats().await.in_flight, 1);
        sign_in.abort();
        assert!(sign_in.await.unwrap_err().is_cancelled());
        until_idle(&proxy).await;
        // Whoever comes back later signs nobody in.
        visit(format!("{url}&login_hint={}", address("late"))).await.unwrap();
        assert!(calls(&proxy.requests().await, "auth-with-oauth2").is_empty());
        assert!(client.auth().session().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_breaks_while_the_user_is_away() {
    within(60, async {
        let proxy = kit().proxy().await;
        for how in [Cut::Reset, Cut::Close] {
            proxy.clear_requests().await;
            let client = client(&proxy.url);
            let sign_in = tokio::spawn(client.auth().sign_in_with_oauth2("oidc", |_| {}).into_future());
            until_listening(&proxy).await;
            assert_eq!(proxy.cut_path(how, "/realtime").await, 1);
            let broken = within(5, sign_in).await.unwrap().unwrap_err();
            assert_eq!(broken.kind(), ErrorKind::Network);
            assert!(broken.fix().contains("again"), "{}", broken.fix());
        }
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_wakes_up_first() {
    within(60, async {
        let proxy = kit().proxy().await;
        proxy.faults(json!([{"times": 2, "action": {"type": "respond", "status": 503}}])).await;
        let client = client(&proxy.url);
        client.auth().sign_in_with_oauth2("oidc", browse(&address("cold"))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn after_a_session_has_ended() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, email) = new_user(&proxy.url).await;
        // A changed address makes all tokens of its user invalid.
        let root = superuser(&proxy.url).await;
        let body = json!({"email": address("changed"), "verified": true});
        root.collection("users").update(&user_id(&client), &body).await.unwrap();
        assert_eq!(client.auth().refresh().await.unwrap_err().kind(), ErrorKind::SessionExpired);
        assert_eq!(client.collection("posts").get_list(1, 1).await.unwrap_err().kind(), ErrorKind::SessionExpired);
        let session = client.auth().sign_in_with_oauth2("oidc", browse(&email)).await.unwrap();
        assert_eq!(email_of(&session), email);
    })
    .await;
}

/// Turns the provider on for `secured`, who needs two factors.
async fn two_factors(root: &Client) {
    let oauth = &kit().info().oauth;
    let provider = json!({
        "name": "oidc", "clientId": oauth.client_id, "clientSecret": oauth.client_secret, "pkce": true,
        "authURL": oauth.authorize_url, "tokenURL": oauth.token_url, "userInfoURL": oauth.userinfo_url,
    });
    let body = json!({"oauth2": {"enabled": true, "providers": [provider]}});
    root.collections().update::<Value>("secured", &body).await.unwrap();
}

#[tokio::test]
async fn as_either_of_two_factors() {
    within(60, async {
        let server = kit().server().await;
        let root = superuser(&server.url).await;
        two_factors(&root).await;
        let client = client(&server.url);
        let email = address("mfa");
        let body = json!({"email": email, "password": password(), "passwordConfirm": password(), "verified": true});
        root.collection("secured").create(&body).await.unwrap();
        let auth = client.collection("secured").auth();

        let first = auth.sign_in_with_oauth2("oidc", browse(&email)).await.unwrap_err();
        assert_eq!(first.kind(), ErrorKind::MfaRequired);
        let session = auth.sign_in(&email, password()).mfa_id(first.mfa_id().unwrap()).await.unwrap();

        client.auth().sign_out().await.unwrap();
        let first = auth.sign_in(&email, password()).await.unwrap_err();
        let second = auth.sign_in_with_oauth2("oidc", browse(&email)).mfa_id(first.mfa_id().unwrap());
        assert_eq!(second.await.unwrap().user_id(), session.user_id());
    })
    .await;
}

#[test]
fn without_async() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let proxy = runtime.block_on(kit().proxy());
    let db = blocking::Client::build(builder(&proxy.url)).unwrap();
    let email = address("blocking");
    let browser = runtime.handle().clone();
    let hint = format!("&login_hint={email}");
    let open = move |url: &str| drop(browser.spawn(reqwest::get(format!("{url}{hint}"))));
    let session = db.run(db.auth().sign_in_with_oauth2("oidc", open)).unwrap();
    assert_eq!(email_of(&session), email);
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_shown() {
    within(60, async {
        let proxy = kit().proxy().await;
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(log.clone());
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        let mut shown = log.clone();
        let mut shows = |text: String| shown.write_all(text.as_bytes()).unwrap();

        let client = client(&proxy.url);
        let (open, url) = hand_out();
        let sign_in = client.auth().sign_in_with_oauth2("oidc", open).mfa_id("SentinelMfa").scopes(["SentinelScope"]);
        shows(format!("{sign_in:?} {sign_in:#?}"));
        let sign_in = tokio::spawn(sign_in.into_future());
        let url = url.await.unwrap();
        let state = parameter(&url, "state").remove(0);
        visit(format!("{}/api/oauth2-redirect?state={state}&code=SentinelCode", proxy.url)).await.unwrap();
        let error = sign_in.await.unwrap().unwrap_err();
        shows(format!("{error} {error:?} {error:#?} {}", error.fix()));
        let exchange: Vec<_> =
            proxy.requests().await.into_iter().filter(|r| r.path.ends_with("auth-with-oauth2")).collect();
        let sent: Value = serde_json::from_str(&exchange[0].body).unwrap();
        assert_eq!(sent["code"], "SentinelCode", "the code arrived");
        let verifier = sent["codeVerifier"].as_str().unwrap();
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("call done"), "tracing was heard");
        for secret in ["SentinelCode", "SentinelMfa", "SentinelScope", verifier, &state] {
            assert!(secret.len() > 8 && !text.contains(secret), "{secret} is shown");
        }
    })
    .await;
}
