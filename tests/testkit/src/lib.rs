//! The client of the testkit: a real PocketBase server behind a fault proxy, for tests.
//!
//! ```no_run
//! # async fn test() {
//! use picobase_testkit::Testkit;
//! use serde_json::json;
//!
//! let kit = Testkit::shared();
//! let proxy = kit.proxy().await;
//! proxy.faults(json!([{"times": 2, "action": {"type": "respond", "status": 503}}])).await;
//! // Point the client under test to `proxy.url`, then look at what arrived.
//! assert_eq!(proxy.requests().await.len(), 3);
//! # }
//! ```
//!
//! Everything here panics with a reason when it cannot do its work: it stands in tests.

mod client;

pub use client::{
    AdminAnswer, Cut, Info, LoggedRequest, Mail, OAuthInfo, Proxy, Server, ServerStatus, Stats, Superuser, Testkit,
};
