//! Fetching what a stream may have missed.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::future::Future;

use super::{
    feed::{Found, Wanted},
    machine::Fetch,
};
use crate::{
    auth::session::session_expired,
    call::{Call, execute},
    client::Client,
    endpoints,
    error::Error,
    json::Json,
    records::list::{MANY_MAX, id_filters, items},
    runtime::compact,
    url::{date, parse_date},
};

/// How many records a page has: as many as the server gives.
const PAGE: usize = 1000;

/// Performs a fetch. At most `max` records are taken.
///
/// # Errors
/// As any list; kind `SessionExpired` where the session has ended before it could be told what is gone.
pub(super) async fn fetch(client: &Client, fetch: Fetch, max: usize) -> Result<Found, Error> {
    let generation = client.session.generation();
    let mut found = Found::default();
    // A record that does not pass the topic's filter is not gone, nor is one that has not changed.
    let filtered = fetch.topic.query.get("filter").is_some();
    let mut unsure = filtered;
    match &fetch.wanted {
        Wanted::Newest => found.records = newest(client, &fetch).await?,
        Wanted::Since(since, known) => {
            changed(client, &fetch, *since, max, &mut found).await?;
            found.gone = absent(known, &found.records);
            unsure = true;
        }
        Wanted::Records(ids) => {
            found.records = by_id(client, &fetch, ids, true).await?;
            found.gone = absent(ids, &found.records);
        }
    }
    if unsure {
        found.gone = absent(&found.gone, &by_id(client, &fetch, &found.gone, false).await?);
    }
    if fetch.topic.is_one() {
        for id in core::mem::take(&mut found.gone) {
            match view(client, &fetch, &id).await? {
                Some(record) if !filtered => found.records.push(record),
                Some(_) => {}
                None => found.gone.push(id),
            }
        }
    }
    // Nor is one that is hidden from a guest, as whom a dead token is answered.
    if !found.gone.is_empty() && client.session.check(client).await? != generation {
        return Err(session_expired());
    }
    found.newest = found.records.iter().filter_map(updated).max();
    Ok(found)
}

/// The newest record, of which only that is told.
async fn newest(client: &Client, fetch: &Fetch) -> Result<Vec<Json>, Error> {
    let mut call = list(fetch, None);
    call.query.set("fields", "updated").set("expand", None::<&str>).set("sort", "-updated").set("perPage", 1);
    page(client, call).await
}

/// What has changed since then, oldest first, by keyset: what is written meanwhile moves nothing past the walk.
async fn changed(client: &Client, fetch: &Fetch, since: u64, max: usize, found: &mut Found) -> Result<(), Error> {
    let mut start = client.filter("updated >= {:u}", crate::params! { "u" => moment(since) })?;
    loop {
        let size = max.saturating_sub(found.records.len()).min(PAGE);
        let filter = conjunction(fetch.topic.query.get("filter"), &start);
        let mut call = list(fetch, Some(filter));
        call.query.set("sort", "updated,id").set("perPage", size);
        let page = page(client, call).await?;
        let full = page.len() >= size;
        let last = page.last().map(|last| (last.get_str("updated"), last.get_str("id")));
        found.records.extend(page);
        let Some((Some(updated), Some(id))) = last.filter(|_| full) else { return Ok(()) };
        if found.records.len() >= max {
            found.cut = true;
            return Ok(());
        }
        let params = crate::params! { "u" => updated.as_str(), "i" => id.as_str() };
        start = client.filter("updated > {:u} || (updated = {:u} && id > {:i})", params)?;
    }
}

/// A record that is not listed: it may be one that only the view rule shows.
async fn view(client: &Client, fetch: &Fetch, id: &str) -> Result<Option<Json>, Error> {
    let mut call = Call::new(&endpoints::RECORDS_ONE, &[("c", fetch.collection()), ("id", id)]);
    call.verbatim = true;
    call.query = fetch.topic.query.clone();
    call.headers = fetch.topic.headers.clone();
    call.query.set("filter", None::<&str>);
    match execute(client, call).await {
        Ok(answer) => answer.read(|record| Ok(Some(record))),
        Err(error) if matches!(error.status(), 403 | 404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Those of the ids that are listed: as the topic's options want them, or no more than their ids, whatever its filter.
async fn by_id(client: &Client, fetch: &Fetch, ids: &[String], as_asked: bool) -> Result<Vec<Json>, Error> {
    let mut all = Vec::new();
    for filter in id_filters(client, ids)? {
        let own = fetch.topic.query.get("filter").filter(|_| as_asked);
        let mut call = list(fetch, Some(conjunction(own, &filter)));
        if !as_asked {
            call.query.set("fields", "id").set("expand", None::<&str>);
        }
        call.query.set("perPage", MANY_MAX);
        all.extend(page(client, call).await?);
    }
    Ok(all)
}

/// Which of these ids none of the records has.
fn absent(ids: &[String], records: &[Json]) -> Vec<String> {
    let mut there: Vec<String> = records.iter().filter_map(|record| record.get_str("id")).collect();
    there.sort_unstable();
    ids.iter().filter(|id| there.binary_search(id).is_err()).cloned().collect()
}

fn list(fetch: &Fetch, filter: Option<String>) -> Call {
    let mut call = Call::new(&endpoints::RECORDS_LIST, &[("c", fetch.collection())]);
    call.verbatim = true;
    call.query = fetch.topic.query.clone();
    call.headers = fetch.topic.headers.clone();
    call.query.set("page", 1).set("skipTotal", true).set("filter", filter);
    call
}

fn page(client: &Client, call: Call) -> impl Future<Output = Result<Vec<Json>, Error>> {
    compact(async move { execute(client, call).await?.read(|page| items(&page)) })
}

fn updated(record: &Json) -> Option<u64> {
    record.get_str("updated").and_then(|text| parse_date(&text))
}

fn moment(ms: u64) -> String {
    i64::try_from(ms).ok().and_then(date).unwrap_or_default()
}

fn conjunction(filter: Option<&str>, more: &str) -> String {
    match filter {
        Some(filter) if !filter.trim().is_empty() => ["(", filter, ") && (", more, ")"].concat(),
        _ => more.to_string(),
    }
}
