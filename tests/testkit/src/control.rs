//! The control port: every route by which a test steers the kit.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kit::{Kit, NewServer, ServerOptions};
use crate::mail::Wanted;
use crate::oauth;
use crate::proxy::{How, Proxy, Rule};
use crate::seed::{Seed, seed};
use crate::server::{End, Server, State as ServerState};

type Shared = State<Arc<Kit>>;
type Answer = Result<Json<Value>, Failure>;

/// Why a call of the control port failed.
pub(crate) struct Failure(StatusCode, String);

impl Failure {
    fn not_found(what: &str, id: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("no {what} {id:?}"))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, format!("{:#}", error.into()))
    }
}

/// All routes.
pub(crate) fn router(kit: Arc<Kit>) -> Router {
    Router::new()
        .route("/servers", post(open_server))
        .route("/servers/{id}", get(show_server).delete(remove_server))
        .route("/servers/{id}/kill", post(kill_server))
        .route("/servers/{id}/stop", post(stop_server))
        .route("/servers/{id}/start", post(start_server))
        .route("/servers/{id}/restart", post(restart_server))
        .route("/servers/{id}/seed", post(seed_server))
        .route("/servers/{id}/admin", post(call_as_admin))
        .route("/superuser-token", get(superuser_token))
        .route("/proxies", post(open_proxy))
        .route("/proxies/{id}", delete(remove_proxy))
        .route("/proxies/{id}/faults", get(show_faults).put(set_faults).post(add_faults).delete(clear_faults))
        .route("/proxies/{id}/requests", get(show_requests).delete(clear_requests))
        .route("/proxies/{id}/stats", get(show_stats))
        .route("/proxies/{id}/cut", post(cut))
        .route("/mail", get(newest_mail).delete(clear_mail))
        .merge(oauth::routes())
        .layer(from_fn(allow_browsers))
        .with_state(kit)
}

/// Tests in a browser steer the kit from a page of another origin.
async fn allow_browsers(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    for name in [header::ACCESS_CONTROL_ALLOW_ORIGIN, header::ACCESS_CONTROL_ALLOW_HEADERS] {
        response.headers_mut().insert(name, HeaderValue::from_static("*"));
    }
    let methods = HeaderValue::from_static("GET, POST, PUT, DELETE");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    response
}

fn server(kit: &Kit, id: &str) -> Result<Arc<Server>, Failure> {
    kit.server(id).ok_or_else(|| Failure::not_found("server", id))
}

fn proxy(kit: &Kit, id: &str) -> Result<Arc<Proxy>, Failure> {
    kit.proxy(id).ok_or_else(|| Failure::not_found("proxy", id))
}

fn done() -> Answer {
    Ok(Json(json!({})))
}

/// Reads a JSON body; none at all is the default.
fn read<T: Default + serde::de::DeserializeOwned>(body: &str) -> Result<T, Failure> {
    if body.trim().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(body).map_err(|error| Failure(StatusCode::BAD_REQUEST, error.to_string()))
}

/// Runs work to its end also where its caller hangs up.
async fn finish<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Failure> {
    Ok(tokio::spawn(work).await?)
}

async fn open_server(State(kit): Shared, body: String) -> Answer {
    let options: ServerOptions = read(&body)?;
    let opened = finish(async move { kit.open_server(&options).await }).await?;
    let NewServer { server, proxy } = opened?;
    Ok(Json(json!({
        "server_id": server.id, "direct_url": server.url(), "url": proxy.url(), "proxy_id": proxy.id,
    })))
}

fn describe(server: &Server) -> Value {
    let pid = if let ServerState::Ready(pid) = server.state() { Some(pid) } else { None };
    json!({
        "server_id": server.id, "direct_url": server.url(), "running": pid.is_some(), "pid": pid,
        "data_dir": server.dir().join("data"),
    })
}

async fn show_server(State(kit): Shared, Path(id): Path<String>) -> Answer {
    Ok(Json(describe(&*server(&kit, &id)?)))
}

async fn remove_server(State(kit): Shared, Path(id): Path<String>) -> Answer {
    let name = id.clone();
    if !finish(async move { kit.remove_server(&id).await }).await? {
        return Err(Failure::not_found("server", &name));
    }
    done()
}

async fn end_server(kit: Arc<Kit>, id: String, how: End) -> Answer {
    let server = server(&kit, &id)?;
    finish(async move {
        server.end(how).await;
        kit.sync_proxies(&server).await?;
        Ok(Json(describe(&server)))
    })
    .await?
}

async fn kill_server(State(kit): Shared, Path(id): Path<String>) -> Answer {
    end_server(kit, id, End::Kill).await
}

async fn stop_server(State(kit): Shared, Path(id): Path<String>) -> Answer {
    end_server(kit, id, End::Terminate).await
}

