//! The records of one collection.

use alloc::string::{String, ToString};
use core::{fmt, marker::PhantomData};

use super::{
    Record,
    list::{GetMany, ListResult, first_of_list},
    walk::FullList,
    write::{Write, delete},
};
use crate::{
    action::Action,
    auth::Auth,
    call::{Call, decode},
    client::Client,
    endpoints,
    json::{FromJson, ToJson},
    live::LiveQuery,
    realtime::Subscribe,
    url::check_segment,
};

/// The records of one collection; `T` is what a record is decoded to.
///
/// ```
/// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
/// #[derive(serde::Deserialize)]
/// struct Post { id: String, title: String }
///
/// let posts = client.collection("posts").typed::<Post>();
/// for post in posts.get_list(1, 20).filter("status = 'published'").sort("-created").await?.items {
///     println!("{} {}", post.id, post.title);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Collection<T = Record> {
    pub(crate) client: Client,
    pub(crate) name: String,
    types: PhantomData<fn() -> T>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Collection { client: self.client.clone(), name: self.name.clone(), types: PhantomData }
    }
}

impl<T> fmt::Debug for Collection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collection<Record> {
    pub(crate) fn new(client: &Client, name: &str) -> Self {
        Collection { client: client.clone(), name: name.to_string(), types: PhantomData }
    }
}

impl<T: FromJson> Collection<T> {
    /// The same collection with records of another type.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// #[derive(serde::Deserialize)]
    /// struct Post { id: String, title: String }
    /// let posts = client.collection("posts").typed::<Post>();
    /// # let _ = posts; }
    /// ```
    pub fn typed<U: FromJson>(&self) -> Collection<U> {
        Collection { client: self.client.clone(), name: self.name.clone(), types: PhantomData }
    }

    /// The collection's name or id, as it was given.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// assert_eq!(client.collection("posts").name(), "posts");
    /// # }
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sign-up and sign-in, where this is an auth collection.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.collection("members").auth().sign_in("ada@example.com", "correct horse").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn auth(&self) -> Auth {
        Auth::new(&self.client, &self.name)
    }

