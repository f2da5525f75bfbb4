//! A full list by keyset, from both ends at once.
//!
//! One page of a large collection keeps a server busy for as long as a client needs to send, wait and decode; two pages
//! at once cost it no more in all. So after a full first page the walk goes up from the lowest id and down from the
//! highest, and ends where the two meet. Each id belongs to one side, so rows that exist for the whole walk appear
//! exactly once, in the order of their ids, as with one side alone.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{
    future::poll_fn,
    mem,
    task::{Context, Poll},
};

use super::list::items;
use crate::{
    call::{Call, execute},
    client::Client,
    error::Error,
    json::{FromJson, Json},
    runtime::BoxFuture,
    sync::yield_now,
};

/// The part of a collection that the walk has not seen: the ids between two.
pub(super) struct Gap {
    pub(super) client: Client,
    pub(super) call: Call,
    /// The caller's filter; may be empty.
    pub(super) filter: String,
    /// Both empty: everything.
    pub(super) after: String,
    pub(super) before: String,
    pub(super) batch_size: u32,
}

/// Which end of the gap a page is asked from.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    Low,
    High,
}

impl Gap {
    /// The call for the page at one end of the gap.
    pub(super) fn call(&self, end: End) -> Result<Call, Error> {
        let mut call = self.call.clone();
        let sort = if end == End::Low { "id" } else { "-id" };
        call.query.set("page", 1).set("perPage", self.batch_size).set("skipTotal", true).set("sort", sort);
        let mut filter = String::new();
        if !self.filter.is_empty() {
            filter.push('(');
            filter.push_str(&self.filter);
            filter.push(')');
        }
        for (template, id) in [("id > {:id}", &self.after), ("id < {:id}", &self.before)] {
            if !id.is_empty() {
                filter.push_str(if filter.is_empty() { "" } else { " && " });
                filter.push_str(&self.client.filter(template, crate::params! { "id" => id.as_str() })?);
            }
        }
        call.query.set("filter", Some(filter).filter(|filter| !filter.is_empty()));
        Ok(call)
    }

    fn fetch(&self, end: End) -> Fetch {
        let (client, call) = (self.client.clone(), self.call(end));
        Fetch::Running(Box::pin(async move { execute(&client, call?).await?.read(|page| items(&page)) }))
    }

    fn is_full(&self, page: &[Json]) -> bool {
        page.len() >= usize::try_from(self.batch_size).unwrap_or(usize::MAX)
    }
}

type Page = Result<Vec<Json>, Error>;

/// A page that is under way, or there.
enum Fetch {
    Running(BoxFuture<'static, Page>),
    Done(Page),
}

impl Fetch {
    /// Is it there?
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if let Fetch::Running(running) = self {
            match running.as_mut().poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(page) => *self = Fetch::Done(page),
            }
        }
        true
    }

    fn take(&mut self) -> Page {
        match mem::replace(self, Fetch::Done(Ok(Vec::new()))) {
            Fetch::Done(page) => page,
            Fetch::Running(_) => Ok(Vec::new()),
        }
    }
}

/// Two pages at once, one at each end of a gap.
struct Round {
    low: Fetch,
    high: Fetch,
}

impl Round {
    fn start(gap: &Gap) -> Round {
        Round { low: gap.fetch(End::Low), high: gap.fetch(End::High) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        // Both are polled, whether or not the first is there.
        let (low, high) = (self.low.poll(cx), self.high.poll(cx));
        low && high
    }

    /// Lets the requests leave: on a runtime with one thread they only do when their connections get a turn.
    async fn send(&mut self) {
        for _ in 0..2 {
            poll_fn(|cx| {
                self.poll(cx);
                Poll::Ready(())
            })
            .await;
            yield_now().await;
        }
    }

    async fn pages(mut self) -> Result<(Vec<Json>, Vec<Json>), Error> {
        poll_fn(|cx| if self.poll(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        Ok((self.low.take()?, self.high.take()?))
    }
}

/// What a round found, sorted out: what belongs to the low side in rising order, what belongs to the high side in
/// falling order, and whether that was all.
fn sort_out(gap: &mut Gap, low: Vec<Json>, mut high: Vec<Json>) -> (Vec<Json>, Vec<Json>, bool) {
    // A page that is not full holds all of the gap.
    if !gap.is_full(&low) {
        return (low, Vec::new(), true);
    }
    if !gap.is_full(&high) {
        return (Vec::new(), high, true);
    }
    let (top, bottom) = (last_id(&low), last_id(&high));
    // A server that does not move on would keep the walk going for ever.
    let met = bottom <= top || top <= gap.after;
    if met {
        high.retain(|item| item.get_str("id").is_some_and(|id| id > top));
    }
    gap.after = top;
    gap.before = bottom;
    (low, high, met)
}

fn last_id(page: &[Json]) -> String {
    page.last().and_then(|item| item.get_str("id")).unwrap_or_default()
}

/// Decoded records of both sides.
struct Found<T> {
    low: Vec<T>,
    high: Vec<T>,
    keeps_id: bool,
}

impl<T: FromJson> Found<T> {
    fn decode(&mut self, low: Vec<Json>, high: Vec<Json>) -> Result<(), Error> {
        self.low.reserve(low.len());
        self.high.reserve(high.len());
        for item in low {
            self.low.push(decode(item, self.keeps_id)?);
        }
        for item in high {
            self.high.push(decode(item, self.keeps_id)?);
        }
        Ok(())
    }

    fn in_order(mut self) -> Vec<T> {
        self.low.extend(self.high.into_iter().rev());
        self.low
    }
}

fn decode<T: FromJson>(item: Json, keeps_id: bool) -> Result<T, Error> {
    T::from_json(if keeps_id { item } else { item.without("id") })
}

/// All records of a gap.
pub(super) async fn collect<T: FromJson>(mut gap: Gap, keeps_id: bool) -> Result<Vec<T>, Error> {
    let mut found = Found { low: Vec::new(), high: Vec::new(), keeps_id };
    let mut low = execute(&gap.client, gap.call(End::Low)?).await?.read(|page| items(&page))?;
    let mut high = Vec::new();
    let mut all = !gap.is_full(&low);
    gap.after = last_id(&low);
    while !all {
        let mut round = Round::start(&gap);
        round.send().await;
        // The last pages are decoded while the next are on their way.
        found.decode(mem::take(&mut low), mem::take(&mut high))?;
        let (next_low, next_high) = round.pages().await?;
        (low, high, all) = sort_out(&mut gap, next_low, next_high);
    }
    found.decode(low, high)?;
    Ok(found.in_order())
}
