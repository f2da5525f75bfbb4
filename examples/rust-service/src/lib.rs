//! The service: its routes and the one client that they share.

mod error;
mod feed;

use std::path::PathBuf;

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::Redirect,
    routing::{get, post, put},
};
use futures_util::TryStreamExt;
use picobase::{
    Client, Error, Record,
    auth::{Credentials, FileStore},
    files::FileSource,
    params,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::error::AppError;

/// Which posts are shown.
const PUBLISHED: &str = "status = 'published'";
/// In which order: the id decides between posts of the same moment.
const NEWEST_FIRST: &str = "-created,id";
/// How many at a time.
const PAGE: u32 = 20;

/// What the service must be told.
#[derive(Debug)]
pub struct Settings {
    /// The instance.
    pub url: String,
    /// The service user.
    pub email: String,
    /// The service user's password.
    pub password: String,
    /// Where the session is kept between runs.
    pub session_file: PathBuf,
}

/// A post as the service shows it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Post {
    id: String,
    title: String,
    status: String,
    attachments: Vec<String>,
}

/// The service, ready to be served.
///
/// # Errors
/// Where the settings are wrong. Nothing is sent before the first request.
pub fn app(settings: &Settings) -> Result<Router, Error> {
    let client = Client::builder()
        .url(&settings.url)
        .credentials(Credentials::new(&settings.email, &settings.password))
        .store(FileStore::new(&settings.session_file))
        .build()?;
    Ok(Router::new()
        .route("/posts", get(list_posts).post(create_post))
        .route("/posts/feed", get(feed::posts_feed).with_state(feed::Feed::new(&client)))
        .route("/posts/{id}/attachments/{name}", put(attach))
        .route("/docs/{name}", post(store_document))
        .route("/docs/{id}/file", get(open_document))
        .route("/health", get(health))
        // Uploads are streamed on, so their size is the instance's business.
        .layer(DefaultBodyLimit::disable())
        .with_state(client))
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
    #[serde(default = "first")]
    page: u32,
}

fn first() -> u32 {
    1
}

async fn list_posts(State(client): State<Client>, Query(search): Query<Search>) -> Result<Json<Value>, AppError> {
    let wanted = client.filter(&format!("{PUBLISHED} && title ~ {{:q}}"), params! { "q" => search.q })?;
    let posts = client.collection("posts").typed::<Post>();
    let page = posts.get_list(search.page.max(1), PAGE).filter(wanted).sort(NEWEST_FIRST).await?;
    Ok(Json(json!({"posts": page.items, "page": page.page, "pages": page.total_pages})))
}

async fn create_post(
    State(client): State<Client>,
    Json(body): Json<Value>,
) -> Result<(StatusCode, Json<Post>), AppError> {
    // The instance may be asleep, or the answer be lost: `safe_retry` creates the post once all the same.
    let post = client.collection("posts").typed::<Post>().create(&body).safe_retry().await?;
    Ok((StatusCode::CREATED, Json(post)))
}

async fn attach(
    State(client): State<Client>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Post>, AppError> {
    let posts = client.collection("posts").typed::<Post>();
    let file = streamed(&name, &headers, body);
    Ok(Json(posts.update(&id, &json!({})).file("attachments+", file).await?))
}

async fn store_document(
    State(client): State<Client>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), AppError> {
    let file = streamed(&name, &headers, body);
    let record = client.files().upload("docs", file).field("doc").data(&json!({"title": name})).await?;
    Ok((StatusCode::CREATED, Json(json!({"id": record.id()}))))
}

/// A request's body as a file: it flows through the service and is never held as a whole.
fn streamed(name: &str, headers: &HeaderMap, body: Body) -> FileSource {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    FileSource::stream(name, length, body.into_data_stream().map_err(std::io::Error::other))
}

async fn open_document(State(client): State<Client>, Path(id): Path<String>) -> Result<Redirect, AppError> {
    let record: Record = client.collection("docs").get_one(&id).await?;
    let name = record.get_str("doc").unwrap_or_default();
    Ok(Redirect::temporary(&client.files().url(&record, name).signed().await?))
}

async fn health(State(client): State<Client>) -> Result<Json<Value>, AppError> {
    let health = client.health().await?;
    let user = client.auth().session().map(|session| session.user_id());
    Ok(Json(json!({"instance": health.message, "user": user, "realtime": client.realtime().state().as_str()})))
}
