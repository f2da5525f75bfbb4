//! The core as a WebAssembly module.
//!
//! ```text
//! facade (TypeScript) → start(op) → ops → the core's methods → futures
//!                                            executor polls them until all wait
//! facade ← settle, event, notice             platform: transport, timers, stores
//!                                            ↓ effect            ↑ complete
//!                                          JavaScript: fetch, setTimeout, localStorage
//! ```
//!
//! There is no logic here. JavaScript starts an operation by its number; the futures of the core are polled until they
//! wait for the world; what they want of it is an effect that JavaScript performs and completes. Bodies of
//! records are JavaScript values and cross as handles. `abi` is the only file with `unsafe` and the only one that
//! knows how values lie in memory; `frame` is how they are written.
#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod abi;
#[cfg(target_arch = "wasm32")]
mod clients;
#[cfg(target_arch = "wasm32")]
mod executor;
#[cfg(target_arch = "wasm32")]
mod frame;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod ops;
#[cfg(target_arch = "wasm32")]
mod platform;
#[cfg(all(target_arch = "wasm32", feature = "test-exports"))]
mod testing;
