//! Collections and their schema.

use alloc::{string::String, vec::Vec};

use super::{call_with, nothing};
use crate::{
    action::Action,
    call::{Call, Limit, decode, execute, execute_json},
    client::Client,
    endpoints,
    error::Error,
    json::{FromJson, Json, ToJson, read_by_hand},
    records::{ListResult, items},
    runtime::BoxFuture,
    sync::boxed,
    transport::Body,
};

/// How many collections a page of a full list has.
const BATCH_SIZE: usize = 200;

/// Collections and their schema, for superusers. See [`Client::collections`].
///
/// A collection is JSON, or a type of your own: what it holds differs by its type and from one server version to the
/// next.
#[derive(Debug, Clone)]
pub struct Collections {
    client: Client,
}

/// An OAuth2 provider that the server knows, as [`Collections::get_oauth2_providers`] lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OAuth2ProviderInfo {
    /// Its name, `google` for example.
    pub name: String,
    /// What to write on a button.
    pub display_name: String,
    /// An SVG.
    pub logo: String,
}

read_by_hand!(OAuth2ProviderInfo, |json| json.get_str("name").map(|name| OAuth2ProviderInfo {
    name,
    display_name: json.get_str("displayName").unwrap_or_default(),
    logo: json.get_str("logo").unwrap_or_default(),
}));

impl Collections {
    pub(crate) fn new(client: &Client) -> Self {
        Collections { client: client.clone() }
    }

