//! Files: their URLs, uploads and downloads.

mod download;
mod form;
mod source;
mod token;

use alloc::{
    boxed::Box,
    string::{String, ToString},
    sync::Arc,
};
use core::{future::IntoFuture, time::Duration};

#[cfg(test)]
pub(crate) use self::form::PartHeader;
pub(crate) use self::token::FileToken;
pub use self::{
    download::{Download, DownloadStream},
    form::{BodyReader, FilePart, Form, Progress},
    source::{FileSource, Source},
};
use crate::{
    call::Call,
    client::Client,
    endpoints,
    error::Error,
    json::{Json, ToJson},
    records::Record,
    runtime::{BoxFuture, Listener, MaybeSend, MaybeSync},
    url::{Query, fill_path},
};

/// File URLs, uploads and downloads. See [`Client::files`].
#[derive(Debug, Clone)]
pub struct Files {
    client: Client,
}

/// Whose file it is: a record, or the names of collection and record.
pub trait FileOwner {
    /// The id of the collection, or its name; empty where unknown.
    fn collection(&self) -> String;
    /// The id of the record; empty where unknown.
    fn id(&self) -> String;
}

impl<T: FileOwner + ?Sized> FileOwner for &T {
    fn collection(&self) -> String {
        (**self).collection()
    }

    fn id(&self) -> String {
        (**self).id()
    }
}

impl FileOwner for (&str, &str) {
    fn collection(&self) -> String {
        self.0.to_string()
    }

    fn id(&self) -> String {
        self.1.to_string()
    }
}

impl FileOwner for Json {
    fn collection(&self) -> String {
        let named = |name: &str| self.get_str(name).filter(|value| !value.is_empty());
        named("collectionId").or_else(|| named("collectionName")).unwrap_or_default()
    }

    fn id(&self) -> String {
        self.get_str("id").unwrap_or_default()
    }
}

#[cfg(feature = "std")]
impl FileOwner for Record {
    fn collection(&self) -> String {
        let id = self.collection_id();
        if id.is_empty() { self.collection_name().to_string() } else { id.to_string() }
    }

    fn id(&self) -> String {
        Record::id(self).to_string()
    }
}

impl Files {
    pub(crate) fn new(client: &Client) -> Files {
        Files { client: client.clone() }
    }

    /// The URL of a file. It carries no key and no session; a protected file needs a token in it, see
    /// [`FileUrl::signed`].
    ///
    /// ```
    /// # fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let url = client.files().url(&post, "cover.png").thumb("100x100").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn url(&self, owner: impl FileOwner, name: &str) -> FileUrl {
        FileUrl {
            client: self.client.clone(),
            collection: owner.collection(),
            id: owner.id(),
            name: name.to_string(),
            thumb: None,
            download: false,
            token: None,
        }
    }

    /// A token that opens protected files for three minutes. It is kept and renewed in time.
    ///
    /// # Errors
    /// Kind `Unauthorized` where nobody is signed in.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let token = client.files().get_token().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_token(&self) -> Result<String, Error> {
        self.client.session.file_token.get(&self.client).await
    }

    /// Downloads a file. A broken download goes on where it broke off, and its size is checked.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// client.files().download(&post, "film.mp4").protected().to_path("film.mp4").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn download(&self, owner: impl FileOwner, name: &str) -> Download {
        let (collection, id) = (owner.collection(), owner.id());
        let params = [("c", collection.as_str()), ("id", id.as_str()), ("name", name)];
        Download::new(&self.client, Call::new(&endpoints::FILES_DOWNLOAD, &params))
    }

    /// Creates a record with a file in it.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::files::FileSource;
    /// let document = client
    ///     .files()
    ///     .upload("documents", FileSource::path("contract.pdf"))
    ///     .field("pdf")
    ///     .data(&serde_json::json!({"title": "Contract"}))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn upload(&self, collection: &str, source: FileSource) -> Upload {
        Upload {
            client: self.client.clone(),
            collection: collection.to_string(),
            source,
            field: "file".to_string(),
            data: Ok(Json::object::<&str>([])),
            progress: None,
            timeout: None,
            safe_retry: false,
        }
    }
}

/// A file's URL that is being set up. See [`Files::url`].
#[must_use = "call `build` or `signed` to get the URL"]
#[derive(Clone)]
pub struct FileUrl {
    client: Client,
    collection: String,
    id: String,
    name: String,
    thumb: Option<String>,
    download: bool,
    token: Option<String>,
}

