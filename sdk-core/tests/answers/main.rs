//! What answers mean: refusals, lost ones, broken ones, redirects, and those of hosts that are not the instance.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests assert by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod tools;

mod bodies;
mod redirects;
mod retries;
mod tls;
