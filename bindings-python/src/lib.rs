//! The extension module `picobase._native`: the core, as Python calls it.
//!
//! There is no business logic here. What the modules do is what a binding has to: run a future of the core, either on the
//! calling thread or for asyncio (`run`), survive a fork (`client`), and turn Python objects into what the core takes
//! and back (`body`, `value`, `json`, `error`). The other modules are the core's nouns; their methods answer an awaitable
//! or, for a blocking client, the result itself. The public API is written in Python, in `pypi/src/picobase`.

#![deny(unsafe_code)]

mod auth;
mod batch;
mod beside;
mod body;
mod client;
mod closing;
mod cookies;
mod error;
mod exit;
mod files;
mod fork;
mod home;
mod hooks;
mod json;
mod kept;
mod live;
mod logging;
mod options;
mod progress;
mod realtime;
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
    use super::{
        batch::NativeBatch,
        client::Native,
        records::{NativeRecords, NativeWalk},
    };

    #[pymodule_export]
    use super::{
        json::{loads, without_unset},
        value::filter,
    };

    #[pymodule_export]
    use super::{
        beside::{Errands, Wanted},
        files::{NativeDownload, NativeFiles},
    };

    #[pymodule_export]
    use super::realtime::{NativeFeed, NativeRealtime};

    #[pymodule_export]
    use super::{
        auth::{NativeAuth, NativeChanges, NativeListener},
        cookies::{from_cookies, removal_cookies, to_cookies, token_expiry, token_record},
        store::NativeStore,
    };

    #[cfg(feature = "test-exports")]
    #[pymodule_export]
    use super::vectors::testing;

    #[pymodule_init]
    fn init(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        use super::PyModuleMethods;

        super::home::check(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        // Made here, while no other thread can be in it, see `kept`.
        module.py().get_type::<super::progress::Teller>();
        super::logging::start();
        super::exit::watch(module)
    }
}