async fn start(kit: Arc<Kit>, server: Arc<Server>) -> Answer {
    finish(async move {
        server.start().await?;
        kit.sync_proxies(&server).await?;
        Ok(Json(describe(&server)))
    })
    .await?
}

async fn start_server(State(kit): Shared, Path(id): Path<String>) -> Answer {
    let server = server(&kit, &id)?;
    start(kit, server).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Restart {
    downtime_ms: u64,
    kill: bool,
}

async fn restart_server(State(kit): Shared, Path(id): Path<String>, body: String) -> Answer {
    let options: Restart = read(&body)?;
    let server = server(&kit, &id)?;
    let _ = end_server(kit.clone(), id, if options.kill { End::Kill } else { End::Terminate }).await?;
    tokio::time::sleep(Duration::from_millis(options.downtime_ms)).await;
    start(kit, server).await
}

async fn seed_server(State(kit): Shared, Path(id): Path<String>, Json(wanted): Json<Seed>) -> Answer {
    let server = server(&kit, &id)?;
    let started = std::time::Instant::now();
    seed(&kit.api(&server), &wanted).await?;
    Ok(Json(json!({"took_ms": started.elapsed().as_millis()})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminCall {
    method: String,
    path: String,
    body: Option<Value>,
}

async fn call_as_admin(State(kit): Shared, Path(id): Path<String>, Json(call): Json<AdminCall>) -> Answer {
    let server = server(&kit, &id)?;
    let method = Method::from_bytes(call.method.to_uppercase().as_bytes())?;
    let (status, body) = kit.api(&server).call(method, &call.path, call.body.as_ref()).await?;
    Ok(Json(json!({"status": status, "body": body})))
}

async fn superuser_token(State(kit): Shared) -> Answer {
    Ok(Json(json!({"token": kit.token()})))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProxyOptions {
    server_id: Option<String>,
    tls: bool,
}

async fn open_proxy(State(kit): Shared, body: String) -> Answer {
    let options: ProxyOptions = read(&body)?;
    let server = server(&kit, options.server_id.as_deref().unwrap_or(crate::kit::DEFAULT))?;
    let proxy = kit.open_proxy(server, options.tls).await?;
    Ok(Json(json!({"proxy_id": proxy.id, "url": proxy.url(), "server_id": proxy.server.id})))
}

async fn remove_proxy(State(kit): Shared, Path(id): Path<String>) -> Answer {
    let name = id.clone();
    if !finish(async move { kit.remove_proxy(&id).await }).await? {
        return Err(Failure::not_found("proxy", &name));
    }
    done()
}

async fn show_faults(State(kit): Shared, Path(id): Path<String>) -> Answer {
    Ok(Json(Value::Array(proxy(&kit, &id)?.show_rules())))
}

async fn change_faults(kit: &Kit, id: &str, rules: Vec<Rule>, keep: bool) -> Answer {
    for (index, rule) in rules.iter().enumerate() {
        rule.check().map_err(|why| Failure(StatusCode::BAD_REQUEST, format!("rule {index}: {why}")))?;
    }
    let proxy = proxy(kit, id)?;
    proxy.set_rules(rules, keep).await?;
    Ok(Json(Value::Array(proxy.show_rules())))
}

async fn set_faults(State(kit): Shared, Path(id): Path<String>, body: String) -> Answer {
    change_faults(&kit, &id, read(&body)?, false).await
}

async fn add_faults(State(kit): Shared, Path(id): Path<String>, body: String) -> Answer {
    change_faults(&kit, &id, read(&body)?, true).await
}

async fn clear_faults(State(kit): Shared, Path(id): Path<String>) -> Answer {
    change_faults(&kit, &id, Vec::new(), false).await
}

async fn show_requests(State(kit): Shared, Path(id): Path<String>) -> Answer {
    Ok(Json(proxy(&kit, &id)?.requests()))
}

async fn clear_requests(State(kit): Shared, Path(id): Path<String>) -> Answer {
    proxy(&kit, &id)?.clear_requests();
    done()
}

async fn show_stats(State(kit): Shared, Path(id): Path<String>) -> Answer {
    Ok(Json(proxy(&kit, &id)?.stats()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Cut {
    how: How,
    path_contains: Option<String>,
}

async fn cut(State(kit): Shared, Path(id): Path<String>, body: String) -> Answer {
    let wanted: Cut = read(&body)?;
    let count = proxy(&kit, &id)?.cut(wanted.how, wanted.path_contains.as_deref());
    Ok(Json(json!({"connections": count})))
}

async fn newest_mail(State(kit): Shared, Query(wanted): Query<Wanted>) -> Answer {
    match kit.mailbox.newest(&wanted).await {
        Some(mail) => Ok(Json(mail)),
        None => Err(Failure(StatusCode::NOT_FOUND, "no such mail".into())),
    }
}

async fn clear_mail(State(kit): Shared) -> Answer {
    kit.mailbox.clear();
    done()
}
