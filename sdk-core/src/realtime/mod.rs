//! Realtime: what the server pushes.

#[allow(dead_code, reason = "the rest of the module is to come")]
pub(crate) mod sse;
