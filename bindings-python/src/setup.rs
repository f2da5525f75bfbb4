//! What a client is set up with. It is kept, for a child process begins with it anew.

use std::{sync::Arc, time::Duration};

use picobase::{
    Client, ClientBuilder,
    auth::{Credentials, Store},
    realtime::RealtimeOptions,
};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyString},
};

use crate::{options::timeout, store::Kept};

/// The options of a client as Python gave them.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) is_blocking: bool,
    url: Option<String>,
    key: Option<String>,
    timeout: Option<Duration>,
    cold_start_timeout: Option<Duration>,
    transfer_idle_timeout: Option<Duration>,
    max_retries: Option<u32>,
    accept_language: Option<String>,
    auth_collection: Option<String>,
    server_version: Option<String>,
    credentials: Option<(String, String, Option<String>)>,
    kept: Kept,
}

impl Setup {
    pub(crate) fn read(is_blocking: bool, given: &Bound<'_, PyDict>) -> PyResult<Setup> {
        let mut setup = Setup { is_blocking, ..Setup::default() };
        for (name, value) in given {
            let name = name.cast::<PyString>()?.to_str()?;
            if !value.is_none() {
                setup.take(name, &value)?;
            }
        }
        Ok(setup)
    }

    fn take(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match name {
            "url" => self.url = Some(value.extract()?),
            "api_key" => self.key = Some(value.extract()?),
            "timeout" => self.timeout = timeout(value)?,
            "cold_start_timeout" => self.cold_start_timeout = timeout(value)?,
            "transfer_idle_timeout" => self.transfer_idle_timeout = timeout(value)?,
            "max_retries" => self.max_retries = Some(value.extract()?),
            "accept_language" => self.accept_language = Some(value.extract()?),
            "auth_collection" => self.auth_collection = Some(value.extract()?),
            "server_version" => self.server_version = Some(value.extract()?),
            "credentials" => self.credentials = Some(value.extract()?),
            _ => return Err(PyTypeError::new_err(format!("unexpected keyword argument '{name}'"))),
        }
        Ok(())
    }

    /// A builder with these options.
    pub(crate) fn builder(&self, py: Python<'_>) -> PyResult<ClientBuilder> {
        let _ = py;
        let mut builder = Client::builder().realtime(RealtimeOptions::default());
        #[cfg(feature = "test-exports")]
        {
            builder = crate::vectors::staged(builder);
        }
        let texts: [(&Option<String>, fn(ClientBuilder, &str) -> ClientBuilder); 5] = [
            (&self.url, ClientBuilder::url),
            (&self.key, ClientBuilder::api_key),
            (&self.accept_language, ClientBuilder::accept_language),
            (&self.auth_collection, ClientBuilder::auth_collection),
            (&self.server_version, ClientBuilder::server_version),
        ];
        for (text, set) in texts {
            if let Some(text) = text {
                builder = set(builder, text);
            }
        }
        let times: [(Option<Duration>, fn(ClientBuilder, Duration) -> ClientBuilder); 3] = [
            (self.timeout, ClientBuilder::timeout),
            (self.cold_start_timeout, ClientBuilder::cold_start_timeout),
            (self.transfer_idle_timeout, ClientBuilder::transfer_idle_timeout),
        ];
        for (time, set) in times {
            if let Some(time) = time {
                builder = set(builder, time);
            }
        }
        if let Some(times) = self.max_retries {
            builder = builder.max_retries(times);
        }
        if let Some((identity, password, collection)) = &self.credentials {
            let credentials = Credentials::new(identity, password);
            builder = builder.credentials(match collection {
                Some(collection) => credentials.collection(collection),
                None => credentials,
            });
        }
        Ok(builder.store(Shared(Arc::new(self.kept.clone()))))
    }
}

/// A store that the next client, in a child process, uses as well.
struct Shared(Arc<dyn Store>);

impl Store for Shared {
    fn load(&self) -> picobase::runtime::BoxFuture<'_, Result<Option<String>, picobase::Error>> {
        self.0.load()
    }

    fn save(&self, session: String) -> picobase::runtime::BoxFuture<'_, Result<(), picobase::Error>> {
        self.0.save(session)
    }

    fn clear(&self) -> picobase::runtime::BoxFuture<'_, Result<(), picobase::Error>> {
        self.0.clear()
    }

    fn set_aside(&self) -> picobase::runtime::BoxFuture<'_, Result<Option<String>, picobase::Error>> {
        self.0.set_aside()
    }
}
