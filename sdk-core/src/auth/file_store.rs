//! A session in a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind as IoKind, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use super::store::Store;
use crate::{
    error::{Error, ErrorKind},
    runtime::BoxFuture,
    sync::boxed,
};

/// A larger file is not a session.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Keeps the session in a JSON file that only its owner may read (mode 0600).
///
/// The file is replaced as a whole: readers, and processes that write at the same time, see one session or the other,
/// never a mixture. Symbolic links are not followed. A file that holds no session is renamed to `….corrupt-…` and
/// reported, and the client starts signed out. The file is small and read once, so it is read and written in place,
/// without a thread.
///
/// ```
/// use picobase::{Client, auth::FileStore};
/// let client = Client::builder()
///     .url("http://127.0.0.1:8090")
///     .store(FileStore::new("/var/lib/my-service/session.json"))
///     .build()?;
/// # Ok::<(), picobase::Error>(())
/// ```
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    counter: AtomicU64,
}

impl FileStore {
    /// A store in the file at `path`. Missing folders are made at the first save.
    ///
    /// ```
    /// let store = picobase::auth::FileStore::new("session.json");
    /// # let _ = store;
    /// ```
    pub fn new(path: impl Into<PathBuf>) -> Self {
        FileStore { path: path.into(), counter: AtomicU64::new(0) }
    }

    fn error(&self, what: &str, e: &std::io::Error) -> Error {
        Error::new(ErrorKind::Storage, format!("cannot {what} the session file {}: {e}", self.path.display()))
            .with_fix("Check that the folder exists and that this process may read and write it.")
    }

    /// Refuses a link in place of the file: it could make this process overwrite or reveal another one.
    fn refuse_link(&self) -> Result<(), Error> {
        match fs::symlink_metadata(&self.path) {
            Ok(meta) if meta.file_type().is_symlink() => {
                Err(Error::new(ErrorKind::Storage, format!("{} is a symbolic link", self.path.display()))
                    .with_fix("Name the file itself; links are not followed."))
            }
            Ok(meta) if !meta.is_file() => {
                Err(Error::new(ErrorKind::Storage, format!("{} is not a file", self.path.display()))
                    .with_fix("Name a file; it is made at the first sign-in."))
            }
            Ok(_) => Ok(()),
            Err(e) if is_absent(&e) => Ok(()),
            Err(e) => Err(self.error("look at", &e)),
        }
    }

    fn read(&self) -> Result<Option<String>, Error> {
        self.refuse_link()?;
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(self.error("read", &e)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|e| self.error("read", &e))?;
        // What is not UTF-8 is no session: it is handed on as text that will be found corrupt, and set aside.
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn write(&self, session: &str) -> Result<(), Error> {
        self.refuse_link()?;
        if let Some(folder) = self.path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|e| self.error("make the folder of", &e))?;
        }
        let temporary = self.beside("tmp");
        let result = write_new(&temporary, session).and_then(|()| fs::rename(&temporary, &self.path));
        if let Err(e) = result {
            // Best effort: the temporary file holds a token.
            let _ = fs::remove_file(&temporary);
            return Err(self.error("write", &e));
        }
        sync_folder(&self.path);
        Ok(())
    }

    /// A name beside the file that no other process or store uses.
    fn beside(&self, what: &str) -> PathBuf {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{what}-{}-{since}-{n}", std::process::id()));
        self.path.with_file_name(name)
    }
}

/// There is no such file: it or a folder on the way is missing, or something on the way is no folder.
fn is_absent(e: &std::io::Error) -> bool {
    matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory)
}

/// Makes a file that did not exist, for its owner only, and waits until it is on the disk.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes the rename itself durable where the platform can; the session is in place either way.
fn sync_folder(path: &Path) {
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty())
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
    #[cfg(not(unix))]
    let _ = path;
}

impl Store for FileStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        boxed(async { self.read() })
    }

    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
        boxed(async move { self.write(&session) })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        boxed(async {
            self.refuse_link()?;
            match fs::remove_file(&self.path) {
                Err(e) if !is_absent(&e) => Err(self.error("remove", &e)),
                _ => Ok(()),
            }
        })
    }

    fn set_aside(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        boxed(async {
            let target = self.beside("corrupt");
            fs::rename(&self.path, &target).map_err(|e| self.error("set aside", &e))?;
            Ok(Some(target.display().to_string()))
        })
    }
}
