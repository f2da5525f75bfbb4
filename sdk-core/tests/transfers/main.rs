//! Uploads and downloads whose connections break, stall, crawl or lie, over a real server.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests assert by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod tools;

mod downloads;
#[cfg(target_os = "linux")]
mod memory;
mod uploads;
