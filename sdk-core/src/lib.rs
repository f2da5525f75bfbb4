//! The PicoBase SDK for Rust, and the core of every other PicoBase SDK.
//!
//! PicoBase hosts PocketBase servers ("instances") that sleep when idle and wake on the first call. This crate talks to
//! them, and to any PocketBase server from 0.23 on: records, sign-in and sessions, files, batches, administration. Calls
//! survive a sleeping instance, sessions refresh in time and never turn into guests silently, and errors say what to do.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), picobase::Error> {
//! use picobase::{Client, filter, params};
//!
//! #[derive(serde::Deserialize)]
//! struct Post { id: String, title: String }
//!
//! let client = Client::new("http://127.0.0.1:8090", "")?;
//! client.auth().sign_in("ada@example.com", "correct horse").await?;
//!
//! let posts = client.collection("posts").typed::<Post>();
//! let created = posts.create(&serde_json::json!({"title": "hello"})).await?;
//! let wanted = filter("title ~ {:t}", params! { "t" => "hello" })?;
//! for post in posts.get_list(1, 20).filter(wanted).sort("-created").await?.items {
//!     println!("{} {}", post.id, post.title);
//! }
//! posts.delete(&created.id).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `reqwest` (default): the [`transport`] on reqwest, the runtime on tokio, and [`blocking`].
//! - `std` (part of `reqwest`): serde types, files on disk, the file store. Without it the crate is `no_std + alloc`, for
//!   the web only.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(
    not(feature = "std"),
    expect(clippy::arc_with_non_send_sync, reason = "on the web nothing is Send, and one code serves both")
)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod action;
pub mod admin;
pub mod auth;
#[cfg(feature = "reqwest")]
pub mod blocking;
mod call;
pub mod client;
pub mod endpoints;
mod error;
pub mod files;
pub mod filter;
mod gate;
mod json;
pub mod live;
pub mod realtime;
pub mod records;
mod retry;
pub mod runtime;
mod sync;
#[cfg(any(feature = "test-exports", test))]
#[doc(hidden)]
pub mod testing;
pub mod transport;
pub mod url;
#[cfg(test)]
mod vectors;

pub use self::{
    client::{Client, ClientBuilder},
    error::{Error, ErrorKind, FieldError},
    filter::filter,
    gate::InstanceState,
    json::{FromJson, Json, ToJson},
    records::{Collection, ListResult, Record},
};

#[cfg(not(feature = "std"))]
pub use self::json::{HostValue, JsonView};

/// The readers of foreign input, for the fuzz targets in `fuzz/` alone.
#[cfg(fuzzing)]
pub mod fuzzing;

/// The quickstart and the guide are compiled with the documentation tests.
#[cfg(all(doctest, feature = "reqwest"))]
mod guides {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../docs/rust.md")]
    mod rust {}
}
