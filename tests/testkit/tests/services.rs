//! Mail, OAuth2 and TLS.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{End, HEALTH, PATIENCE, Raw, SILENCE, call};
use picobase_testkit::{Proxy, Testkit};
use serde_json::json;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

#[tokio::test]
async fn a_verification_mail_carries_the_token_that_verifies() {
    let kit = Testkit::shared();
    let url = &kit.info().url;
    let email = "verify-me@example.com";
    let user = json!({"email": email, "password": "12345678", "passwordConfirm": "12345678"}).to_string();
    let made = call(url, "POST", "/api/collections/users/records", &user).await.json();
    assert_eq!(made["verified"], false);
    let ask = json!({"email": email}).to_string();
    assert_eq!(call(url, "POST", "/api/collections/users/request-verification", &ask).await.status(), 204);
    let mail = kit.mail(email).await;
    assert_eq!((mail.from.as_str(), mail.to[0].as_str()), ("testkit@example.com", email));
    assert!(mail.subject.contains("Verify") && mail.html.contains("<html") && !mail.text.is_empty());
    let token = mail.token.unwrap();
    assert!(mail.links.iter().any(|link| link.starts_with(url.as_str()) && link.contains(&token)), "{:?}", mail.links);
    let confirm = json!({"token": token}).to_string();
    assert_eq!(call(url, "POST", "/api/collections/users/confirm-verification", &confirm).await.status(), 204);
    let path = format!("/api/collections/users/records/{}", made["id"].as_str().unwrap());
    assert_eq!(kit.default_server().admin("GET", &path, None).await.body["verified"], true);
}

#[tokio::test]
async fn one_time_passwords_and_subjects_are_found() {
    let kit = Testkit::shared();
    let email = "secured@example.com";
    let ask = json!({"email": email}).to_string();
    let asked = call(&kit.info().url, "POST", "/api/collections/secured/request-otp", &ask).await.json();
    let mail = kit.find_mail(email, "OTP", PATIENCE).await.unwrap();
    let otp = mail.otp.unwrap();
    let body = json!({"otpId": asked["otpId"], "password": otp}).to_string();
    let first = call(&kit.info().url, "POST", "/api/collections/secured/auth-with-otp", &body).await;
    assert_eq!((first.status(), first.json()["mfaId"].is_string()), (401, true), "{otp}");
    let none = kit.find_mail(email, "no such subject", Duration::from_millis(50)).await;
    assert!(none.is_none());
    assert!(kit.find_mail("nobody@example.com", "", Duration::ZERO).await.is_none());
}

/// The challenge for `a-verifier-of-at-least-forty-three-characters-0`.
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-0";

fn challenge() -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(VERIFIER))
}

/// Signs in at the provider and returns the parameters that it sends back.
async fn authorize(extra: &str) -> std::collections::HashMap<String, String> {
    let oauth = &Testkit::shared().info().oauth;
    let (base, path) = oauth.authorize_url.split_once("/oauth/").unwrap();
    let path = format!(
        "/oauth/{path}?response_type=code&client_id={}&state=s1&code_challenge={}&code_challenge_method=S256\
         &redirect_uri=http%3A%2F%2Fapp.example%2Fback{extra}",
        oauth.client_id,
        challenge()
    );
    let seen = call(base, "GET", &path, "").await;
    assert_eq!(seen.status(), 302, "{seen:?}");
    let target = url::Url::parse(seen.header("location").unwrap()).unwrap();
    assert_eq!(target.host_str(), Some("app.example"));
    target.query_pairs().into_owned().collect()
}

async fn exchange(code: &str, verifier: &str) -> common::Seen {
    let body = json!({
        "provider": "oidc", "code": code, "codeVerifier": verifier, "redirectURL": "http://app.example/back",
    });
    call(&Testkit::shared().info().url, "POST", "/api/collections/users/auth-with-oauth2", &body.to_string()).await
}

#[tokio::test]
async fn the_oauth2_code_flow_signs_in() {
    let kit = Testkit::shared();
    let methods = call(&kit.info().url, "GET", "/api/collections/users/auth-methods", "").await.json();
    let provider = &methods["oauth2"]["providers"][0];
    assert_eq!(provider["name"], "oidc");
    assert!(provider["authURL"].as_str().unwrap().starts_with(&kit.info().oauth.authorize_url));

    let back = authorize("&login_hint=flow%40example.com").await;
    assert_eq!(back["state"], "s1");
    let session = exchange(&back["code"], VERIFIER).await;
    assert_eq!(session.status(), 200, "{session:?}");
    assert_eq!(session.json()["record"]["email"], "flow@example.com");
    assert_eq!(session.json()["meta"]["isNew"], true);

    let other = authorize("&login_hint=flow%40example.com").await;
    assert_eq!(exchange(&other["code"], "another-verifier-that-is-quite-long-enough-too").await.status(), 400);
    assert_eq!(exchange(&back["code"], VERIFIER).await.status(), 400, "codes work once");
    let requests = kit.oauth_requests().await;
    assert!(requests.iter().any(|one| one["endpoint"] == "token" && one["parameters"]["code_verifier"] == VERIFIER));

    kit.oauth_user(json!({"sub": "42", "email": "set@example.com", "name": "Set"})).await;
    let session = exchange(&authorize("").await["code"], VERIFIER).await.json();
    assert_eq!((&session["record"]["email"], &session["meta"]["id"]), (&json!("set@example.com"), &json!("42")));
    kit.oauth_user(json!({"sub": "42", "email": "set@example.com", "deny": true})).await;
    assert_eq!(authorize("").await["error"], "access_denied");
}

#[tokio::test]
async fn the_provider_insists_on_pkce() {
    let oauth = &Testkit::shared().info().oauth;
    let (base, path) = oauth.authorize_url.split_once("/oauth/").unwrap();
    let path = format!("/oauth/{path}?client_id={}&redirect_uri=http%3A%2F%2Fapp.example", oauth.client_id);
    assert_eq!(call(base, "GET", &path, "").await.status(), 400);
}

async fn handshake(proxy: &Proxy, trusted: bool) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    if trusted {
        let authority = CertificateDer::from_pem_file(&Testkit::shared().info().tls_ca).unwrap();
        roots.add(authority).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(proxy.url.strip_prefix("https://").unwrap()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await
}

#[tokio::test]
async fn tls_proxies_are_trusted_by_who_has_the_authority() {
    let proxy = Testkit::shared().tls_proxy().await;
    assert!(handshake(&proxy, false).await.is_err());
    let mut raw = Raw::over(handshake(&proxy, true).await.unwrap());
    raw.send("GET", HEALTH, "").await;
    assert_eq!(raw.receive(PATIENCE).await.status(), 200);
    proxy.faults(json!([{"action": {"type": "reset", "when": "after_response_bytes", "bytes": 3}}])).await;
    raw.send("GET", HEALTH, "").await;
    let seen = raw.receive(SILENCE).await;
    assert_eq!((seen.body.len(), seen.end), (3, End::Reset));
}
