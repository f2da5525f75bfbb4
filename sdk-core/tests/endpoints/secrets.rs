//! Passwords, tokens, keys and codes appear in no Debug, no log and no error.

use std::fmt::Debug;

use picobase::{
    Client,
    auth::{Credentials, MemoryStore},
    blocking,
    files::FileSource,
    runtime::BoxFuture,
    transport::{Failure, Method, Request, Response, Transport, TransportError},
};
use picobase_testkit::Proxy;
use serde_json::{Value, json};

use crate::common::{address, builder, kit, shown::Shown, user_id, within};

const PASSWORD: &str = "SentinelPassw0rd";
const KEY: &str = "pb_SentinelKey0123456789";

fn shown_client(shown: &Shown, url: &str) -> Client {
    let (calls, reports) = (shown.clone(), shown.clone());
    let builder = builder(url).api_key(KEY);
    shown.add(&builder);
    builder
        .before_call(move |call| {
            call.set_query("password", PASSWORD);
            call.headers.set("X-Secret", PASSWORD);
            calls.add(call);
        })
        .after_call(move |report| reports.add(report))
        .build()
        .unwrap()
}

#[tokio::test]
async fn passwords_tokens_and_the_key() {
    within(60, async {
        let proxy = kit().proxy().await;
        let shown = Shown::default();
        let _guard = shown.listen();
        let client = shown_client(&shown, &proxy.url);
        let email = address("secret");
        let sign_up = client.auth().sign_up(&email, PASSWORD);
        shown.add(&sign_up);
        let session = sign_up.await.unwrap().unwrap();
        let changes = client.auth().changes();
        let listener = client.auth().on_change({
            let shown = shown.clone();
            move |change| shown.add(change)
        });
        let refreshed = client.auth().refresh().await.unwrap();
        for part in [&client as &dyn Debug, &session, &session.record_json(), &client.auth(), &changes, &listener] {
            shown.add(part);
        }
        let file_token = protected_file(&shown, &client).await;
        show_calls(&shown, &client, &email);
        show_errors(&shown, &proxy, &client, &email).await;
        let secrets = [
            ("password", PASSWORD),
            ("key", KEY),
            ("token", session.token()),
            ("new token", refreshed.token()),
            ("file token", &file_token),
        ];
        shown.has_none_of(&secrets);
        assert!(shown.text().contains("call done"), "tracing was heard");
    })
    .await;
}

/// Shows what can be built with secrets and not sent.
fn show_calls(shown: &Shown, client: &Client, email: &str) {
    let auth = client.auth();
    let mut batch = client.batch();
    let body = json!({"password": PASSWORD, "passwordConfirm": PASSWORD});
    shown.add(&batch.collection("users").update("x", &body).query("token", PASSWORD).header("X-Secret", KEY));
    shown.add(&batch);
    let parts: [&dyn Debug; 12] = [
        &auth.sign_in(email, PASSWORD),
        &auth.confirm_password_reset(PASSWORD, PASSWORD),
        &auth.confirm_email_change(PASSWORD, PASSWORD),
        &client.collection("users").update("x", &body).header("Authorization", KEY),
        &client.collection("users").get_one("x").query("token", PASSWORD).header("X-Secret", KEY),
        &client.collection("users").get_full_list().query("token", PASSWORD).header("X-Secret", KEY),
        &client.collection("users").get_many(["x"]).query("token", PASSWORD).header("X-Secret", KEY),
        &client.send::<Value>(Method::Post, &format!("/api/x?token={PASSWORD}")).body(&body),
        &client.files().url(("a", "b"), "c").token(PASSWORD),
        &client.files().download(("a", "b"), "c").token(PASSWORD),
        &Credentials::new(email, PASSWORD),
        &builder("http://h").credentials(Credentials::new(email, PASSWORD)).store(MemoryStore::new()),
    ];
    for part in parts {
        shown.add(part);
    }
    shown.add(&client.settings().update::<Value>(&json!({"smtp": {"password": PASSWORD}})));
    shown.add(&blocking::Client::of(client.clone()));
    shown.add(&FileSource::bytes("a", PASSWORD));
}

/// Opens a protected file; answers its token.
async fn protected_file(shown: &Shown, client: &Client) -> String {
    let upload = client.files().upload("docs", FileSource::bytes("a.txt", "text")).field("doc");
    shown.add(&upload);
    let doc = upload.await.unwrap();
    let name = doc.get_str("doc").unwrap();
    let download = client.files().download(&doc, name).protected();
    shown.add(&download);
    let stream = download.stream().await.unwrap();
    shown.add(&stream);
    let token = client.files().get_token().await.unwrap();
    let wrong = client.files().download(&doc, "missing").token(&token).bytes().await.unwrap_err();
    assert!(wrong.url().unwrap().contains("token=***"), "{:?}", wrong.url());
    shown.add(&wrong);
    shown.add(&wrong.to_string());
    token
}

