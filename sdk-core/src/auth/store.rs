//! Where a session is kept between runs.

use alloc::{string::String, sync::Arc};
use core::fmt;

use crate::{
    error::Error,
    runtime::{BoxFuture, Lock, MaybeSend, MaybeSync},
    sync::boxed,
};

/// Keeps one session as text: JSON `{"token": …, "record": …}`, the form that the PocketBase SDK uses as well.
///
/// Bring your own to keep it in a keychain or a database. The client serialises its calls to a store; what it hands to
/// [`save`](Store::save) is what [`load`](Store::load) must answer later.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use picobase::{Client, Error, auth::Store, runtime::BoxFuture};
///
/// #[derive(Default)]
/// struct Keychain(Arc<Mutex<Option<String>>>);
///
/// impl Store for Keychain {
///     fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
///         Box::pin(async { Ok(self.0.lock().ok().and_then(|slot| slot.clone())) })
///     }
///     fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
///         Box::pin(async { if let Ok(mut slot) = self.0.lock() { *slot = Some(session) } Ok(()) })
///     }
///     fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
///         Box::pin(async { if let Ok(mut slot) = self.0.lock() { *slot = None } Ok(()) })
///     }
/// }
///
/// let client = Client::builder().url("http://h").store(Keychain::default()).build()?;
/// # Ok::<(), picobase::Error>(())
/// ```
pub trait Store: MaybeSend + MaybeSync + 'static {
    /// What was saved last; none if nothing was, or if it was cleared.
    ///
    /// # Errors
    /// Kind `Storage` where it cannot be read. Calls that need the session fail with it and the next one tries again.
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>>;

    /// Keeps the session.
    ///
    /// # Errors
    /// Kind `Storage` where it cannot be kept.
    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>>;

    /// Forgets the session.
    ///
    /// # Errors
    /// Kind `Storage` where it cannot be removed.
    fn clear(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Puts what [`load`](Store::load) answered aside because it is no session, so that it is not lost. Answers where
    /// it went, for the report. By default it stays where it is until the next save.
    ///
    /// # Errors
    /// Kind `Storage` where it cannot be moved.
    fn set_aside(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        boxed(async { Ok(None) })
    }
}

/// A store that several clients use.
impl<S: Store + ?Sized> Store for Arc<S> {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        (**self).load()
    }

    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
        (**self).save(session)
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        (**self).clear()
    }

    fn set_aside(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        (**self).set_aside()
    }
}

/// Keeps the session in memory: it ends with the process.
///
/// ```
/// use picobase::{Client, auth::MemoryStore};
/// let client = Client::builder().url("http://h").store(MemoryStore::new()).build()?;
/// # Ok::<(), picobase::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    slot: Arc<Lock<Option<String>>>,
}

impl MemoryStore {
    /// An empty store.
    ///
    /// ```
    /// let store = picobase::auth::MemoryStore::new();
    /// # let _ = store;
    /// ```
    pub fn new() -> Self {
        MemoryStore { slot: Arc::new(Lock::new(None)) }
    }

    pub(crate) fn holding(session: String) -> Self {
        MemoryStore { slot: Arc::new(Lock::new(Some(session))) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}

impl Store for MemoryStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        boxed(async { Ok(self.slot.with(|slot| slot.clone())) })
    }

    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
        boxed(async {
            self.slot.with(|slot| *slot = Some(session));
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        boxed(async {
            self.slot.with(|slot| *slot = None);
            Ok(())
        })
    }
}
