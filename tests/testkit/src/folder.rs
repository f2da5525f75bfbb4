//! The temporary folder of one run, which also goes when its owner was killed: the next run removes it.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

const PREFIX: &str = "picobase-testkit-";
/// The file that its owner holds locked.
const LOCK: &str = "lock";
/// Younger folders may be about to be locked.
const GRACE: Duration = Duration::from_secs(60);

/// A folder that belongs to this process.
pub(crate) struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Makes a folder, and removes those whose owners are dead.
    pub(crate) fn make(root: &Path) -> Result<Self> {
        remove_abandoned(root);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root).context("making the data folder")?;
        let lock = File::create(folder.path().join(LOCK))?;
        try_lock(&lock);
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes it; a killed server may still be writing, so it tries again.
    pub(crate) fn remove(self) {
        for _ in 0..20 {
            if std::fs::remove_dir_all(self.folder.path()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn remove_abandoned(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if age.is_some_and(|age| age > GRACE) && try_lock(&lock) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Locks the file; false where another process has it.
#[cfg(unix)]
fn try_lock(file: &File) -> bool {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Without locks no folder counts as abandoned.
#[cfg(not(unix))]
fn try_lock(_: &File) -> bool {
    false
}
