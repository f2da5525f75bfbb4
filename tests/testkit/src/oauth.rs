//! A small OAuth2 and OpenID Connect provider that approves everything, and insists on PKCE.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::kit::Kit;
use crate::lock;

const CLIENT_ID: &str = "testkit-client";
const CLIENT_SECRET: &str = "testkit-secret";

/// Who signs in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct User {
    sub: String,
    email: String,
    #[serde(default)]
    name: String,
    /// Sends back `error=access_denied` instead of a code.
    #[serde(default)]
    deny: bool,
}

impl User {
    /// The user with that address, or with the one that stands for all.
    fn of(email: &str) -> Self {
        let name = email.split('@').next().unwrap_or_default().to_owned();
        Self { sub: format!("sub-{email}"), email: email.to_owned(), name, deny: false }
    }
}

/// A code that waits to be exchanged.
struct Grant {
    user: User,
    challenge: String,
    redirect_uri: String,
}

#[derive(Default)]
struct Inner {
    user: Option<User>,
    grants: HashMap<String, Grant>,
    tokens: HashMap<String, User>,
    requests: Vec<Value>,
}

/// The provider.
pub(crate) struct Provider {
    base: String,
    inner: Mutex<Inner>,
}

impl Provider {
    pub(crate) fn new(control_port: u16) -> Self {
        Self { base: format!("http://127.0.0.1:{control_port}/oauth"), inner: Mutex::default() }
    }

    fn url(&self, end: &str) -> String {
        format!("{}/{end}", self.base)
    }

    /// How a collection of the server is told of this provider.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "name": "oidc", "displayName": "Testkit", "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET,
            "authURL": self.url("authorize"), "tokenURL": self.url("token"), "userInfoURL": self.url("userinfo"),
            "pkce": true,
        })
    }

    /// What tests get to know.
    pub(crate) fn info(&self) -> Value {
        json!({
            "provider": "oidc", "collection": "users", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
            "authorize_url": self.url("authorize"), "token_url": self.url("token"),
            "userinfo_url": self.url("userinfo"),
        })
    }

    fn record(&self, endpoint: &str, parameters: &HashMap<String, String>) {
        lock(&self.inner).requests.push(json!({"endpoint": endpoint, "parameters": parameters}));
    }
}

/// The provider's own routes and the two that tests use.
pub(crate) fn routes() -> Router<Arc<Kit>> {
    Router::new()
        .route("/oauth/authorize", get(authorize))
        .route("/oauth/token", post(token))
        .route("/oauth/userinfo", get(userinfo))
        .route("/oauth/.well-known/openid-configuration", get(discovery))
        .route("/oauth/user", put(set_user).delete(forget_user))
        .route("/oauth/requests", get(requests).delete(clear_requests))
}

type Shared = State<Arc<Kit>>;
type Parameters = HashMap<String, String>;

fn refuse(error: &str, why: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": error, "error_description": why}))).into_response()
}

fn get_parameter<'a>(parameters: &'a Parameters, name: &str) -> &'a str {
    parameters.get(name).map_or("", String::as_str)
}

async fn authorize(State(kit): Shared, Query(parameters): Query<Parameters>) -> Response {
    let provider = &kit.provider;
    provider.record("authorize", &parameters);
    if get_parameter(&parameters, "client_id") != CLIENT_ID {
        return refuse("invalid_client", "unknown client_id");
    }
    let challenge = get_parameter(&parameters, "code_challenge");
    if challenge.is_empty() || get_parameter(&parameters, "code_challenge_method") != "S256" {
        return refuse("invalid_request", "PKCE with S256 is required");
    }
    let redirect_uri = get_parameter(&parameters, "redirect_uri");
    let Ok(mut target) = Url::parse(redirect_uri) else {
        return refuse("invalid_request", "redirect_uri is no URL");
    };
    let mut inner = lock(&provider.inner);
    let user = match parameters.get("login_hint") {
        Some(email) => User::of(email),
        None => inner.user.clone().unwrap_or_else(|| User::of("oauth@example.com")),
    };
    if user.deny {
        target.query_pairs_mut().append_pair("error", "access_denied");
    } else {
        let code = random();
        target.query_pairs_mut().append_pair("code", &code);
        let grant = Grant { user, challenge: challenge.to_owned(), redirect_uri: redirect_uri.to_owned() };
        inner.grants.insert(code, grant);
    }
    if let Some(state) = parameters.get("state") {
        target.query_pairs_mut().append_pair("state", state);
    }
    (StatusCode::FOUND, [(header::LOCATION, target.to_string())]).into_response()
}

async fn token(State(kit): Shared, headers: HeaderMap, Form(parameters): Form<Parameters>) -> Response {
    let provider = &kit.provider;
    provider.record("token", &parameters);
    let in_body = get_parameter(&parameters, "client_id") == CLIENT_ID
        && get_parameter(&parameters, "client_secret") == CLIENT_SECRET;
    if !in_body && !has_basic_credentials(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    let mut inner = lock(&provider.inner);
    let Some(grant) = inner.grants.remove(get_parameter(&parameters, "code")) else {
        return refuse("invalid_grant", "unknown or used code");
    };
    if get_parameter(&parameters, "redirect_uri") != grant.redirect_uri {
        return refuse("invalid_grant", "another redirect_uri");
    }
    let verifier = get_parameter(&parameters, "code_verifier");
    if BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != grant.challenge {
        return refuse("invalid_grant", "code_verifier does not fit code_challenge");
    }
    let token = random();
    inner.tokens.insert(token.clone(), grant.user);
    Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600})).into_response()
}

fn has_basic_credentials(headers: &HeaderMap) -> bool {
    let expected = base64::prelude::BASE64_STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == format!("Basic {expected}").as_bytes())
}

async fn userinfo(State(kit): Shared, headers: HeaderMap) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    match lock(&kit.provider.inner).tokens.get(token) {
        Some(user) => Json(json!({
            "sub": user.sub, "email": user.email, "email_verified": true, "name": user.name,
            "preferred_username": user.name,
        }))
        .into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn discovery(State(kit): Shared) -> Json<Value> {
    let provider = &kit.provider;
    Json(json!({
        "issuer": provider.base, "authorization_endpoint": provider.url("authorize"),
        "token_endpoint": provider.url("token"), "userinfo_endpoint": provider.url("userinfo"),
        "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
    }))
}

async fn set_user(State(kit): Shared, Json(user): Json<User>) -> Json<Value> {
    lock(&kit.provider.inner).user = Some(user);
    Json(json!({}))
}

async fn forget_user(State(kit): Shared) -> Json<Value> {
    lock(&kit.provider.inner).user = None;
    Json(json!({}))
}

async fn requests(State(kit): Shared) -> Json<Value> {
    Json(Value::Array(lock(&kit.provider.inner).requests.clone()))
}

async fn clear_requests(State(kit): Shared) -> Json<Value> {
    lock(&kit.provider.inner).requests.clear();
    Json(json!({}))
}

fn random() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(32).collect()
}
