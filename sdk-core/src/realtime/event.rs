//! What a subscription yields.

use alloc::{string::String, sync::Arc};
use core::{fmt, marker::PhantomData};

use crate::{
    error::Error,
    json::{FromJson, Json},
    records::Record,
};

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventAction {
    /// It was created.
    Create,
    /// It was changed. Where this overtakes the creation, which the server may tell of later, no `Create` comes.
    Update,
    /// It was deleted.
    Delete,
}

impl EventAction {
    /// The word for it on the wire: `create`, `update`, `delete`.
    ///
    /// ```
    /// assert_eq!(picobase::realtime::EventAction::Create.as_str(), "create");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            EventAction::Create => "create",
            EventAction::Update => "update",
            EventAction::Delete => "delete",
        }
    }

    pub(crate) fn read(word: &str) -> Option<EventAction> {
        match word {
            "create" => Some(EventAction::Create),
            "update" => Some(EventAction::Update),
            "delete" => Some(EventAction::Delete),
            _ => None,
        }
    }
}

/// How the client came to know of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The server sent it when it happened.
    Live,
    /// It happened while the stream was down, and was fetched afterwards. Of several changes to one record only the
    /// last is known.
    CatchUp,
}

impl Origin {
    /// The word for it that all languages use: `live`, `catchup`.
    ///
    /// ```
    /// assert_eq!(picobase::realtime::Origin::CatchUp.as_str(), "catchup");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Live => "live",
            Origin::CatchUp => "catchup",
        }
    }
}

/// Why events may be missing that cannot be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResyncReason {
    /// The topic is no collection, or its records cannot be told by their age: they have no `updated` field.
    NoHistory,
    /// The collection may not be listed.
    NoListAccess,
    /// More was missed than `catch_up_max` records, or more records were seen than `tracked_max`.
    TooMuch,
    /// Somebody else is signed in now, or nobody: other records may be seen.
    AuthChanged,
    /// The server could not be asked, or catching up is turned off.
    Unavailable,
}

impl ResyncReason {
    /// The word for it that all languages use.
    ///
    /// ```
    /// assert_eq!(picobase::realtime::ResyncReason::NoListAccess.as_str(), "no_list_access");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            ResyncReason::NoHistory => "no_history",
            ResyncReason::NoListAccess => "no_list_access",
            ResyncReason::TooMuch => "too_much",
            ResyncReason::AuthChanged => "auth_changed",
            ResyncReason::Unavailable => "unavailable",
        }
    }
}

/// One item of a [`Subscription`](super::Subscription).
///
/// ```
/// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
/// use futures_util::StreamExt;
/// use picobase::realtime::{Event, EventAction};
///
/// let mut posts = client.collection("posts").subscribe("*").await?;
/// while let Some(event) = posts.next().await {
///     match event? {
///         Event::Record(change) if change.action == EventAction::Delete => println!("{} is gone", change.id),
///         Event::Record(change) => println!("{} {:?}", change.action.as_str(), change.record()?),
///         Event::Resync(_) | Event::Lagged { .. } => println!("fetch the list again"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<T = Record> {
    /// A record was created, changed or deleted.
    Record(RecordEvent<T>),
    /// A message on a custom topic.
    Message(Message),
    /// Something may be missing that could not be fetched: list again what you show.
    Resync(ResyncReason),
    /// The consumer was too slow: so many of the oldest waiting events were dropped. List again what you show.
    Lagged {
        /// How many events were dropped.
        missed: u64,
    },
}

/// What happened to one record.
#[non_exhaustive]
pub struct RecordEvent<T = Record> {
    /// What happened.
    pub action: EventAction,
    /// The record's id.
    pub id: String,
    /// Whether it was sent when it happened or fetched later.
    pub origin: Origin,
    /// The topic of the subscription, without its options: `posts/*` for example.
    pub topic: Arc<str>,
    /// The record as the server sent it. A delete that was found out later has no more than `id` and
    /// `collectionName`.
    pub json: Json,
    types: PhantomData<fn() -> T>,
}

impl<T> RecordEvent<T> {
    pub(crate) fn new(action: EventAction, id: String, origin: Origin, topic: Arc<str>, json: Json) -> Self {
        RecordEvent { action, id, origin, topic, json, types: PhantomData }
    }
}

impl<T: FromJson> RecordEvent<T> {
    /// The record, decoded.
    ///
    /// # Errors
    /// Kind `Decode` where it does not fit the type. A delete that was found out later has no fields but the id: use
    /// [`id`](Self::id) for deletes.
    ///
    /// ```
    /// # fn demo(change: picobase::realtime::RecordEvent) -> Result<(), picobase::Error> {
    /// println!("{:?}", change.record()?.get_str("title"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn record(&self) -> Result<T, Error> {
        T::from_json(self.json.clone())
    }
}

impl<T> Clone for RecordEvent<T> {
    fn clone(&self) -> Self {
        RecordEvent::new(self.action, self.id.clone(), self.origin, self.topic.clone(), self.json.clone())
    }
}

impl<T> fmt::Debug for RecordEvent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordEvent")
            .field("action", &self.action)
            .field("id", &self.id)
            .field("origin", &self.origin)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// A message on a custom topic.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Message {
    /// The topic, without its options.
    pub topic: Arc<str>,
    /// What the server sent; text that is no JSON arrives as a JSON string.
    pub data: Json,
}

impl Message {
    pub(crate) fn new(topic: Arc<str>, data: Json) -> Self {
        Message { topic, data }
    }
}

/// How the client stands with the server's event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RealtimeState {
    /// Nothing is subscribed, so there is no stream.
    Disconnected,
    /// The first stream is being opened.
    Connecting,
    /// The stream is there.
    Connected,
    /// The stream is gone and comes back: what happens meanwhile is fetched then.
    Reconnecting,
    /// There is no stream on purpose: the session has ended, or nobody looks at the page. It comes back with the next
    /// sign-in or sign-out, or when somebody looks.
    Suspended,
}

impl RealtimeState {
    /// The word for it that all languages use.
    ///
    /// ```
    /// assert_eq!(picobase::realtime::RealtimeState::Connected.as_str(), "connected");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            RealtimeState::Disconnected => "disconnected",
            RealtimeState::Connecting => "connecting",
            RealtimeState::Connected => "connected",
            RealtimeState::Reconnecting => "reconnecting",
            RealtimeState::Suspended => "suspended",
        }
    }
}
