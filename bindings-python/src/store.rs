//! Where sessions are kept.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use picobase::{
    Error,
    auth::{Session, Store},
    runtime::BoxFuture,
};

/// A session in memory. Unlike the core's own store it holds no lock, so that a child process can read what its parent
/// had at the fork.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<ArcSwapOption<String>>);

impl Kept {
    pub(crate) fn empty() -> Kept {
        Kept::default()
    }

    pub(crate) fn holding(session: &Session) -> Kept {
        let kept = Kept::default();
        kept.0.store(Some(Arc::new(session.to_stored())));
        kept
    }

    /// What it holds now.
    pub(crate) fn session(&self) -> Option<Session> {
        self.0.load_full().and_then(|text| Session::from_stored(&text))
    }
}

impl Store for Kept {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(async { Ok(self.0.load_full().map(|text| text.as_ref().clone())) })
    }

    fn save(&self, session: String) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.0.store(Some(Arc::new(session)));
            Ok(())
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.0.store(None);
            Ok(())
        })
    }
}
