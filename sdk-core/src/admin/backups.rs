//! Backups.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use super::{call_with, nothing};
use crate::{
    action::Action,
    call::{Call, decode},
    client::Client,
    endpoints,
    error::Error,
    files::{Download, FilePart, FileSource, Form},
    json::{Json, read_by_hand},
    transport::Body,
};

/// Backups, for superusers. See [`Client::backups`].
#[derive(Debug, Clone)]
pub struct Backups {
    client: Client,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupFile {
    /// Its name, `before.zip` for example.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written: `2026-11-21 08:50:36.662Z`.
    pub modified: String,
}

read_by_hand!(BackupFile, |json| json.get_str("key").map(|key| BackupFile {
    key,
    size: json.get("size").and_then(|size| size.as_i64()).and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
    modified: json.get_str("modified").unwrap_or_default(),
}));

impl Backups {
    pub(crate) fn new(client: &Client) -> Self {
        Backups { client: client.clone() }
    }

    /// All backups.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// for backup in client.backups().get_full_list().await? {
    ///     println!("{} {} bytes", backup.key, backup.size);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_full_list(&self) -> Action<Vec<BackupFile>> {
        Action::new(&self.client, Call::new(&endpoints::BACKUPS_LIST, &[]), decode::<Vec<BackupFile>>)
    }

    /// Makes a backup. `name` is its key: lower-case letters, digits, `-` and `_`, and `.zip` at the end; for an empty
    /// name the server makes one up.
    ///
    /// The answer comes when the backup is complete. With much data that takes minutes: give the call a
    /// [`timeout`](Action::timeout) to match.
    ///
    /// # Errors
    /// Kind `Validation` where the name is refused, or another backup or restore is under way.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use std::time::Duration;
    /// client.backups().create("before.zip").timeout(Duration::from_secs(600)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create(&self, name: &str) -> Action<()> {
        Action::new(&self.client, call_with(&endpoints::BACKUPS_CREATE, [("name", Json::string(name))]), nothing)
    }

    /// Uploads a backup. The name of the file becomes its key. There is no limit to its size.
    ///
    /// # Errors
    /// Kind `Validation` where it is no zip file, or there is a backup of that name.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::files::FileSource;
    /// client.backups().upload(FileSource::path("before.zip")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn upload(&self, source: FileSource) -> Action<()> {
        let mut call = Call::new(&endpoints::BACKUPS_UPLOAD, &[]);
        call.body = Body::Multipart(Form::of_files(Vec::from([FilePart { field: "file".to_string(), source }])));
        Action::new(&self.client, call, nothing)
    }

    /// Downloads a backup.
    ///
    /// # Errors
    /// Kind `NotFound` where there is none.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.backups().download("before.zip").to_path("before.zip").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn download(&self, key: &str) -> Download {
        Download::new(&self.client, Call::new(&endpoints::BACKUPS_DOWNLOAD, &[("key", key)])).protected()
    }

    /// Deletes a backup.
    ///
    /// # Errors
    /// Kind `Validation` where there is none.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.backups().delete("before.zip").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, key: &str) -> Action<()> {
        Action::new(&self.client, Call::new(&endpoints::BACKUPS_DELETE, &[("key", key)]), nothing)
    }

    /// Replaces all data by that of a backup.
    ///
    /// The answer says only that the restore has begun. About a second later the server replaces its data and restarts
    /// its own process: until then calls still see the old data, connections break in between, and sessions whose user
    /// or secret is another in the backup are over. So wait until [`Client::health`] answers again before going on. On
    /// Windows the server cannot restore.
    ///
    /// # Errors
    /// Kind `Validation` where there is no such backup, or another backup or restore is under way.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.backups().restore("before.zip").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn restore(&self, key: &str) -> Action<()> {
        Action::new(&self.client, Call::new(&endpoints::BACKUPS_RESTORE, &[("key", key)]), nothing)
    }

    /// The URL of a backup, for a browser or another program. `token` is a file token of a superuser (see
    /// [`Files::get_token`](crate::files::Files::get_token)); it lives for three minutes.
    ///
    /// # Errors
    /// Kind `NotFound` for a key that is none; kind `Configuration` where the client has no URL yet.
    ///
    /// ```
    /// let client = picobase::Client::new("http://127.0.0.1:8090", "")?;
    /// assert_eq!(
    ///     client.backups().get_download_url("before.zip", "t")?,
    ///     "http://127.0.0.1:8090/api/backups/before.zip?token=t",
    /// );
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn get_download_url(&self, key: &str, token: &str) -> Result<String, Error> {
        let mut call = Call::new(&endpoints::BACKUPS_DOWNLOAD, &[("key", key)]);
        call.query.set("token", token);
        Ok(self.client.shared.peek_address()?.join(&call.path()?, &call.query))
    }
}
