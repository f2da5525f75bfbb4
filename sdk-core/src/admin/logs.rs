//! Request logs.

use alloc::{string::String, vec::Vec};

use super::nothing;
use crate::{
    action::Action,
    call::{Call, decode},
    client::Client,
    endpoints,
    json::{FromJson, read_by_hand},
    records::ListResult,
};

/// Request logs, for superusers. See [`Client::logs`].
///
/// An entry is JSON `{id, created, level, message, data}`; `level` is -4 for debug, 0 for info, 4 for warnings, 8 for
/// errors.
#[derive(Debug, Clone)]
pub struct Logs {
    client: Client,
}

/// How many entries there are of one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HourlyStats {
    /// The hour: `2026-11-21 08:00:00.000Z`.
    pub date: String,
    /// How many entries.
    pub total: i64,
}

read_by_hand!(HourlyStats, |json| json
    .get_str("date")
    .map(|date| HourlyStats { date, total: json.get("total").and_then(|total| total.as_i64()).unwrap_or(0) }));

impl Logs {
    pub(crate) fn new(client: &Client) -> Self {
        Logs { client: client.clone() }
    }

    /// One page of entries. Pages count from 1.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let failures = client
    ///     .logs()
    ///     .get_list::<serde_json::Value>(1, 50)
    ///     .filter("data.status >= 500")
    ///     .sort("-created")
    ///     .await?;
    /// for entry in failures.items {
    ///     println!("{} {}", entry["created"], entry["message"]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_list<T: FromJson>(&self, page: u32, per_page: u32) -> Action<ListResult<T>> {
        let mut call = Call::new(&endpoints::LOGS_LIST, &[]);
        call.query.set("page", page).set("perPage", per_page);
        Action::new(&self.client, call, decode::<ListResult<T>>)
    }

    /// One entry.
    ///
    /// # Errors
    /// Kind `NotFound` where there is none.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let entry: serde_json::Value = client.logs().get_one("h22ytsf5mjlqzl0").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_one<T: FromJson>(&self, id: &str) -> Action<T> {
        Action::new(&self.client, Call::new(&endpoints::LOGS_ONE, &[("id", id)]), decode::<T>)
    }

    /// How many entries there are of each hour; hours without any are left out. Narrow it with the query parameter
    /// `filter`.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// for hour in client.logs().get_stats().query("filter", "data.status >= 500").await? {
    ///     println!("{} {}", hour.date, hour.total);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_stats(&self) -> Action<Vec<HourlyStats>> {
        Action::new(&self.client, Call::new(&endpoints::LOGS_STATS, &[]), decode::<Vec<HourlyStats>>)
    }

    /// Deletes all entries (server 0.40 and newer).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.logs().delete_all().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_all(&self) -> Action<()> {
        Action::new(&self.client, Call::new(&endpoints::LOGS_DELETE, &[]), nothing)
    }
}
