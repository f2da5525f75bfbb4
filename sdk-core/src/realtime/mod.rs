//! Realtime: what the server pushes, without a gap.
//!
//! One stream of server-sent events for each client brings the events of all its subscriptions. It is replaced before the
//! server ends it and comes back after every failure, and what was missed meanwhile is fetched: subscriptions converge
//! to the current state. Where that cannot be, [`Event::Resync`] says so.
//!
//! ```text
//! Subscription ← queue ← hub ← machine (link: streams; feed: one topic, its order and its gaps)
//!                         ↕
//!                       worker: stream (sse), submits, fetches, timer
//! ```
//!
//! The machine is pure and is tested alone; the worker is the only one that does I/O.

mod event;
mod feed;
mod fetch;
mod hub;
mod link;
mod machine;
pub(crate) mod moment;
mod options;
mod overlap;
mod queue;
mod running;
mod seen;
pub(crate) mod sse;
pub(crate) mod stream;
mod subscription;
mod topic;
mod worker;

use alloc::string::ToString;
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

pub use self::{
    event::{Event, EventAction, Message, Origin, RealtimeState, RecordEvent, ResyncReason},
    machine::NetworkHint,
    options::RealtimeOptions,
    subscription::{Subscribe, Subscription, SubscriptionHandle},
};
pub(crate) use self::{
    hub::Hub,
    machine::{Input, Viewer},
    queue::Item,
    running::Workers,
    subscription::Handle,
    topic::Topic,
};
use crate::{client::Client, records::Record};

/// The client's event stream, its topics and its state.
///
/// ```
/// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
/// use futures_util::StreamExt;
/// let mut news = client.realtime().subscribe("news").await?;
/// while let Some(event) = news.next().await {
///     println!("{:?}", event?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Realtime {
    client: Client,
}

impl Realtime {
    pub(crate) fn new(client: &Client) -> Realtime {
        Realtime { client: client.clone() }
    }

    /// Subscribes to a topic: `posts/*` or `posts` for all records of a collection, `posts/RECORD_ID` for one, any other
    /// for messages of one's own.
    ///
    /// # Errors
    /// Kind `Validation` for a topic beyond the first 1,000, or one of more than 2,500 characters; `Timeout` where the
    /// server did not acknowledge it in time.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let news = client.realtime().subscribe("news").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, topic: &str) -> Subscribe<Record> {
        Subscribe::new(&self.client, Ok(topic.to_string()))
    }

    /// Ends all subscriptions of a topic, whatever their options.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// client.realtime().unsubscribe("posts/*");
    /// # }
    /// ```
    pub fn unsubscribe(&self, topic: &str) {
        let plain = |topic: &str| topic.strip_suffix("/*").unwrap_or(topic).to_string();
        let wanted = plain(topic);
        self.client.realtime.unsubscribe_where(&self.client, &|topic| plain(topic) == wanted);
    }

    /// Ends all subscriptions whose topic begins so, whatever their options.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// client.realtime().unsubscribe_prefix("posts/");
    /// # }
    /// ```
    pub fn unsubscribe_prefix(&self, prefix: &str) {
        self.client.realtime.unsubscribe_where(&self.client, &|topic| topic.starts_with(prefix));
    }

    /// Ends all subscriptions of this client.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// client.realtime().unsubscribe_all();
    /// # }
    /// ```
    pub fn unsubscribe_all(&self) {
        self.client.realtime.unsubscribe_where(&self.client, &|_| true);
    }

    /// How it stands with the stream.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// use picobase::realtime::RealtimeState;
    /// if client.realtime().state() == RealtimeState::Reconnecting {
    ///     println!("offline");
    /// }
    /// # }
    /// ```
    pub fn state(&self) -> RealtimeState {
        self.client.realtime.current_state()
    }

    /// The state now, and then whenever it is another one. A slow reader sees the latest.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) {
    /// use futures_util::StreamExt;
    /// let mut states = client.realtime().states();
    /// while let Some(state) = states.next().await {
    ///     println!("{}", state.as_str());
    /// }
    /// # }
    /// ```
    pub fn states(&self) -> RealtimeStates {
        RealtimeStates { client: self.client.clone(), seen: None }
    }

    /// Tells what the platform knows of network and page, so that a dead stream is noticed sooner and a page that
    /// nobody looks at does not keep its instance awake.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// use picobase::realtime::NetworkHint;
    /// client.realtime().hint(NetworkHint::Online);
    /// # }
    /// ```
    pub fn hint(&self, hint: NetworkHint) {
        self.client.realtime.send(&self.client, Input::Hint(hint));
    }
}

/// See [`Realtime::states`].
pub struct RealtimeStates {
    client: Client,
    seen: Option<RealtimeState>,
}

impl Stream for RealtimeStates {
    type Item = RealtimeState;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RealtimeState>> {
        let state = match self.client.realtime.poll_state(self.seen, cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(state) => state,
        };
        self.seen = Some(state);
        Poll::Ready(Some(state))
    }
}

impl fmt::Debug for RealtimeStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealtimeStates").field("seen", &self.seen).finish_non_exhaustive()
    }
}
