//! What goes wrong between a client and its server, made to happen: sleeping instances, lost answers, broken transfers.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests assert by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod tools;

mod deadlines;
mod gate;
mod session;
mod transfers;
