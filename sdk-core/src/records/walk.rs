//! Walking through all records of a collection.
//!
//! Where no sort was asked for, the walk is by keyset: each page asks for ids behind the last one seen, so writes
//! during the walk neither shift records out of it nor repeat them, and late pages cost no more than early ones.

use alloc::{boxed::Box, collections::VecDeque, string::String, vec::Vec};
use core::{
    future::{IntoFuture, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{
    Collection,
    ends::{self, End, Gap},
    list::{FILTER_MAX, add_id_field, items},
};
use crate::{
    action::call_options,
    call::{Call, Limit, execute},
    client::Client,
    endpoints,
    error::Error,
    json::{FromJson, Json},
    runtime::BoxFuture,
    sync::yield_now,
    url::QueryValue,
};

/// How many records a page of a walk has where nobody said so: as many as the server gives.
const BATCH_SIZE: u32 = 1000;

/// All records; await it for a list, or call [`stream`](Self::stream). See [`Collection::get_full_list`].
#[must_use = "nothing is sent before this is awaited"]
#[derive(Debug)]
pub struct FullList<T> {
    collection: Collection<T>,
    call: Call,
    batch_size: u32,
}

call_options!(FullList<T>, T);

impl<T: FromJson> FullList<T> {
    pub(super) fn new(collection: &Collection<T>) -> Self {
        let call = Call::new(&endpoints::RECORDS_LIST, &[("c", &collection.name)]);
        FullList { collection: collection.clone(), call, batch_size: BATCH_SIZE }
    }

    /// Which records, in the server's filter language.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let drafts = client.collection("posts").get_full_list().filter("status = 'draft'");
    /// # let _ = drafts; }
    /// ```
    pub fn filter(self, filter: impl Into<QueryValue>) -> Self {
        self.query("filter", filter)
    }

    /// In which order. A sort makes the walk go by page numbers, see [`Collection::get_full_list`].
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let all = client.collection("posts").get_full_list().sort("-created");
    /// # let _ = all; }
    /// ```
    pub fn sort(self, sort: impl Into<QueryValue>) -> Self {
        self.query("sort", sort)
    }

    /// How many records each request asks for, at most 1,000, which is the default.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let all = client.collection("posts").get_full_list().batch_size(200);
    /// # let _ = all; }
    /// ```
    pub fn batch_size(mut self, size: u32) -> Self {
        self.batch_size = size.clamp(1, BATCH_SIZE);
        self
    }

    /// The records as they come. An error ends the stream.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use futures_util::TryStreamExt;
    /// let titles: Vec<String> = client
    ///     .collection("posts")
    ///     .iterate()
    ///     .stream()
    ///     .map_ok(|post| post.get_str("title").unwrap_or_default().to_string())
    ///     .try_collect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(self) -> RecordStream<T> {
        RecordStream {
            pages: Pages::new(self.collection.client.clone(), self.call, self.batch_size),
            ready: VecDeque::new(),
        }
    }

    /// The same records as another type.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// #[derive(serde::Deserialize)]
    /// struct Post { id: String, title: String }
    /// let posts = client.collection("posts").get_full_list().typed::<Post>();
    /// # let _ = posts; }
    /// ```
    pub fn typed<U: FromJson>(self) -> FullList<U> {
        FullList { collection: self.collection.typed(), call: self.call, batch_size: self.batch_size }
    }

    async fn collect(self) -> Result<Vec<T>, Error> {
        let mut pages = Pages::new(self.collection.client.clone(), self.call, self.batch_size);
        if let Place::Key(gap) = pages.place {
            return ends::collect(*gap, pages.keeps_id).await;
        }
        let mut all = Vec::new();
        while let Some(page) = poll_fn(|cx| pages.poll_page(cx)).await? {
            // The next page is on its way while this one is decoded: on a runtime with one thread the request only
            // leaves when the connection gets its turn.
            pages.start();
            for _ in 0..2 {
                poll_fn(|cx| {
                    pages.poll_running(cx);
                    Poll::Ready(())
                })
                .await;
                yield_now().await;
            }
            all.reserve(page.len());
            for item in page {
                all.push(T::from_json(item)?);
            }
        }
        Ok(all)
    }
}

impl<T: FromJson> IntoFuture for FullList<T> {
    type Output = Result<Vec<T>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.collect())
    }
}

/// Records as they come. See [`FullList::stream`].
#[derive(Debug)]
pub struct RecordStream<T> {
    pages: Pages,
    ready: VecDeque<T>,
}

impl<T> Unpin for RecordStream<T> {}

impl<T: FromJson> RecordStream<T> {
    /// The records that are there, at least one: those of a page. None at the end.
    ///
    /// # Errors
    /// As any list; an error ends the stream.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let mut posts = client.collection("posts").iterate().stream();
    /// loop {
    ///     let page = posts.next_page().await?;
    ///     if page.is_empty() {
    ///         break;
    ///     }
    ///     println!("{} more", page.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_page(&mut self) -> Result<Vec<T>, Error> {
        let mut page = Vec::new();
        let mut next = poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()?;
        while let Some(record) = next {
            page.push(record);
            next = self.ready.pop_front();
        }
        Ok(page)
    }
}

