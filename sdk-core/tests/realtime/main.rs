//! Realtime against a real server, with its faults.

#[path = "../common/mod.rs"]
mod common;

mod basics;
mod faults;
mod identity;
mod live;
mod told;
mod tools;
