//! What goes wrong between a client and its server, made to happen: sleeping instances, lost answers, broken transfers.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests assert by panicking, and say on stderr what a child process did"
)]

#[path = "../common/mod.rs"]
mod common;
mod tools;

mod bodies;
mod deadlines;
mod gate;
mod redirects;
mod retries;
mod session;
mod tls;
mod transfers;
