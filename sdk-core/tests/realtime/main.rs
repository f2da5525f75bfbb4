//! Realtime against a real server, with its faults.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests assert by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod basics;
mod blocking;
mod data;
mod faults;
#[cfg(target_os = "linux")]
mod flat;
mod identity;
mod limits;
mod live;
mod told;
mod tools;