impl<T: FromJson> Stream for RecordStream<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(record) = this.ready.pop_front() {
                // Keep the next page coming while the consumer is busy with this one.
                this.pages.start();
                this.pages.poll_running(cx);
                return Poll::Ready(Some(Ok(record)));
            }
            let page = match this.pages.poll_page(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok(None)) => return Poll::Ready(None),
                Poll::Ready(Ok(Some(page))) => page,
            };
            for item in page {
                match T::from_json(item) {
                    Ok(record) => this.ready.push_back(record),
                    Err(error) => {
                        this.pages.finish();
                        this.ready.clear();
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        }
    }
}

type Fetched = Result<Vec<Json>, Error>;

/// The pages of a walk, one fetched ahead.
struct Pages {
    client: Client,
    call: Call,
    batch_size: u32,
    keeps_id: bool,
    place: Place,
    running: Option<BoxFuture<'static, Fetched>>,
    fetched: Option<Fetched>,
    done: bool,
}

impl core::fmt::Debug for Pages {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Pages")
    }
}

/// How far a walk has come.
enum Place {
    /// What is left by id.
    Key(Box<Gap>),
    /// At this page; the ids seen so far are sorted.
    Page { next: u32, seen: Vec<String> },
}

impl Pages {
    fn new(client: Client, mut call: Call, batch_size: u32) -> Pages {
        let keeps_id = add_id_field(&mut call);
        let filter: String = call.query.get("filter").unwrap_or_default().into();
        // `(filter) && id > "…" && id < "…"` must stay within the server's limit; ids have 15 characters, or a few more.
        let fits = filter.chars().count().saturating_add(128) <= FILTER_MAX;
        let place = if call.query.get("sort").is_none() && fits {
            let (after, before) = (String::new(), String::new());
            Place::Key(Box::new(Gap { client: client.clone(), call: call.clone(), filter, after, before, batch_size }))
        } else {
            Place::Page { next: 1, seen: Vec::new() }
        };
        Pages { client, call, batch_size, keeps_id, place, running: None, fetched: None, done: false }
    }

    fn finish(&mut self) {
        self.done = true;
        self.running = None;
        self.fetched = None;
    }

    /// Starts fetching the next page, unless it is under way.
    fn start(&mut self) {
        if self.done || self.running.is_some() || self.fetched.is_some() {
            return;
        }
        let (client, call) = (self.client.clone(), self.next_call());
        self.running = Some(Box::pin(async move { execute(&client, call?).await?.read(|page| items(&page)) }));
    }

    fn next_call(&self) -> Result<Call, Error> {
        match &self.place {
            Place::Key(gap) => gap.call(End::Low),
            Place::Page { next, .. } => {
                let mut call = self.call.clone();
                call.query.set("page", *next).set("perPage", self.batch_size).set("skipTotal", true);
                Ok(call)
            }
        }
    }

    /// Lets the fetch that is under way go on.
    fn poll_running(&mut self, cx: &mut Context<'_>) {
        if let Some(running) = &mut self.running
            && let Poll::Ready(fetched) = running.as_mut().poll(cx)
        {
            self.running = None;
            self.fetched = Some(fetched);
        }
    }

    /// The next page's items; none behind the last.
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Vec<Json>>, Error>> {
        if self.done {
            return Poll::Ready(Ok(None));
        }
        self.start();
        self.poll_running(cx);
        let Some(fetched) = self.fetched.take() else { return Poll::Pending };
        let page = fetched.map(|items| self.take_in(items));
        if page.is_err() {
            self.finish();
        }
        Poll::Ready(page.map(Some))
    }

    /// Notes how far the page came, and drops what was seen before.
    fn take_in(&mut self, mut items: Vec<Json>) -> Vec<Json> {
        let full = items.len() >= usize::try_from(self.batch_size).unwrap_or(usize::MAX);
        self.done = !full;
        match &mut self.place {
            Place::Key(gap) => {
                if let Some(id) = items.last().and_then(|item| item.get_str("id")) {
                    // A server that does not move on would keep the walk going for ever.
                    self.done |= id <= gap.after;
                    gap.after = id;
                } else {
                    self.done = true;
                }
            }
            Place::Page { next, seen } => {
                *next = next.saturating_add(1);
                let id = |item: &Json| item.get_str("id").unwrap_or_default();
                items.retain(|item| seen.binary_search(&id(item)).is_err());
                seen.extend(items.iter().map(id));
                // Two sorted runs: the sort is a merge.
                seen.sort();
            }
        }
        if !self.keeps_id {
            items = items.iter().map(|item| item.without("id")).collect();
        }
        items
    }
}
