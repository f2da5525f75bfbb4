//! Calls of the server's own HTTP API, as its superuser.

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::Value;

/// A server seen by its superuser.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Api {
    pub(crate) fn new(http: reqwest::Client, base: String, token: String) -> Self {
        Self { http, base, token }
    }

    /// Signs in and returns the API together with its token.
    pub(crate) async fn sign_in(http: reqwest::Client, base: String, email: &str, password: &str) -> Result<Self> {
        let mut api = Self::new(http, base, String::new());
        let body = serde_json::json!({"identity": email, "password": password});
        let answer = api.ok(Method::POST, "/api/collections/_superusers/auth-with-password", Some(&body)).await?;
        answer.get("token").and_then(Value::as_str).context("the sign-in has no token")?.clone_into(&mut api.token);
        Ok(api)
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Runs a call and returns its status and its body (JSON, or a string where it is something else).
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.header("authorization", &self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("calling {path}"))?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let body =
            serde_json::from_str(&text).unwrap_or(if text.is_empty() { Value::Null } else { Value::String(text) });
        Ok((status, body))
    }

    /// Runs a call that must succeed.
    pub(crate) async fn ok(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, answer) = self.call(method.clone(), path, body).await?;
        if !(200..300).contains(&status) {
            bail!("{method} {path} answered {status}: {answer}");
        }
        Ok(answer)
    }
}
