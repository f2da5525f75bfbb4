//! Several writes in one request.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    action::{Action, CallOptions},
    auth::{is_own_record, own_record_written},
    call::{Call, execute},
    client::Client,
    endpoints::{self, Endpoint},
    error::{Error, ErrorKind},
    files::{FilePart, FileSource, Form},
    json::{FromJson, Json, ToJson},
    runtime::BoxFuture,
    transport::{Body, Method},
    url::{Query, QueryValue, digits, fill_path},
};

/// How many writes the server takes in one batch, as it is set up by default.
const CHUNK: usize = 50;

/// Writes to make together: all of them happen, or none. The server takes 50 by default, and batches must be enabled
/// in its settings.
///
/// ```
/// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
/// let mut batch = client.batch();
/// batch.collection("posts").create(&serde_json::json!({"title": "one"})).expand("author");
/// batch.collection("posts").update("abc", &serde_json::json!({"title": "two"}));
/// batch.collection("tags").upsert(&serde_json::json!({"id": "rust00000000000", "name": "rust"}));
/// batch.collection("posts").delete("def");
/// for result in batch.send().await? {
///     println!("{}", result.status);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before `send`"]
pub struct Batch {
    client: Client,
    requests: Vec<Request>,
    mistake: Option<Error>,
}

struct Request {
    method: Method,
    path: String,
    query: Query,
    headers: Vec<(String, Json)>,
    body: Option<Json>,
    files: Vec<FilePart>,
}

impl core::fmt::Debug for Batch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Batch").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}

/// What one write of a batch brought.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchResult {
    /// The HTTP status of this write.
    pub status: u16,
    /// The record; `null` for a delete.
    pub body: Json,
}

impl BatchResult {
    /// The record, decoded.
    ///
    /// # Errors
    /// Kind `Decode` where it does not fit `T`.
    ///
    /// ```
    /// # fn demo(result: picobase::records::BatchResult) -> Result<(), picobase::Error> {
    /// let post: picobase::Record = result.record()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn record<T: FromJson>(&self) -> Result<T, Error> {
        T::from_json(self.body.clone())
    }
}

/// What [`Batch::send_chunked`] came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Chunked {
    /// The results of the writes that were made, from the first on.
    pub results: Vec<BatchResult>,
    /// What stopped it, if anything: its `item` is the index of the write that failed. The writes of its chunk were
    /// not made, nor any behind it.
    pub error: Option<Error>,
}

impl Batch {
    pub(crate) fn new(client: &Client) -> Batch {
        Batch { client: client.clone(), requests: Vec::new(), mistake: None }
    }

