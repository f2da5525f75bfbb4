//! The server with its records, in processes of their own, and the runtimes that clients are measured on.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use picobase_testkit::{Server, Testkit};
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::bare::Bare;

/// How many records `bulk` has.
pub(crate) const RECORDS: usize = 5000;

/// A record of `bulk`, as both sides decode it.
#[derive(Debug, Deserialize)]
pub(crate) struct Item {
    /// Its id.
    pub(crate) id: String,
    /// Its number.
    pub(crate) n: i64,
    /// A hundred characters.
    pub(crate) text: String,
    /// When it was made.
    pub(crate) created: String,
    /// When it was last changed.
    pub(crate) updated: String,
}

/// What everything is measured on.
pub(crate) struct Stage {
    /// The server without the fault proxy.
    pub(crate) url: String,
    ids: Vec<String>,
    next: AtomicUsize,
    // Ended in this order.
    _server: Server,
    _kit: Testkit,
}

impl Stage {
    /// Starts a server and seeds it.
    pub(crate) fn set() -> Result<Self> {
        let runtime = on_this_thread()?;
        let kit = Testkit::spawn();
        let server = runtime.block_on(kit.server());
        runtime.block_on(kit.control(
            "POST",
            &format!("/servers/{}/seed", server.id),
            Some(json!({"collection": "bulk", "count": RECORDS})),
        ));
        let items = runtime.block_on(Bare::new(&server.direct_url).get_full_list())?;
        ensure!(items.len() == RECORDS, "the server has {} records in place of {RECORDS}", items.len());
        let ids = items.into_iter().map(|item| item.id).collect();
        Ok(Self { url: server.direct_url.clone(), ids, next: AtomicUsize::new(0), _server: server, _kit: kit })
    }

    /// An id, another one each time.
    pub(crate) fn id(&self) -> &str {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        self.ids.get(n % self.ids.len().max(1)).map_or("", String::as_str)
    }
}

/// A runtime that drives everything on the calling thread.
pub(crate) fn on_this_thread() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("no runtime")
}

/// A runtime as `#[tokio::main]` makes it.
pub(crate) fn on_all_cores() -> Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("no runtime")
}