    /// One record.
    ///
    /// # Errors
    /// Kind `NotFound` where there is none, or the view rule hides it.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let post = client.collection("posts").get_one("abc123").expand("author").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_one(&self, id: &str) -> Action<T> {
        Action::new(&self.client, Call::new(&endpoints::RECORDS_ONE, &[("c", &self.name), ("id", id)]), decode::<T>)
    }

    /// One page of records. Pages count from 1; `per_page` is at most 1,000.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::{filter, params};
    /// let wanted = filter("title ~ {:t}", params! { "t" => "rust" })?;
    /// let page = client.collection("posts").get_list(1, 20).filter(wanted).sort("-created").await?;
    /// println!("{} of {}", page.items.len(), page.total_items);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_list(&self, page: u32, per_page: u32) -> Action<ListResult<T>> {
        let mut call = Call::new(&endpoints::RECORDS_LIST, &[("c", &self.name)]);
        call.query.set("page", page).set("perPage", per_page);
        Action::new(&self.client, call, decode::<ListResult<T>>)
    }

    /// The first record that a filter finds.
    ///
    /// # Errors
    /// Kind `NotFound` where it finds none.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let newest = client.collection("posts").get_first_list_item("status = 'published'").query("sort", "-created").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_first_list_item(&self, filter: &str) -> Action<T> {
        let mut call = Call::new(&endpoints::RECORDS_LIST, &[("c", &self.name)]);
        call.query.set("page", 1).set("perPage", 1).set("skipTotal", true).set("filter", filter);
        Action::new(&self.client, call, first_of_list::<T>)
    }

    /// All records, in one list.
    ///
    /// Without a sort the walk goes by id: records that exist during the whole walk appear exactly once, in the order
    /// of their ids, however many are written meanwhile. With a sort of your own, or a filter of nearly 3,500
    /// characters, it goes by page numbers: records that move between pages meanwhile can be missed; doubles are
    /// dropped.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let all = client.collection("posts").get_full_list().filter("status = 'draft'").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_full_list(&self) -> FullList<T> {
        FullList::new(self)
    }

    /// All records, one after the other, as a stream. The next page is fetched while this one is used. The order and
    /// the promise are those of [`get_full_list`](Self::get_full_list).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use futures_util::TryStreamExt;
    /// let mut posts = client.collection("posts").iterate().batch_size(200).stream();
    /// while let Some(post) = posts.try_next().await? {
    ///     println!("{}", post.id());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn iterate(&self) -> FullList<T> {
        FullList::new(self)
    }

    /// Several records by id, in the order of the ids. Those that are missing or hidden are reported, not an error.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let many = client.collection("posts").get_many(["abc", "def"]).await?;
    /// println!("{} found, missing: {:?}", many.records.len(), many.missing);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_many<I: AsRef<str>>(&self, ids: impl IntoIterator<Item = I>) -> GetMany<T> {
        GetMany::new(self, ids.into_iter().map(|id| id.as_ref().to_string()).collect())
    }

    /// The events of a record, by its id, or of all records, `*`. What happens while the stream is down is fetched when
    /// it is there again, see [`realtime`](crate::realtime).
    ///
    /// # Errors
    /// Kind `NotFound` for an empty id; else as [`Realtime::subscribe`](crate::realtime::Realtime::subscribe).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use futures_util::StreamExt;
    /// let mut posts = client.collection("posts").subscribe("*").expand("author").await?;
    /// while let Some(event) = posts.next().await {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, record: &str) -> Subscribe<T> {
        let checked = check_segment("c", &self.name).and_then(|()| check_segment("id", record));
        Subscribe::new(&self.client, checked.map(|()| [&self.name, "/", record].concat()))
    }

    /// Ends all subscriptions to a record, or to all of them (`*`), whatever their options.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// client.collection("posts").unsubscribe("*");
    /// # }
    /// ```
    pub fn unsubscribe(&self, record: &str) {
        self.client.realtime().unsubscribe(&[&self.name, "/", record].concat());
    }

    /// Ends all subscriptions of this collection, those to single records too.
    ///
    /// ```
    /// # fn demo(client: picobase::Client) {
    /// client.collection("posts").unsubscribe_all();
    /// # }
    /// ```
    pub fn unsubscribe_all(&self) {
        let collection = |topic: &str| topic.split_once('/').map_or(topic, |(collection, _)| collection) == self.name;
        self.client.realtime.unsubscribe_where(&self.client, &collection);
    }

    /// A list that stays as a fresh list would be: a snapshot, then the changes, see [`live`](crate::live).
    ///
    /// # Errors
    /// As any list; kind `Validation` for a limit of more than 1,000 records, `Timeout` where the server did not
    /// acknowledge the subscription in time.
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
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn live(&self) -> LiveQuery<T> {
        LiveQuery::new(&self.client, &self.name)
    }

    /// Creates a record. Add files with [`Write::file`].
    ///
    /// # Errors
    /// Kind `Validation` or `Conflict` where a value is refused, `Forbidden` where the create rule says no.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::files::FileSource;
    /// let post = client
    ///     .collection("posts")
    ///     .create(&serde_json::json!({"title": "hello"}))
    ///     .file("cover", FileSource::path("cover.png"))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create(&self, body: &(impl ToJson + ?Sized)) -> Write<T> {
        Write::new(&self.client, Call::new(&endpoints::RECORDS_CREATE, &[("c", &self.name)]), body)
    }

    /// Changes a record: the fields that are in `body` and no others. `field+`, `+field` and `field-` add to and take
    /// from lists and numbers.
    ///
    /// Changing one's own password signs in again with the new one.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let post = client.collection("posts").update("abc", &serde_json::json!({"views+": 1, "tags-": "old"})).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn update(&self, id: &str, body: &(impl ToJson + ?Sized)) -> Write<T> {
        let params = [("c", self.name.as_str()), ("id", id)];
        Write::new(&self.client, Call::new(&endpoints::RECORDS_UPDATE, &params), body)
    }

    /// Deletes a record. Deleting one's own signs out.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.collection("posts").delete("abc123").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, id: &str) -> Action<()> {
        let params = [("c", self.name.as_str()), ("id", id)];
        Action::new(&self.client, Call::new(&endpoints::RECORDS_DELETE, &params), delete)
    }
}