    /// Writes to this collection.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let mut batch = client.batch();
    /// batch.collection("posts").create(&serde_json::json!({"title": "one"}));
    /// # }
    /// ```
    pub fn collection(&mut self, name: &str) -> BatchCollection<'_> {
        BatchCollection { batch: self, name: name.to_string() }
    }

    /// How many writes it has.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// assert_eq!(client.batch().len(), 0);
    /// # }
    /// ```
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Has it no writes?
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// assert!(client.batch().is_empty());
    /// # }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Makes all writes, or none of them.
    ///
    /// # Errors
    /// That of the first write that failed: [`Error::item`] is its index, and kind and fields are its own.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let mut batch = client.batch();
    /// batch.collection("posts").delete("abc");
    /// if let Err(e) = batch.send().await {
    ///     println!("write {:?} failed: {e}", e.item());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(self) -> Action<Vec<BatchResult>> {
        let mut call = Call::new(&endpoints::BATCH, &[]);
        let client = self.client.clone();
        match self.body() {
            Ok(body) => call.body = body,
            Err(mistake) => call.mistake = Some(mistake),
        }
        Action::new(&client, call, send)
    }

    /// What is sent.
    pub(crate) fn body(self) -> Result<Body, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        for (n, request) in self.requests.iter().enumerate() {
            request.query.check().map_err(|error| error.with_item(n))?;
        }
        Ok(body_of(self.requests))
    }

    /// The same writes in batches of that size.
    pub(crate) fn split(self, size: usize) -> Result<Vec<Batch>, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let mut batches = Vec::new();
        let mut rest = self.requests.into_iter();
        loop {
            let requests: Vec<Request> = rest.by_ref().take(size.max(1)).collect();
            if requests.is_empty() {
                return Ok(batches);
            }
            batches.push(Batch { client: self.client.clone(), requests, mistake: None });
        }
    }

    /// Makes the writes in batches of 50, one after the other: each is atomic, the whole is not.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, ids: Vec<String>) -> Result<(), picobase::Error> {
    /// let mut batch = client.batch();
    /// for id in &ids {
    ///     batch.collection("posts").delete(id);
    /// }
    /// let chunked = batch.send_chunked().await;
    /// println!("{} done, then {:?}", chunked.results.len(), chunked.error);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_chunked(self) -> Chunked {
        self.send_chunks_of(CHUNK).await
    }

    /// [`send_chunked`](Self::send_chunked) for a server with another limit.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let mut batch = client.batch();
    /// batch.collection("posts").delete("abc");
    /// let chunked = batch.send_chunks_of(200).await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_chunks_of(self, size: usize) -> Chunked {
        self.chunks(size, |action| action).await
    }

    /// [`send_chunks_of`](Self::send_chunks_of) with options for each of the requests; without a size as
    /// [`send_chunked`](Self::send_chunked).
    ///
    /// ```
    /// # async fn demo(batch: picobase::records::Batch) {
    /// use picobase::action::CallOptions;
    /// let options = CallOptions { timeout: Some(std::time::Duration::from_secs(60)), ..CallOptions::default() };
    /// let sent = batch.send_chunks_with(None, options).await;
    /// # let _ = sent; }
    /// ```
    pub async fn send_chunks_with(self, size: Option<usize>, options: CallOptions) -> Chunked {
        self.chunks(size.unwrap_or(CHUNK), |action| action.options(options.clone())).await
    }

    async fn chunks(self, size: usize, set: impl Fn(Action<Vec<BatchResult>>) -> Action<Vec<BatchResult>>) -> Chunked {
        let mut results: Vec<BatchResult> = Vec::with_capacity(self.requests.len());
        let batches = match self.split(size) {
            Ok(batches) => batches,
            Err(mistake) => return Chunked { results, error: Some(mistake) },
        };
        for batch in batches {
            match set(batch.send()).await {
                Ok(done) => results.extend(done),
                Err(error) => {
                    let error = match error.item() {
                        Some(item) => error.with_item(results.len().saturating_add(item)),
                        None => error,
                    };
                    return Chunked { results, error: Some(error) };
                }
            }
        }
        Chunked { results, error: None }
    }
}

/// `{"requests": […]}`, with files as parts named `requests.N.field`.
fn body_of(requests: Vec<Request>) -> Body {
    let mut files = Vec::new();
    let mut list = Vec::new();
    for (n, request) in requests.into_iter().enumerate() {
        for file in request.files {
            files.push(FilePart {
                field: ["requests.", &digits(n as u64), ".", &file.field].concat(),
                source: file.source,
            });
        }
        let mut url = request.path;
        request.query.append_to(&mut url);
        let mut members = Vec::from([("method", Json::string(request.method.as_str())), ("url", Json::string(&url))]);
        if !request.headers.is_empty() {
            members.push(("headers", Json::object(request.headers)));
        }
        if let Some(body) = request.body {
            members.push(("body", body));
        }
        list.push(Json::object(members));
    }
    Form::body(Json::object([("requests", Json::array(list))]), files, None)
}