impl core::fmt::Debug for FileUrl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FileUrl").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FileUrl {
    /// A smaller picture: `100x100` crops to the centre, `100x100t` to the top, `100x100b` to the bottom, `100x100f`
    /// fits it in, `0x100` and `100x0` keep the proportions. The size must be one that the field lists.
    ///
    /// ```
    /// # fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let url = client.files().url(&post, "cover.png").thumb("0x300").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn thumb(mut self, size: &str) -> Self {
        self.thumb = Some(size.to_string()).filter(|size| !size.is_empty());
        self
    }

    /// Has browsers save the file rather than show it.
    ///
    /// ```
    /// # fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let url = client.files().url(&post, "report.pdf").download().build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn download(mut self) -> Self {
        self.download = true;
        self
    }

    /// Puts a file token in, for a protected file.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let token = client.files().get_token().await?;
    /// let url = client.files().url(&post, "secret.pdf").token(&token).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_string()).filter(|token| !token.is_empty());
        self
    }

    /// The URL.
    ///
    /// # Errors
    /// Kind `NotFound` where record, collection or name are missing; kind `Configuration` where the client has no URL.
    ///
    /// ```
    /// let client = picobase::Client::new("http://127.0.0.1:8090", "")?;
    /// let url = client.files().url(("posts", "abc"), "a b.png").build()?;
    /// assert_eq!(url, "http://127.0.0.1:8090/api/files/posts/abc/a%20b.png");
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn build(&self) -> Result<String, Error> {
        let params = [("c", self.collection.as_str()), ("id", self.id.as_str()), ("name", self.name.as_str())];
        let path = fill_path(endpoints::FILES_DOWNLOAD.path, &params)?;
        let mut query = Query::new();
        query.set("thumb", self.thumb.as_deref());
        if self.download {
            query.set("download", "1");
        }
        query.set("token", self.token.as_deref());
        Ok(self.client.shared.peek_address()?.join(&path, &query))
    }

    /// The URL with a fresh file token, for a protected file: it opens for whoever has it, for up to three minutes.
    ///
    /// # Errors
    /// As [`build`](Self::build) and [`Files::get_token`].
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, post: picobase::Record) -> Result<(), picobase::Error> {
    /// let url = client.files().url(&post, "secret.pdf").signed().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn signed(self) -> Result<String, Error> {
        let token = self.client.files().get_token().await?;
        self.token(&token).build()
    }
}

/// An upload that makes a record; await it. See [`Files::upload`].
#[must_use = "nothing is sent before this is awaited"]
pub struct Upload {
    client: Client,
    collection: String,
    source: FileSource,
    field: String,
    data: Result<Json, Error>,
    progress: Option<Listener<Progress>>,
    timeout: Option<Duration>,
    safe_retry: bool,
}

impl core::fmt::Debug for Upload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Upload").field("collection", &self.collection).finish_non_exhaustive()
    }
}

impl Upload {
    /// The file field. Default: `file`.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// use picobase::files::FileSource;
    /// let upload = client.files().upload("docs", FileSource::bytes("a.txt", "hi")).field("doc");
    /// # let _ = upload; }
    /// ```
    pub fn field(mut self, name: &str) -> Self {
        self.field = name.to_string();
        self
    }

    /// The record's other fields.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// use picobase::files::FileSource;
    /// let upload = client
    ///     .files()
    ///     .upload("docs", FileSource::bytes("a.txt", "hi"))
    ///     .data(&serde_json::json!({"title": "A"}));
    /// # let _ = upload; }
    /// ```
    pub fn data(mut self, data: &(impl ToJson + ?Sized)) -> Self {
        self.data = data.to_json();
        self
    }

    /// Calls `listener` as the file goes out.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// use picobase::files::FileSource;
    /// let upload =
    ///     client.files().upload("docs", FileSource::path("film.mp4")).on_progress(|p| println!("{}", p.done));
    /// # let _ = upload; }
    /// ```
    pub fn on_progress(mut self, listener: impl Fn(&Progress) + MaybeSend + MaybeSync + 'static) -> Self {
        self.progress = Some(Arc::new(listener));
        self
    }

    /// How long the upload may take, retries included. Default: as long as it makes progress.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// use picobase::files::FileSource;
    /// let upload =
    ///     client.files().upload("docs", FileSource::path("a.txt")).timeout(std::time::Duration::from_secs(60));
    /// # let _ = upload; }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes it an upload that can be repeated when its answer is lost, see
    /// [`Write::safe_retry`](crate::records::Write::safe_retry).
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// use picobase::files::FileSource;
    /// let upload = client.files().upload("docs", FileSource::path("a.txt")).safe_retry();
    /// # let _ = upload; }
    /// ```
    pub fn safe_retry(mut self) -> Self {
        self.safe_retry = true;
        self
    }

    async fn run(self) -> Result<Record, Error> {
        let collection = self.client.collection(&self.collection);
        let mut write = collection.create(&self.data?).file(&self.field, self.source);
        if let Some(timeout) = self.timeout {
            write = write.timeout(timeout);
        }
        if self.safe_retry {
            write = write.safe_retry();
        }
        match self.progress {
            Some(listener) => write.on_progress(move |progress| listener(progress)).await,
            None => write.await,
        }
    }
}

impl IntoFuture for Upload {
    type Output = Result<Record, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
