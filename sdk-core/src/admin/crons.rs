//! Scheduled jobs.

use alloc::{string::String, vec::Vec};

use super::nothing;
use crate::{
    action::Action,
    call::{Call, decode},
    client::Client,
    endpoints,
    json::read_by_hand,
};

/// Scheduled jobs, for superusers. See [`Client::crons`].
#[derive(Debug, Clone)]
pub struct Crons {
    client: Client,
}

/// One scheduled job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CronJob {
    /// Its id: what [`Crons::run`] takes. The server's own begin with `__pb`.
    pub id: String,
    /// When it runs: minute, hour, day of the month, month, day of the week.
    pub expression: String,
}

read_by_hand!(CronJob, |json| json
    .get_str("id")
    .map(|id| CronJob { id, expression: json.get_str("expression").unwrap_or_default() }));

impl Crons {
    pub(crate) fn new(client: &Client) -> Self {
        Crons { client: client.clone() }
    }

    /// All scheduled jobs.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// for job in client.crons().get_full_list().await? {
    ///     println!("{} {}", job.expression, job.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_full_list(&self) -> Action<Vec<CronJob>> {
        Action::new(&self.client, Call::new(&endpoints::CRONS_LIST, &[]), decode::<Vec<CronJob>>)
    }

    /// Starts a job now. The server answers when it has started, not when it is done.
    ///
    /// # Errors
    /// Kind `NotFound` where there is no such job.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.crons().run("__pbLogsCleanup__").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn run(&self, id: &str) -> Action<()> {
        Action::new(&self.client, Call::new(&endpoints::CRONS_RUN, &[("id", id)]), nothing)
    }
}
