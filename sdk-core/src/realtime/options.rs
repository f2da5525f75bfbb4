//! The settings of realtime.

use core::time::Duration;

/// The settings of realtime, for [`ClientBuilder::realtime`](crate::ClientBuilder::realtime).
///
/// ```
/// use std::time::Duration;
/// use picobase::{Client, realtime::RealtimeOptions};
///
/// let mut realtime = RealtimeOptions::default();
/// realtime.liveness = Duration::from_secs(60);
/// let client = Client::builder().url("http://127.0.0.1:8090").realtime(realtime).build()?;
/// # Ok::<(), picobase::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RealtimeOptions {
    /// How long a stream may be silent before it is replaced by a new one, which also shows whether it was still
    /// alive. At most, and by default, 4.5 minutes: the server closes a silent stream after 5. A stream that died
    /// without a sign is noticed after this time; each replacement costs a few small requests.
    pub liveness: Duration,
    /// How old a stream may become before it is replaced, however busy it is. At most, and by default, 25 minutes: the
    /// server closes every stream after 30.
    pub max_age: Duration,
    /// How long the old stream is still heard after a new one has taken its place, for what is on its way. Default:
    /// 0.5 s.
    pub overlap: Duration,
    /// How long a stream is kept after the last subscription has gone. Default: 1 s.
    pub linger: Duration,
    /// Whether what happened during a gap is fetched. Without it every gap is told by an
    /// [`Event::Resync`](super::Event::Resync). Default: yes.
    pub catch_up: bool,
    /// How far behind the newest event seen the fetching begins: the server sends events in no strict order, and a
    /// long transaction is told later than its `updated` says. Default: 10 s.
    pub catch_up_skew: Duration,
    /// How many records are fetched after a gap; where more were missed, [`Event::Resync`](super::Event::Resync) says
    /// so. Default: 5,000.
    pub catch_up_max: u32,
    /// How many records of a topic are kept in mind to put events in order and to find out what was deleted during a
    /// gap. A little over 100 bytes each. Default: 5,000.
    pub tracked_max: u32,
    /// How many events may wait for a consumer before the oldest are dropped, which
    /// [`Event::Lagged`](super::Event::Lagged) tells. Default: 1,000.
    pub queue_max: u32,
}

impl RealtimeOptions {
    /// The longest silence: the server ends a stream after 5 minutes.
    const LIVENESS_MAX: Duration = Duration::from_secs(270);
    /// The greatest age: the server ends a stream after 30 minutes.
    const AGE_MAX: Duration = Duration::from_secs(25 * 60);

    /// The options with everything in its bounds.
    pub(crate) fn checked(mut self) -> Self {
        let least = Duration::from_millis(100);
        self.liveness = self.liveness.clamp(least, Self::LIVENESS_MAX);
        self.max_age = self.max_age.clamp(least, Self::AGE_MAX);
        self.catch_up_max = self.catch_up_max.max(1);
        self.tracked_max = self.tracked_max.max(1);
        self.queue_max = self.queue_max.max(1);
        self
    }
}

impl Default for RealtimeOptions {
    fn default() -> Self {
        RealtimeOptions {
            liveness: Self::LIVENESS_MAX,
            max_age: Self::AGE_MAX,
            overlap: Duration::from_millis(500),
            linger: Duration::from_secs(1),
            catch_up: true,
            catch_up_skew: Duration::from_secs(10),
            catch_up_max: 5000,
            tracked_max: 5000,
            queue_max: 1000,
        }
    }
}
