//! What a client is set up with. It is kept, for a child process begins with it anew.

use std::{sync::Arc, time::Duration};

use picobase::{Client, ClientBuilder, ErrorKind, auth::Credentials, realtime::RealtimeOptions};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyString},
};

use crate::{
    body,
    hooks::Hooks,
    options::{option, whole},
    realtime,
    store::Keeper,
};

type SetText = fn(ClientBuilder, &str) -> ClientBuilder;
type SetTime = fn(ClientBuilder, Duration) -> ClientBuilder;

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
    realtime: RealtimeOptions,
    pub(crate) keeper: Keeper,
    pub(crate) hooks: Arc<Hooks>,
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
            "url" => self.url = Some(text(value, name)?),
            "api_key" => self.key = Some(text(value, name)?),
            "timeout" => self.timeout = option(value, name)?,
            "cold_start_timeout" => self.cold_start_timeout = option(value, name)?,
            "transfer_idle_timeout" => self.transfer_idle_timeout = option(value, name)?,
            "max_retries" => self.max_retries = Some(whole(value, name, ErrorKind::Configuration)?),
            "accept_language" => self.accept_language = Some(text(value, name)?),
            "auth_collection" => self.auth_collection = Some(text(value, name)?),
            "server_version" => self.server_version = Some(text(value, name)?),
            "credentials" => self.credentials = Some(credentials(value)?),
            "store" => self.keeper = Keeper::read(value, self.is_blocking)?,
            "realtime" => self.realtime = realtime::settings(value)?,
            _ if self.hooks.take(name, value)? => {}
            _ => return Err(PyTypeError::new_err(format!("unexpected keyword argument '{name}'"))),
        }
        Ok(())
    }

    /// A builder with these options.
    pub(crate) fn builder(&self) -> ClientBuilder {
        let mut builder = self.hooks.apply(Client::builder().realtime(self.realtime.clone()));
        #[cfg(feature = "test-exports")]
        {
            builder = crate::vectors::staged(builder);
        }
        let texts: [(&Option<String>, SetText); 5] = [
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
        let times: [(Option<Duration>, SetTime); 3] = [
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
        let builder = builder.store(self.keeper.store());
        match self.keeper.held() {
            Some(held) => builder.held(held),
            None => builder,
        }
    }
}

/// Text, and nothing that stands for it: `SecretStr` of pydantic's is written as stars.
fn text(given: &Bound<'_, PyAny>, name: &str) -> PyResult<String> {
    match given.cast::<PyString>() {
        Ok(text) => Ok(body::text(text)?.to_owned()),
        Err(_) => Err(PyTypeError::new_err(format!("{name} must be a str, not {}", body::type_name(given)))),
    }
}

/// Identity and password, and perhaps the collection.
fn credentials(given: &Bound<'_, PyAny>) -> PyResult<(String, String, Option<String>)> {
    let read = match given.extract::<(String, String)>() {
        Ok((identity, password)) => Ok((identity, password, None)),
        Err(_) => given.extract(),
    };
    // In words of our own: the password stays out of them.
    read.map_err(|_| {
        PyTypeError::new_err(
            "credentials are a tuple of strings: (identity, password) or (identity, password, collection)",
        )
    })
}
