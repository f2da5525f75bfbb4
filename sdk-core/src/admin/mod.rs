//! What superusers may do: collections, settings, logs, backups, scheduled jobs, SQL. And health, which anyone may ask.

mod backups;
mod collections;
mod crons;
mod health;
mod logs;
mod settings;
mod sql;

pub use self::{
    backups::{BackupFile, Backups},
    collections::{Collections, OAuth2ProviderInfo},
    crons::{CronJob, Crons},
    health::Health,
    logs::{HourlyStats, Logs},
    settings::{AppleClientSecret, Settings},
    sql::{Sql, SqlAnswer, SqlColumn},
};
use crate::{
    call::{Call, nothing},
    endpoints::Endpoint,
    json::Json,
    transport::Body,
};

/// A call with a JSON body of these members.
fn call_with(endpoint: &'static Endpoint, members: impl IntoIterator<Item = (&'static str, Json)>) -> Call {
    let mut call = Call::new(endpoint, &[]);
    call.body = Body::Json(Json::object(members));
    call
}