/// Makes a batch call, sorts its results, and keeps the session true to them.
fn send(client: Client, call: Call) -> BoxFuture<'static, Result<Vec<BatchResult>, Error>> {
    Box::pin(async move {
        if let Some(mistake) = call.mistake {
            return Err(mistake);
        }
        let payload = match &call.body {
            Body::Json(json) => Some(json.clone()),
            Body::Multipart(form) => form.json().cloned(),
            _ => None,
        };
        let requests = payload.and_then(|json| json.get("requests")).map(|list| list.items()).unwrap_or_default();
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let answer = execute(&client, call).await.map_err(explain_disabled)?;
        let results = answer.read(|json| {
            let results: Vec<BatchResult> = json.items().iter().map(result).collect();
            if results.len() != requests.len() {
                return Err(Error::decode("the batch has another number of results than of writes", json.as_text()));
            }
            Ok(results)
        })?;
        for (request, result) in requests.iter().zip(&results) {
            keep_session_true(&client, request, result).await?;
        }
        Ok(results)
    })
}

fn explain_disabled(error: Error) -> Error {
    if error.kind() == ErrorKind::Forbidden && error.item().is_none() {
        return error.with_fix("Enable batches in the instance's settings, or allow the writes in the API rules.");
    }
    error
}

fn result(item: &Json) -> BatchResult {
    let status = item.get("status").and_then(|status| status.as_i64()).and_then(|status| u16::try_from(status).ok());
    BatchResult { status: status.unwrap_or(0), body: item.get("body").unwrap_or_else(Json::null) }
}

/// A batch may have changed or deleted the signed-in user's own record.
async fn keep_session_true(client: &Client, request: &Json, result: &BatchResult) -> Result<(), Error> {
    let url = request.get_str("url").unwrap_or_default();
    let path = url.split('?').next().unwrap_or_default();
    let mut segments = path.split('/').skip(3);
    let collection = segments.next().unwrap_or_default();
    let id = match (segments.nth(1), request.get("body").and_then(|body| body.get_str("id"))) {
        (Some(id), _) => id.to_string(),
        (None, Some(id)) => id,
        (None, None) => return Ok(()),
    };
    if !is_own_record(client, collection, &id) {
        return Ok(());
    }
    match request.get_str("method").as_deref() {
        Some("DELETE") => client.session.sign_out(client).await,
        _ => {
            let body = request.get("body").unwrap_or_else(Json::null);
            own_record_written(client, &body, &result.body).await
        }
    }
}

/// Adds writes to one collection. See [`Batch::collection`].
#[derive(Debug)]
pub struct BatchCollection<'a> {
    batch: &'a mut Batch,
    name: String,
}

impl<'a> BatchCollection<'a> {
    /// Creates a record.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let mut batch = client.batch();
    /// batch.collection("posts").create(&serde_json::json!({"title": "one"}));
    /// # }
    /// ```
    pub fn create(self, body: &(impl ToJson + ?Sized)) -> BatchWrite<'a> {
        self.push(&endpoints::RECORDS_CREATE, Method::Post, "", Some(body.to_json()))
    }

    /// Changes a record.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let mut batch = client.batch();
    /// batch.collection("posts").update("abc", &serde_json::json!({"title": "two"}));
    /// # }
    /// ```
    pub fn update(self, id: &str, body: &(impl ToJson + ?Sized)) -> BatchWrite<'a> {
        self.push(&endpoints::RECORDS_UPDATE, Method::Patch, id, Some(body.to_json()))
    }

    /// Changes the record whose `id` is in the body, or creates it.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let mut batch = client.batch();
    /// batch.collection("tags").upsert(&serde_json::json!({"id": "rust00000000000", "name": "rust"}));
    /// # }
    /// ```
    pub fn upsert(self, body: &(impl ToJson + ?Sized)) -> BatchWrite<'a> {
        self.push(&endpoints::RECORDS_CREATE, Method::Put, "", Some(body.to_json()))
    }

    /// Deletes a record.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let mut batch = client.batch();
    /// batch.collection("posts").delete("abc");
    /// # }
    /// ```
    pub fn delete(self, id: &str) -> BatchWrite<'a> {
        self.push(&endpoints::RECORDS_DELETE, Method::Delete, id, None)
    }

    fn push(
        self,
        row: &'static Endpoint,
        method: Method,
        id: &str,
        body: Option<Result<Json, Error>>,
    ) -> BatchWrite<'a> {
        let index = self.batch.requests.len();
        let mut mistake = None;
        let path = fill_path(row.path, &[("c", &self.name), ("id", id)]).unwrap_or_else(|error| {
            mistake = Some(error);
            String::new()
        });
        let body = match body.transpose() {
            Ok(body) => {
                body.map(|body| if !body.is_object() && body.is_null() { Json::object::<&str>([]) } else { body })
            }
            Err(error) => {
                mistake = Some(error);
                None
            }
        };
        if let Some(error) = mistake
            && self.batch.mistake.is_none()
        {
            self.batch.mistake = Some(error.with_item(index));
        }
        let request = Request { method, path, query: Query::new(), headers: Vec::new(), body, files: Vec::new() };
        self.batch.requests.push(request);
        BatchWrite { batch: self.batch, index }
    }
}

