//! B9: sessions whose time runs out, and clocks that are wrong.

use std::{sync::Arc, time::Duration};

use picobase::{
    Error,
    runtime::{BoxFuture, Runtime, TokioRuntime},
};

/// A runtime whose clock is wrong by so many milliseconds.
pub(crate) struct Skewed(TokioRuntime, i64);

impl Skewed {
    pub(crate) fn new(by: i64) -> Arc<Self> {
        Arc::new(Skewed(TokioRuntime::new(), by))
    }
}

impl Runtime for Skewed {
    fn now(&self) -> u64 {
        self.0.now().saturating_add_signed(self.1)
    }

    fn uptime(&self) -> Duration {
        self.0.uptime()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(time)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.random(bytes)
    }

    fn sha256(&self, data: &[u8]) -> BoxFuture<'static, Result<[u8; 32], Error>> {
        self.0.sha256(data)
    }
}
