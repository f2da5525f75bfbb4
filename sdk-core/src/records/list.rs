//! Pages of records, the first of a list, and records by their ids.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::future::IntoFuture;

use super::Collection;
use crate::{
    action::{Action, call_options},
    call::{Call, Limit, execute},
    client::Client,
    endpoints,
    error::Error,
    json::{FromJson, Json},
    runtime::BoxFuture,
    url::{QueryValue, has},
};

/// The longest filter that the server takes, in characters.
pub(crate) const FILTER_MAX: usize = 3500;
/// How many ids one request of `get_many` asks for: the server takes 200 expressions in a filter.
pub(crate) const MANY_MAX: usize = 100;

/// One page of records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(serde::Deserialize))]
#[cfg_attr(feature = "std", serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub struct ListResult<T> {
    /// Which page this is, counted from 1.
    pub page: u32,
    /// How many records a page has.
    pub per_page: u32,
    /// How many records there are in all; -1 with `skip_total`.
    pub total_items: i64,
    /// How many pages there are; -1 with `skip_total`.
    pub total_pages: i64,
    /// The records of this page.
    pub items: Vec<T>,
}

#[cfg(not(feature = "std"))]
impl<T: FromJson> FromJson for ListResult<T> {
    fn from_json(json: Json) -> Result<Self, Error> {
        let number = |name: &str| json.get(name).and_then(|value| value.as_i64());
        let items = json.get("items").ok_or_else(|| Error::decode("the answer is no list", json.as_text()))?;
        Ok(ListResult {
            page: number("page").and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            per_page: number("perPage").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            total_items: number("totalItems").unwrap_or(-1),
            total_pages: number("totalPages").unwrap_or(-1),
            items: items.items().into_iter().map(T::from_json).collect::<Result<_, _>>()?,
        })
    }
}

impl<T> Action<ListResult<T>> {
    /// Which records to list, in the server's filter language. Values from users belong in placeholders, see
    /// [`filter`](crate::filter()).
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let page = client.collection("posts").get_list(1, 20).filter("status = 'published' && created > @yearStart");
    /// # let _ = page; }
    /// ```
    pub fn filter(self, filter: impl Into<QueryValue>) -> Self {
        self.query("filter", filter)
    }

    /// By which fields to sort, separated by commas; `-` for descending, `@random` for any order.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let page = client.collection("posts").get_list(1, 20).sort("-created,title");
    /// # let _ = page; }
    /// ```
    pub fn sort(self, sort: impl Into<QueryValue>) -> Self {
        self.query("sort", sort)
    }

    /// Leaves the counting out: `total_items` and `total_pages` are -1, and the answer comes sooner.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// let page = client.collection("posts").get_list(1, 20).skip_total();
    /// # let _ = page; }
    /// ```
    pub fn skip_total(self) -> Self {
        self.query("skipTotal", true)
    }
}

/// The items of a page as JSON.
pub(crate) fn items(page: &Json) -> Result<Vec<Json>, Error> {
    page.page_items().ok_or_else(|| Error::decode("the answer is no list", page.as_text()))
}

/// Makes a list call and answers its first item.
pub(crate) fn first_of_list<T: FromJson>(client: Client, call: Call) -> BoxFuture<'static, Result<T, Error>> {
    Box::pin(async move {
        let first = |page: Json| items(&page)?.into_iter().next().map(T::from_json).transpose();
        match execute(&client, call).await?.read(first)? {
            Some(first) => Ok(first),
            None => Err(Error::not_found("the filter finds no record")
                .with_fix("Check the filter; records that the list rule hides are not found either.")),
        }
    })
}

/// What [`Collection::get_many`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Many<T> {
    /// The records, in the order of the ids that were asked for.
    pub records: Vec<T>,
    /// The ids that do not exist or are hidden.
    pub missing: Vec<String>,
}

/// Records by id; await it. See [`Collection::get_many`].
#[must_use = "nothing is sent before this is awaited"]
#[derive(Debug)]
pub struct GetMany<T> {
    collection: Collection<T>,
    ids: Vec<String>,
    call: Call,
}

call_options!(GetMany<T>, T);

impl<T: FromJson> GetMany<T> {
    pub(super) fn new(collection: &Collection<T>, ids: Vec<String>) -> Self {
        let mut call = Call::new(&endpoints::RECORDS_LIST, &[("c", &collection.name)]);
        call.query.set("page", 1).set("skipTotal", true);
        GetMany { collection: collection.clone(), ids, call }
    }

    async fn run(mut self) -> Result<Many<T>, Error> {
        let keeps_id = add_id_field(&mut self.call);
        let mut found: Vec<(String, Json)> = Vec::new();
        for filter in id_filters(&self.collection.client, &self.ids)? {
            let mut call = self.call.clone();
            call.query.set("perPage", MANY_MAX).set("filter", filter);
            let page = execute(&self.collection.client, call).await?.read(|page| items(&page))?;
            found.extend(page.into_iter().map(|item| (item.get_str("id").unwrap_or_default(), item)));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let mut many = Many { records: Vec::with_capacity(self.ids.len()), missing: Vec::new() };
        for id in self.ids {
            match found.binary_search_by(|(other, _)| other.as_str().cmp(&id)).ok().and_then(|at| found.get(at)) {
                Some((_, item)) => {
                    many.records.push(T::from_json(if keeps_id { item.clone() } else { item.without("id") })?)
                }
                None => many.missing.push(id),
            }
        }
        Ok(many)
    }
}

impl<T: FromJson> IntoFuture for GetMany<T> {
    type Output = Result<Many<T>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// `id = "a" || id = "b"` for as many ids as a filter may hold; each id once, impossible ones left out.
pub(crate) fn id_filters(client: &Client, ids: &[String]) -> Result<Vec<String>, Error> {
    let mut unique: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !id.is_empty() && !has(id, "\0")).collect();
    unique.sort_unstable();
    unique.dedup();
    let (mut filters, mut current, mut count) = (Vec::new(), String::new(), 0);
    for id in unique {
        // On older servers an id that ends in a backslash cannot be asked for, and cannot exist.
        let Ok(term) = client.filter("id = {:id}", crate::params! { "id" => id }) else { continue };
        let length = current.chars().count().saturating_add(term.chars().count()).saturating_add(4);
        if count == MANY_MAX || (count > 0 && length > FILTER_MAX) {
            filters.push(core::mem::take(&mut current));
            count = 0;
        }
        if count > 0 {
            current.push_str(" || ");
        }
        current.push_str(&term);
        count += 1;
    }
    if count > 0 {
        filters.push(current);
    }
    Ok(filters)
}

/// A walk needs the ids. Where `fields` leaves them out they are added; says whether the caller wanted them.
pub(crate) fn add_id_field(call: &mut Call) -> bool {
    let Some(fields) = call.query.get("fields") else { return true };
    if fields.split(',').any(|field| matches!(field.trim(), "id" | "*")) {
        return true;
    }
    let with_id = [fields, ",id"].concat();
    call.query.set("fields", with_id);
    false
}