    /// One page of collections. Pages count from 1.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let page = client.collections().get_list::<serde_json::Value>(1, 20).filter("type = 'auth'").await?;
    /// println!("{} of {}", page.items.len(), page.total_items);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_list<T: FromJson>(&self, page: u32, per_page: u32) -> Action<ListResult<T>> {
        let mut call = Call::new(&endpoints::COLLECTIONS_LIST, &[]);
        call.query.set("page", page).set("perPage", per_page);
        Action::new(&self.client, call, decode::<ListResult<T>>)
    }

    /// All collections, fetched page by page. Narrow and order them with the query parameters `filter` and `sort`.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let views: Vec<serde_json::Value> =
    ///     client.collections().get_full_list().query("filter", "type = 'view'").query("sort", "name").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_full_list<T: FromJson>(&self) -> Action<Vec<T>> {
        Action::new(&self.client, Call::new(&endpoints::COLLECTIONS_LIST, &[]), full_list::<T>)
    }

    /// The first collection that a filter finds.
    ///
    /// # Errors
    /// Kind `NotFound` where it finds none.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let view: serde_json::Value = client.collections().get_first_list_item("type = 'view'").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_first_list_item<T: FromJson>(&self, filter: &str) -> Action<T> {
        let mut call = Call::new(&endpoints::COLLECTIONS_LIST, &[]);
        call.query.set("page", 1).set("perPage", 1).set("skipTotal", true).set("filter", filter);
        Action::new(&self.client, call, first::<T>)
    }

    /// One collection, by its name or id.
    ///
    /// # Errors
    /// Kind `NotFound` where there is none.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let posts: serde_json::Value = client.collections().get_one("posts").await?;
    /// println!("{}", posts["listRule"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_one<T: FromJson>(&self, name: &str) -> Action<T> {
        Action::new(&self.client, Call::new(&endpoints::COLLECTIONS_ONE, &[("c", name)]), decode::<T>)
    }

    /// Creates a collection.
    ///
    /// # Errors
    /// Kind `Validation` or `Conflict` where a value is refused.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let body = serde_json::json!({
    ///     "name": "posts",
    ///     "type": "base",
    ///     "listRule": "",
    ///     "fields": [{"name": "title", "type": "text", "required": true}],
    /// });
    /// let posts: serde_json::Value = client.collections().create(&body).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create<T: FromJson>(&self, body: &(impl ToJson + ?Sized)) -> Action<T> {
        Action::new(&self.client, Call::new(&endpoints::COLLECTIONS_CREATE, &[]), decode::<T>).body(body)
    }

    /// Changes a collection: what is in `body` and nothing else. Where `fields` is in it, it is the whole list: fields
    /// that it leaves out are deleted, with their values.
    ///
    /// # Errors
    /// Kind `Validation` or `Conflict` where a value is refused.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let body = serde_json::json!({"listRule": "@request.auth.id != ''"});
    /// let posts: serde_json::Value = client.collections().update("posts", &body).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn update<T: FromJson>(&self, name: &str, body: &(impl ToJson + ?Sized)) -> Action<T> {
        Action::new(&self.client, Call::new(&endpoints::COLLECTIONS_UPDATE, &[("c", name)]), decode::<T>).body(body)
    }

    /// Deletes a collection and all its records and files.
    ///
    /// # Errors
    /// Kind `Validation` where another collection refers to it.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.collections().delete("posts").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, name: &str) -> Action<()> {
        Action::new(&self.client, Call::new(&endpoints::COLLECTIONS_DELETE, &[("c", name)]), nothing)
    }

    /// Deletes all records of a collection, with their files, and what cascades from them. The collection stays.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.collections().truncate("posts").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn truncate(&self, name: &str) -> Action<()> {
        Action::new(&self.client, Call::new(&endpoints::COLLECTIONS_TRUNCATE, &[("c", name)]), nothing)
    }

    /// Creates and changes collections to be as in this list. With `delete_missing` all others, and all fields that the
    /// list leaves out, are deleted with their data.
    ///
    /// # Errors
    /// Kind `Validation` where a value is refused; then nothing has changed.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let all: Vec<serde_json::Value> = client.collections().get_full_list().await?;
    /// client.collections().import(&all, false).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn import(&self, collections: &(impl ToJson + ?Sized), delete_missing: bool) -> Action<()> {
        let mut call = Call::new(&endpoints::COLLECTIONS_IMPORT, &[]);
        match collections.to_json() {
            Ok(list) => {
                let members = [("collections", list), ("deleteMissing", Json::bool(delete_missing))];
                call.body = Body::Json(Json::object(members));
            }
            Err(mistake) => call.mistake = Some(mistake),
        }
        Action::new(&self.client, call, nothing)
    }

    /// An empty collection of each type, by the name of the type: what a new one starts from.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let scaffolds: serde_json::Value = client.collections().get_scaffolds().await?;
    /// println!("{}", scaffolds["auth"]["passwordAuth"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_scaffolds<T: FromJson>(&self) -> Action<T> {
        Action::new(&self.client, Call::new(&endpoints::COLLECTIONS_SCAFFOLDS, &[]), decode::<T>)
    }

    /// The OAuth2 providers that the server knows (0.37 and newer, where it counts as experimental). Those that a
    /// collection uses are in [`Auth::oauth2_providers`](crate::auth::Auth::oauth2_providers).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// for provider in client.collections().get_oauth2_providers().await? {
    ///     println!("{} {}", provider.name, provider.display_name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_oauth2_providers(&self) -> Action<Vec<OAuth2ProviderInfo>> {
        let call = Call::new(&endpoints::COLLECTIONS_OAUTH2_PROVIDERS, &[]);
        Action::new(&self.client, call, decode::<Vec<OAuth2ProviderInfo>>)
    }

    /// The fields and some records that a view with this query would have, `{fields, sample}` (server 0.37 and newer,
    /// where it counts as experimental).
    ///
    /// # Errors
    /// Kind `Validation` where the query is wrong.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let view: serde_json::Value = client.collections().dry_run_view("SELECT id, title FROM posts").await?;
    /// println!("{}", view["fields"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn dry_run_view<T: FromJson>(&self, query: &str) -> Action<T> {
        let call = call_with(&endpoints::COLLECTIONS_DRY_RUN_VIEW, [("query", Json::string(query))]);
        Action::new(&self.client, call, decode::<T>)
    }
}

/// Fetches page after page. A deadline that was set holds for all of them.
fn full_list<T: FromJson>(client: Client, mut call: Call) -> BoxFuture<'static, Result<Vec<T>, Error>> {
    boxed(async move {
        let started = client.shared.runtime.uptime();
        let whole = call.limit;
        call.query.set("perPage", BATCH_SIZE).set("skipTotal", true);
        let mut all = Vec::new();
        for page in 1u32.. {
            call.query.set("page", page);
            if let Limit::After(limit) = whole {
                let spent = client.shared.runtime.uptime().saturating_sub(started);
                call.limit = Limit::After(limit.saturating_sub(spent));
            }
            let items = execute_json::<ListResult<T>>(client.clone(), call.clone()).await?.items;
            let full = items.len() >= BATCH_SIZE;
            all.extend(items);
            if !full {
                break;
            }
        }
        Ok(all)
    })
}

/// Makes a list call and answers its first item.
fn first<T: FromJson>(client: Client, call: Call) -> BoxFuture<'static, Result<T, Error>> {
    boxed(async move {
        let first = |page: Json| items(&page)?.into_iter().next().map(T::from_json).transpose();
        match execute(&client, call).await?.read(first)? {
            Some(first) => Ok(first),
            None => Err(Error::not_found("the filter finds no collection").with_fix("Check the filter.")),
        }
    })
}
