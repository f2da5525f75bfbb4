//! Is the instance awake?

use alloc::string::String;

use crate::json::{Json, read_by_hand};

/// The answer to [`Client::health`](crate::Client::health).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// 200.
    pub code: i64,
    /// The server's sentence about it.
    pub message: String,
    /// What it tells superusers: `canBackup`, `realIP`, `possibleProxyHeader`. For all others an empty object.
    pub data: Json,
}

read_by_hand!(Health, |json| json.get("code").and_then(|code| code.as_i64()).map(|code| Health {
    code,
    message: json.get_str("message").unwrap_or_default(),
    data: json.get("data").unwrap_or_else(Json::null),
}));
