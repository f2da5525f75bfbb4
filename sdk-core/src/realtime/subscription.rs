//! Subscribing, and what comes of it.

use alloc::{boxed::Box, string::String, sync::Arc};
use core::{
    fmt,
    future::{Future, IntoFuture, poll_fn},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{
    event::{Event, Message, RecordEvent, ResyncReason},
    machine::ListenerId,
    queue::{Item, Queue},
    topic::Topic,
};
use crate::{
    action::call_options,
    call::{DEFAULT_TIMEOUT, Limit},
    client::Client,
    error::{Error, ErrorKind},
    json::FromJson,
    records::Record,
    runtime::{BoxFuture, MaybeSend, compact, within},
    sync::boxed,
    transport::Headers,
    url::{Query, QueryValue},
};

/// What a subscription is made of: the options that [`call_options`] sets.
struct Asked {
    query: Query,
    headers: Headers,
    limit: Limit,
}

/// A subscription that is set up; await it. It is there when the server has acknowledged it. See
/// [`Collection::subscribe`](crate::Collection::subscribe) and [`Realtime::subscribe`](super::Realtime::subscribe).
#[must_use = "nothing is subscribed before this is awaited"]
pub struct Subscribe<T = Record> {
    client: Client,
    topic: Result<String, Error>,
    call: Asked,
    queue_max: Option<u32>,
    types: PhantomData<fn() -> T>,
}

call_options!(Subscribe<T>, T);

impl<T> Subscribe<T> {
    pub(crate) fn new(client: &Client, topic: Result<String, Error>) -> Self {
        let call = Asked { query: Query::new(), headers: Headers::new(), limit: Limit::Default };
        Subscribe { client: client.clone(), topic, call, queue_max: None, types: PhantomData }
    }

    /// Which records' events to send, in the server's filter language. The server says nothing of a record that no
    /// longer passes the filter; [`live`](crate::Collection::live) does.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let published = client.collection("posts").subscribe("*").filter("status = 'published'").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn filter(self, filter: impl Into<QueryValue>) -> Self {
        self.query("filter", filter)
    }

    /// How many events may wait for the consumer before the oldest are dropped, in place of
    /// [`RealtimeOptions::queue_max`](super::RealtimeOptions::queue_max).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let posts = client.collection("posts").subscribe("*").queue_max(10_000).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn queue_max(mut self, events: u32) -> Self {
        self.queue_max = Some(events.max(1));
        self
    }

    async fn run(self) -> Result<Subscription<T>, Error> {
        let topic = Topic::new(&self.topic?, self.call.query, self.call.headers)?;
        let subscription =
            Subscription { handle: Handle::new(&self.client, topic, false, self.queue_max)?, types: PhantomData };
        subscription.handle.established(self.call.limit).await?;
        Ok(subscription)
    }
}

impl<T: 'static> IntoFuture for Subscribe<T> {
    type Output = Result<Subscription<T>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T> fmt::Debug for Subscribe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe").field("topic", &self.topic.as_deref().unwrap_or_default()).finish_non_exhaustive()
    }
}

/// One listener: its place in the hub and its queue. Dropping it unsubscribes.
pub(crate) struct Handle {
    client: Client,
    id: ListenerId,
    queue: Arc<Queue>,
}

impl Handle {
    pub(crate) fn new(client: &Client, topic: Topic, raw: bool, queue_max: Option<u32>) -> Result<Handle, Error> {
        let (id, queue) = client.realtime.subscribe(client, topic, raw, queue_max)?;
        Ok(Handle { client: client.clone(), id, queue })
    }

