//! Every endpoint of the server, called through the public API.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests assert by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod auth;
mod batch;
mod blocking;
mod files;
mod filters;
mod hooks;
mod lists;
mod oauth2_all_in_one;
mod records;
mod secrets;
mod stores;
