//! What the scenarios share.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use picobase::{Client, ClientBuilder, InstanceState};
use picobase_testkit::{LoggedRequest, Proxy};

use crate::common::{PATIENCE, builder, kit};

/// A proxy before the shared server.
pub(crate) async fn proxy() -> Proxy {
    kit().proxy().await
}

/// A client, and what `on_state` told.
pub(crate) fn watched(url: &str, set: impl FnOnce(ClientBuilder) -> ClientBuilder) -> (Client, States) {
    let states = States::default();
    let sink = states.0.clone();
    let client = set(builder(url)).on_state(move |state| sink.lock().unwrap().push(*state)).build().unwrap();
    (client, states)
}

/// What `on_state` told.
#[derive(Clone, Default)]
pub(crate) struct States(Arc<Mutex<Vec<InstanceState>>>);

impl States {
    pub(crate) fn all(&self) -> Vec<InstanceState> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until these and no others have been told.
    pub(crate) async fn are(&self, wanted: &[InstanceState]) {
        let end = Instant::now() + PATIENCE;
        while self.all() != wanted {
            assert!(Instant::now() < end, "{:?} are not {wanted:?}", self.all());
            tokio::time::sleep(ms(5)).await;
        }
    }
}

/// Milliseconds as a duration.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Runs something and says how long it took.
pub(crate) async fn timed<F: IntoFuture>(work: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = work.into_future().await;
    (output, start.elapsed())
}

/// Polls something for a while, and then drops it.
pub(crate) async fn cancelled_after<F: IntoFuture>(time: Duration, work: F) {
    assert!(tokio::time::timeout(time, work.into_future()).await.is_err(), "it was done before it could be cancelled");
}

/// Waits until no request is being answered any more.
pub(crate) async fn settled(proxy: &Proxy) {
    let end = Instant::now() + PATIENCE;
    while proxy.stats().await.in_flight > 0 {
        let open: Vec<_> =
            proxy.requests().await.into_iter().filter(|r| r.ended_ms.is_none()).map(|r| r.path).collect();
        assert!(Instant::now() < end, "requests are still in flight: {open:?}");
        tokio::time::sleep(ms(20)).await;
    }
}

/// Are these requests one behind the other?
pub(crate) fn one_at_a_time(log: &[&LoggedRequest]) -> bool {
    log.windows(2).all(|pair| pair[0].ended_ms.is_some_and(|end| end <= pair[1].started_ms))
}
