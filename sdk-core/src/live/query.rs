//! Asking for a live query, and its stream.

use alloc::{boxed::Box, collections::VecDeque, string::String, vec::Vec};
use core::{
    fmt,
    future::IntoFuture,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;

use super::{
    LiveChange, LiveEvent,
    watch::{Changes, Watch, step},
};
use crate::{
    action::call_options,
    call::{Call, Limit},
    client::Client,
    endpoints,
    error::Error,
    json::{FromJson, Json},
    records::Record,
    runtime::BoxFuture,
    sync::{Unfold, unfold},
    url::QueryValue,
};

/// How many records a list has where nobody said so.
const LIMIT: u32 = 500;
/// How many records the server gives at a time.
const LIMIT_MAX: u32 = 1000;
/// How often the whole list may be asked for without an event.
const RECHECK_MIN: Duration = Duration::from_millis(100);

/// A live query that is set up; await it. It is there with its first snapshot. See
/// [`Collection::live`](crate::Collection::live).
///
/// `timeout` is for the first snapshot and for each call after it.
#[must_use = "nothing is asked before this is awaited"]
pub struct LiveQuery<T = Record> {
    client: Client,
    call: Call,
    limit: u32,
    recheck: Duration,
    types: PhantomData<fn() -> T>,
}

call_options!(LiveQuery<T>, T);

impl<T> LiveQuery<T> {
    pub(crate) fn new(client: &Client, collection: &str) -> Self {
        LiveQuery {
            client: client.clone(),
            call: Call::new(&endpoints::RECORDS_LIST, &[("c", collection)]),
            limit: LIMIT,
            recheck: client.realtime.options.liveness,
            types: PhantomData,
        }
    }

    /// Which records, in the server's filter language. Values from users belong in placeholders, see
    /// [`filter`](crate::filter()).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let published = client.collection("posts").live().filter("status = 'published'").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn filter(self, filter: impl Into<QueryValue>) -> Self {
        self.query("filter", filter)
    }

    /// By which fields to sort, separated by commas; `-` for descending. Among records that the sort does not tell
    /// apart the order is the server's; end with `id` where that matters. Without a sort it is the server's altogether:
    /// mostly that in which the records were created, so that new ones stand behind the limit.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let newest = client.collection("posts").live().sort("-created,id").limit(20).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sort(self, sort: impl Into<QueryValue>) -> Self {
        self.query("sort", sort)
    }

    /// How many records the list may have: 1 to 1,000, by default 500. Those behind it enter when others leave.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let top = client.collection("posts").live().sort("-n").limit(10).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn limit(mut self, records: u32) -> Self {
        self.limit = records;
        self
    }

    /// How often the whole list is asked for although nothing was heard, by default as often as
    /// [`RealtimeOptions::liveness`](crate::realtime::RealtimeOptions::liveness) says: every 4.5 minutes.
    ///
    /// The server tells of records that were written, of nothing else. That a rule was changed, a related record,
    /// what a view collection shows, or that `@now` in the filter has moved on, is noticed then.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use std::time::Duration;
    /// let posts = client.collection("posts").live().expand("author").recheck_every(Duration::from_secs(30)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn recheck_every(mut self, time: Duration) -> Self {
        self.recheck = time.max(RECHECK_MIN);
        self
    }

    fn check(&self) -> Result<(), Error> {
        if self.limit == 0 || self.limit > LIMIT_MAX {
            return Err(Error::validation("a live query has a limit of 1 to 1,000 records")
                .with_fix("Set another limit, or filter for fewer records."));
        }
        if self.call.query.get("sort").is_some_and(|sort| sort.as_bytes().windows(7).any(|part| part == b"@random")) {
            return Err(Error::validation("a live query cannot be sorted by @random")
                .with_fix("Sort by a field: each look at the list would find another order."));
        }
        // Otherwise only the call would tell, after a subscription to something else.
        self.call.query.check()?;
        self.call.path().map(|_| ())
    }

    async fn run(self) -> Result<Live<T>, Error> {
        self.check()?;
        let watch = Watch::begin(self.client, self.call, self.limit, self.recheck).await?;
        Ok(Live {
            snapshot: Some(watch.bodies()),
            ready: VecDeque::new(),
            checks: unfold(watch, step),
            over: false,
            types: PhantomData,
        })
    }
}

impl<T: 'static> IntoFuture for LiveQuery<T> {
    type Output = Result<Live<T>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T> fmt::Debug for LiveQuery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveQuery").field("collection", &self.call.param("c")).finish_non_exhaustive()
    }
}

/// A list that stays as a fresh list would be, as a stream: first a snapshot, then changes. Dropping it ends it.
///
/// It goes on through every gap, for ever. An item is an error where the session has ended: it goes on when somebody
/// has signed in or out. It ends after an error that nothing can mend: the server refuses the query, or a record
/// does not fit the type.
///
/// All its work is done while it is polled. Who polls late gets the same list later: what happened meanwhile becomes
/// one set of changes.
///
/// ```
/// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
/// use futures_util::StreamExt;
/// use picobase::live::{LiveChange, LiveEvent};
///
/// let mut live = client.collection("posts").live().sort("-created").await?;
/// while let Some(event) = live.next().await {
///     if let LiveEvent::Change(LiveChange::Enter { index, id, .. }) = event? {
///         println!("{id} entered at {index}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Live<T = Record> {
    /// The first item, until it is taken.
    snapshot: Option<Vec<Json>>,
    /// Changes that were found and are not taken yet.
    ready: VecDeque<LiveChange<Json>>,
    checks: Unfold<Watch, Result<Changes, Error>>,
    over: bool,
    types: PhantomData<fn() -> T>,
}

impl<T: FromJson> Live<T> {
    /// The next item that is there; none where the server must be asked.
    fn take(&mut self) -> Option<Result<LiveEvent<T>, Error>> {
        if let Some(records) = self.snapshot.take() {
            let records = records.into_iter().map(T::from_json).collect::<Result<_, _>>();
            return Some(records.map(LiveEvent::Snapshot));
        }
        Some(self.ready.pop_front()?.decode().map(LiveEvent::Change))
    }
}

impl<T> Unpin for Live<T> {}

impl<T: FromJson> Stream for Live<T> {
    type Item = Result<LiveEvent<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if let Some(item) = self.take() {
                self.over = item.is_err();
                return Poll::Ready(Some(item));
            }
            match ready!(Pin::new(&mut self.checks).poll_next(cx)) {
                Some(Ok(changes)) => self.ready.extend(changes),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.over = true,
            }
        }
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