/// Shows the errors of calls that carry secrets: refused ones, broken ones, redirected ones.
async fn show_errors(shown: &Shown, proxy: &Proxy, client: &Client, email: &str) {
    let wrong = format!("{PASSWORD}{PASSWORD}");
    let query = format!("/api/nothing?token={PASSWORD}");
    let faults = [
        json!([]),
        json!([{"action": {"type": "reset", "when": "before_forward"}}]),
        json!([{"action": {"type": "redirect", "status": 307, "location": format!("http://127.0.0.1:9/x?token={PASSWORD}")}}]),
        json!([{"action": {"type": "respond", "status": 200, "body": "no json"}}]),
    ];
    for fault in faults {
        proxy.faults(fault).await;
        let errors = [
            client.auth().sign_in(email, &wrong).await.unwrap_err(),
            client.auth().confirm_password_reset(&wrong, PASSWORD).await.unwrap_err(),
            client.send::<Value>(Method::Post, &query).await.unwrap_err(),
            client.collection("users").update("x", &json!({"password": PASSWORD})).await.unwrap_err(),
        ];
        for error in &errors {
            shown.add(error);
            shown.add(&error.to_string());
            shown.add(&error.fix());
        }
    }
    proxy.clear_faults().await;
}

#[tokio::test]
async fn codes_and_oauth2() {
    within(60, async {
        let proxy = kit().proxy().await;
        let shown = Shown::default();
        let _guard = shown.listen();
        let client = shown_client(&shown, &proxy.url);
        let email = address("secret");
        let body = json!({"email": email, "password": PASSWORD, "passwordConfirm": PASSWORD});
        client.collection("secured").create(&body).await.unwrap();
        let auth = client.collection("secured").auth();
        let first = auth.sign_in(&email, PASSWORD).await.unwrap_err();
        shown.add(&first);
        let request = auth.request_otp(&email).await.unwrap();
        let code = kit().mail(&email).await.otp.unwrap();
        let second = auth.sign_in_with_otp(&request.otp_id, &code).mfa_id(first.mfa_id().unwrap());
        shown.add(&second);
        let session = second.await.unwrap();

        let start = client.auth().begin_oauth2("oidc", "http://127.0.0.1:9/cb").await.unwrap();
        shown.add(&start);
        let finish = client.auth().finish_oauth2("SentinelCode", &start.state);
        shown.add(&finish);
        shown.add(&finish.await.unwrap_err());
        shown.has_none_of(&[
            ("password", PASSWORD),
            ("one-time password", &code),
            ("token", session.token()),
            ("state", &start.state),
            ("OAuth2 code", "SentinelCode"),
            ("key", KEY),
        ]);
        assert_eq!(user_id(&client), session.user_id());
    })
    .await;
}

#[tokio::test]
async fn the_key_goes_with_calls_and_with_no_file_url() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = builder(&proxy.url).api_key(KEY).build().unwrap();
        client.collection("posts").get_list(1, 1).await.unwrap();
        let request = proxy.requests().await.remove(0);
        assert_eq!(request.headers["x-picobase-key"], KEY);
        assert_eq!(request.headers["authorization"], format!("Bearer {KEY}"));
        assert!(!client.files().url(("posts", "x"), "a.png").build().unwrap().contains(KEY));
        let shown = Shown::default();
        for key in [format!("{KEY}\n{KEY}"), format!("\"{KEY}\" x")] {
            let refused = builder(&proxy.url).api_key(&key).build().unwrap_err();
            shown.add(&refused);
            shown.add(&refused.to_string());
        }
        let with_password = builder(&format!("http://user:{PASSWORD}@127.0.0.1:9")).build();
        shown.add(&with_password);
        shown.has_none_of(&[("key", KEY), ("password", PASSWORD)]);
    })
    .await;
}

/// Shows each request, and answers none.
struct Showing(Shown);

impl Transport for Showing {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        self.0.add(&request);
        Box::pin(async { Err(TransportError::new(Failure::Invalid, "not sent")) })
    }
}

#[tokio::test]
async fn what_a_transport_of_ones_own_is_handed() {
    let shown = Shown::default();
    let client = builder("http://127.0.0.1:9").api_key(KEY).transport(Showing(shown.clone())).build().unwrap();
    shown.add(&client.auth().sign_in("a@example.com", PASSWORD).await);
    shown.add(&client.files().download(("a", "b"), "c").token(PASSWORD).bytes().await);
    shown.add(&client.collection("a").create(&json!({"x": PASSWORD})).file("f", FileSource::bytes("a", KEY)).await);
    assert!(shown.text().contains("Request {"));
    shown.has_none_of(&[("password", PASSWORD), ("key", KEY)]);
}
