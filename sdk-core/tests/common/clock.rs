//! Clocks that are wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use picobase::{
    Error,
    runtime::{BoxFuture, Runtime, TokioRuntime},
};

/// A runtime whose clock is wrong by so many milliseconds.
pub(crate) struct Skewed {
    tokio: TokioRuntime,
    by: AtomicI64,
}

impl Skewed {
    pub(crate) fn new(by: i64) -> Arc<Self> {
        Arc::new(Skewed { tokio: TokioRuntime::new(), by: AtomicI64::new(by) })
    }

    /// From now on it is wrong by that much.
    pub(crate) fn set(&self, by: i64) {
        self.by.store(by, Ordering::Relaxed);
    }
}

impl Runtime for Skewed {
    fn now(&self) -> u64 {
        self.tokio.now().saturating_add_signed(self.by.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Duration {
        self.tokio.uptime()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.tokio.sleep(time)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.tokio.random(bytes)
    }

    fn sha256(&self, data: &[u8]) -> BoxFuture<'static, Result<[u8; 32], Error>> {
        self.tokio.sha256(data)
    }

    fn spawn(&self, work: BoxFuture<'static, ()>) {
        self.tokio.spawn(work);
    }
}