/// One write of a batch, for its options.
#[derive(Debug)]
pub struct BatchWrite<'a> {
    batch: &'a mut Batch,
    index: usize,
}

impl BatchWrite<'_> {
    /// Puts a file into a field.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// use picobase::files::FileSource;
    /// let mut batch = client.batch();
    /// batch.collection("posts").create(&serde_json::json!({})).file("cover", FileSource::bytes("a.png", vec![1, 2]));
    /// # }
    /// ```
    pub fn file(self, field: &str, source: FileSource) -> Self {
        self.edit(|request| request.files.push(FilePart { field: field.to_string(), source }))
    }

    /// Relations to put into the result's `expand`.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let mut batch = client.batch();
    /// batch.collection("posts").create(&serde_json::json!({})).expand("author");
    /// # }
    /// ```
    pub fn expand(self, expand: &str) -> Self {
        self.query("expand", expand)
    }

    /// The fields of the result.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let mut batch = client.batch();
    /// batch.collection("posts").create(&serde_json::json!({})).fields("id");
    /// # }
    /// ```
    pub fn fields(self, fields: &str) -> Self {
        self.query("fields", fields)
    }

    /// Any other query parameter of this write.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let mut batch = client.batch();
    /// batch.collection("posts").create(&serde_json::json!({})).query("tenant", "acme");
    /// # }
    /// ```
    pub fn query(self, name: &str, value: impl Into<QueryValue>) -> Self {
        self.edit(|request| {
            request.query.set(name, value);
        })
    }

    /// A header field of this write.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let mut batch = client.batch();
    /// batch.collection("posts").create(&serde_json::json!({})).header("X-Trace", "42");
    /// # }
    /// ```
    pub fn header(self, name: &str, value: &str) -> Self {
        self.edit(|request| request.headers.push((name.to_string(), Json::string(value))))
    }

    /// Takes these options, but for their timeout: that is the batch's.
    ///
    /// ```
    /// # fn demo(client: picobase::Client, options: picobase::action::CallOptions) {
    /// let mut batch = client.batch();
    /// batch.collection("posts").create(&serde_json::json!({})).options(options);
    /// # }
    /// ```
    pub fn options(self, options: CallOptions) -> Self {
        self.edit(|request| {
            request.query.merge(options.query);
            let headers = options.headers.iter().map(|(name, value)| (name.to_string(), Json::string(value)));
            request.headers.extend(headers);
        })
    }

    fn edit(self, change: impl FnOnce(&mut Request)) -> Self {
        if let Some(request) = self.batch.requests.get_mut(self.index) {
            change(request);
        }
        self
    }
}