    /// Waits for the server's acknowledgement.
    ///
    /// # Errors
    /// Kind `Timeout` at the deadline; what the server refused it with.
    pub(crate) fn established(&self, limit: Limit) -> impl Future<Output = Result<(), Error>> {
        compact(async move {
            let (runtime, options) = (&*self.client.shared.runtime, &self.client.shared.options);
            let (mut limit, mut lenient) = match (limit, options.timeout) {
                (Limit::Never, _) => (None, false),
                (Limit::After(limit), _) | (Limit::Default, Some(limit)) => (Some(limit), false),
                (Limit::Default, None) => (Some(DEFAULT_TIMEOUT), true),
            };
            loop {
                if let Some(result) = within(runtime, limit, poll_fn(|cx| self.queue.poll_established(cx))).await {
                    return result;
                }
                // As for calls: waiting for a sleeping instance does not count against the default.
                let asleep = self.client.shared.gate.open_pass().is_none();
                if !(core::mem::take(&mut lenient) && asleep) {
                    let message = "the server did not acknowledge the subscription in time";
                    return Err(Error::new(ErrorKind::Timeout, message));
                }
                limit = Some(options.cold_start_timeout.saturating_sub(DEFAULT_TIMEOUT));
            }
        })
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.queue.poll_next(cx)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.client.realtime.unsubscribe(&self.client, self.id);
    }
}

/// The events of one topic, as a stream. It goes on through every gap, for ever; dropping it unsubscribes.
///
/// An item is an error where the session has ended: the events go on when somebody has signed in or out. The stream
/// ends when it is unsubscribed, or after an error that nothing can mend.
///
/// ```
/// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
/// use futures_util::StreamExt;
/// use picobase::realtime::Event;
///
/// let mut posts = client.collection("posts").subscribe("*").await?;
/// while let Some(event) = posts.next().await {
///     if let Event::Record(change) = event? {
///         println!("{} {}", change.action.as_str(), change.id);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Subscription<T = Record> {
    handle: Handle,
    types: PhantomData<fn() -> T>,
}

impl<T> Subscription<T> {
    /// Ends it, as dropping does.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let posts = client.collection("posts").subscribe("*").await?;
    /// posts.unsubscribe();
    /// # Ok(())
    /// # }
    /// ```
    pub fn unsubscribe(self) {
        drop(self);
    }
}

impl<T: FromJson> Subscription<T> {
    /// Calls `listener` with every event, in a task of its own, until the handle is dropped. A listener that takes
    /// longer than the events come is told by [`Event::Lagged`].
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let handle = client.collection("posts").subscribe("*").await?.on(|event| println!("{event:?}"));
    /// // …
    /// handle.unsubscribe();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "dropping the handle unsubscribes"]
    pub fn on(self, mut listener: impl FnMut(Result<Event<T>, Error>) + MaybeSend + 'static) -> SubscriptionHandle {
        let handle = SubscriptionHandle { client: self.handle.client.clone(), id: self.handle.id };
        let listening = boxed(async move {
            let mut events = self;
            while let Some(event) = poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await {
                listener(event);
            }
        });
        handle.client.realtime.spawn(&handle.client, listening);
        handle
    }
}

impl<T> Unpin for Subscription<T> {}

impl<T: FromJson> Stream for Subscription<T> {
    type Item = Result<Event<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.handle.poll_next(cx).map(|item| {
            Some(match item? {
                Item::Record { action, id, origin, topic, json } => {
                    Ok(Event::Record(RecordEvent::new(action, id, origin, topic, json)))
                }
                Item::Message { topic, data } => Ok(Event::Message(Message::new(topic, data))),
                Item::Resync(reason) => Ok(Event::Resync(reason)),
                // Stale is for live queries alone, which are told of gaps so.
                Item::Stale => Ok(Event::Resync(ResyncReason::Unavailable)),
                Item::Lagged(missed) => Ok(Event::Lagged { missed }),
                Item::Error(error) => Err(error),
            })
        })
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.handle.id).finish_non_exhaustive()
    }
}

/// Keeps a listener of [`Subscription::on`] in place; dropping it unsubscribes.
#[derive(Debug)]
pub struct SubscriptionHandle {
    client: Client,
    id: ListenerId,
}

impl SubscriptionHandle {
    /// Ends it, as dropping does: the listener is not called any more.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let handle = client.collection("posts").subscribe("*").await?.on(|_| {});
    /// handle.unsubscribe();
    /// # Ok(())
    /// # }
    /// ```
    pub fn unsubscribe(self) {
        drop(self);
    }
}

impl Drop for SubscriptionHandle {
    fn drop(&mut self) {
        self.client.realtime.unsubscribe(&self.client, self.id);
    }
}
