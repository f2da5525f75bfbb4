//! The extension module `picobase._native`: the core, as Python calls it.
//!
//! There is no business logic here. What the modules do is what a binding has to: run a future of the core, either on the
//! calling thread or for asyncio (`run`), survive a fork (`client`), and turn Python objects into what the core takes
//! and back (`body`, `value`, `json`, `error`). The other modules are the core's nouns; their methods answer an awaitable
//! or, for a blocking client, the result itself. The public API is written in Python, in `pypi/src/picobase`.

#![deny(unsafe_code)]

mod beside;
mod body;
mod client;
mod error;
mod fork;
mod json;
mod options;
mod records;
mod run;
mod setup;
mod source;
mod store;
mod value;
#[cfg(feature = "test-exports")]
mod vectors;

use pyo3::prelude::*;

/// The core of the PicoBase SDK.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::{client::Native, records::NativeRecords};

    #[cfg(feature = "test-exports")]
    #[pymodule_export]
    use super::vectors::testing;
}
