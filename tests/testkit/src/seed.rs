//! Many records at once.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Api;

/// How many records one batch makes.
const CHUNK: u64 = 500;

/// What to make: `{n}` in the strings of `record` becomes the number of the record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seed {
    collection: String,
    count: u64,
    record: Option<Value>,
}

/// Makes the records. The server's batch limits are lifted meanwhile.
pub(crate) async fn seed(api: &Api, wanted: &Seed) -> Result<()> {
    let settings = api.ok(Method::GET, "/api/settings", None).await?;
    let batch = settings.get("batch").cloned().context("the settings have no batch")?;
    let lifted = json!({"batch": {"enabled": true, "maxRequests": CHUNK, "timeout": 60}});
    api.ok(Method::PATCH, "/api/settings", Some(&lifted)).await?;
    let made = make(api, wanted).await;
    api.ok(Method::PATCH, "/api/settings", Some(&json!({"batch": batch}))).await?;
    made
}

async fn make(api: &Api, wanted: &Seed) -> Result<()> {
    let url = format!("/api/collections/{}/records", wanted.collection);
    let mut next = 0;
    while next < wanted.count {
        let end = wanted.count.min(next + CHUNK);
        let requests: Vec<_> =
            (next..end).map(|n| json!({"method": "POST", "url": url, "body": record(wanted, n)})).collect();
        api.ok(Method::POST, "/api/batch", Some(&json!({"requests": requests}))).await?;
        next = end;
    }
    Ok(())
}

/// One record: as wanted, else what `bulk` and collections with a title take.
fn record(wanted: &Seed, n: u64) -> Value {
    match &wanted.record {
        Some(record) => number(record, n),
        None if wanted.collection == "bulk" => {
            json!({"n": n, "text": format!("{:.<100}", format!("Record {n} "))})
        }
        None => json!({"title": format!("Record {n}"), "n": n}),
    }
}

fn number(template: &Value, n: u64) -> Value {
    match template {
        Value::String(text) if text == "{n}" => json!(n),
        Value::String(text) => json!(text.replace("{n}", &n.to_string())),
        Value::Array(items) => items.iter().map(|item| number(item, n)).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), number(value, n))).collect())
        }
        other => other.clone(),
    }
}
