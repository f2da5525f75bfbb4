//! Live queries: a list that stays as a fresh list would be.
//!
//! [`Collection::live`](crate::Collection::live) answers the list once, as a snapshot, and then the changes that turn it
//! into what it has become: records that enter, change, move and leave, also those that no longer pass the filter,
//! across reconnects, sign-in and sign-out. Whenever the stream is quiet, the list equals a fresh one.
//!
//! Which records belong to the list, and in what order, only the server knows: its filters and rules are never
//! computed here. An event says that a record may have changed; then the server is asked for the ids of the list, and
//! for the bodies that the events have not brought.
//!
//! ```text
//! Live ← watch (signals, pace, calls) ← realtime: a listener that hears of everything
//!          ↓
//!        view: from the old list and the new one to the changes
//! ```

mod bodies;
mod query;
mod view;
mod watch;

use alloc::{string::String, vec::Vec};

pub use self::query::{Live, LiveQuery};
use crate::{error::Error, json::FromJson, json::Json};

/// One item of a [`Live`].
///
/// ```
/// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
/// use futures_util::StreamExt;
/// use picobase::live::LiveEvent;
///
/// let mut list = Vec::new();
/// let mut live = client.collection("posts").live().filter("status = 'published'").sort("-created").await?;
/// while let Some(event) = live.next().await {
///     match event? {
///         LiveEvent::Snapshot(records) => list = records,
///         LiveEvent::Change(change) => change.apply(&mut list),
///         _ => {}
///     }
///     println!("{} posts", list.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveEvent<T> {
    /// The whole list: the first item.
    Snapshot(Vec<T>),
    /// What has changed since the item before.
    Change(LiveChange<T>),
}

/// One change of the list. All indexes are those at the moment at which it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveChange<T> {
    /// A record belongs to the list now.
    Enter {
        /// Where it stands from now on.
        index: usize,
        /// Its id.
        id: String,
        /// The record.
        record: T,
    },
    /// A record of the list has changed.
    Change {
        /// Where it stands.
        index: usize,
        /// Its id.
        id: String,
        /// The record as it is now.
        record: T,
    },
    /// A record does not belong to the list any more: it was deleted, no longer passes the filter, may not be seen, or
    /// stands behind the limit.
    Leave {
        /// Where it stood.
        index: usize,
        /// Its id.
        id: String,
    },
    /// A record stands elsewhere.
    Move {
        /// Where it stood.
        from: usize,
        /// Where it stands once it has been taken out there.
        to: usize,
        /// Its id.
        id: String,
    },
}

impl<T> LiveChange<T> {
    /// Applies it to a list. One that does not fit the list changes nothing that is not there.
    ///
    /// ```
    /// use picobase::live::LiveChange;
    /// let mut list = vec!["a", "b", "c"];
    /// LiveChange::Move { from: 0, to: 2, id: "1".to_string() }.apply(&mut list);
    /// LiveChange::Enter { index: 0, id: "4".to_string(), record: "d" }.apply(&mut list);
    /// assert_eq!(list, ["d", "b", "c", "a"]);
    /// ```
    pub fn apply(self, list: &mut Vec<T>) {
        match self {
            LiveChange::Enter { index, record, .. } => list.insert(index.min(list.len()), record),
            LiveChange::Change { index, record, .. } => {
                if let Some(old) = list.get_mut(index) {
                    *old = record;
                }
            }
            LiveChange::Leave { index, .. } => drop((index < list.len()).then(|| list.remove(index))),
            LiveChange::Move { from, to, .. } => {
                if from < list.len() {
                    let record = list.remove(from);
                    list.insert(to.min(list.len()), record);
                }
            }
        }
    }
}

impl LiveChange<Json> {
    fn decode<T: FromJson>(self) -> Result<LiveChange<T>, Error> {
        Ok(match self {
            LiveChange::Enter { index, id, record } => LiveChange::Enter { index, id, record: T::from_json(record)? },
            LiveChange::Change { index, id, record } => LiveChange::Change { index, id, record: T::from_json(record)? },
            LiveChange::Leave { index, id } => LiveChange::Leave { index, id },
            LiveChange::Move { from, to, id } => LiveChange::Move { from, to, id },
        })
    }
}
