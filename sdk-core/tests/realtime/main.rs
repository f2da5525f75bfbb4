//! Realtime against a real server, with its faults.

#[path = "../common/mod.rs"]
mod common;

mod basics;
mod blocking;
mod data;
mod faults;
mod flat;
mod identity;
mod limits;
mod live;
mod told;
mod tools;
