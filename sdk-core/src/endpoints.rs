//! The server's endpoints as data: one row each, executed by one function (`call::execute`).
//!
//! The Rust methods, the exports of the bindings and `tests/capabilities.yaml` follow from this table; a new endpoint
//! is one row here and one method on its noun.

use crate::transport::Method;

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Caller {
    /// Anyone, and no session is needed: these go through when a session has ended.
    Anyone,
    /// Whom the collection's API rule lets.
    Rule,
    /// Anyone who is signed in.
    Auth,
    /// Superusers.
    Superuser,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The number of the row, stable; `tests/capabilities.yaml` refers to it.
    pub number: u8,
    /// The noun and the verb: `records.list`.
    pub name: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The path with its parameters: `/api/collections/{c}/records/{id}`.
    pub path: &'static str,
    /// Who may call it.
    pub caller: Caller,
    /// The first server version that has it; empty where all supported ones do (0.23).
    pub since: &'static str,
    /// Does repeating it do no harm, although it is no GET? A lost answer is then asked for again.
    pub safe: bool,
}

macro_rules! endpoints {
    ($($number:literal $const:ident $name:literal $method:ident $path:literal $caller:ident $(since $since:literal)? $(safe $safe:literal)?;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", stringify!($method), " `", $path, "`")]
            pub const $const: Endpoint = Endpoint {
                number: $number,
                name: $name,
                method: Method::$method,
                path: $path,
                caller: Caller::$caller,
                since: concat!("" $(, $since)?),
                safe: false $(|| $safe)?,
            };
        )*

        /// Every endpoint of the server that the client calls.
        ///
        /// ```
        /// let admin_only = picobase::endpoints::ALL.iter().filter(|e| e.path.starts_with("/api/settings")).count();
        /// assert_eq!(admin_only, 5);
        /// ```
        pub const ALL: &[Endpoint] = &[$($const),*];
    };
}

endpoints! {
    1 SETTINGS_GET "settings.get_all" Get "/api/settings" Superuser;
    2 SETTINGS_UPDATE "settings.update" Patch "/api/settings" Superuser;
    3 SETTINGS_TEST_S3 "settings.test_s3" Post "/api/settings/test/s3" Superuser;
    4 SETTINGS_TEST_EMAIL "settings.test_email" Post "/api/settings/test/email" Superuser;
    5 SETTINGS_APPLE_SECRET "settings.generate_apple_client_secret" Post "/api/settings/apple/generate-client-secret" Superuser;
    6 COLLECTIONS_LIST "collections.get_list" Get "/api/collections" Superuser;
    7 COLLECTIONS_CREATE "collections.create" Post "/api/collections" Superuser;
    8 COLLECTIONS_ONE "collections.get_one" Get "/api/collections/{c}" Superuser;
    9 COLLECTIONS_UPDATE "collections.update" Patch "/api/collections/{c}" Superuser;
    10 COLLECTIONS_DELETE "collections.delete" Delete "/api/collections/{c}" Superuser;
    11 COLLECTIONS_TRUNCATE "collections.truncate" Delete "/api/collections/{c}/truncate" Superuser;
    12 COLLECTIONS_IMPORT "collections.import" Put "/api/collections/import" Superuser;
    13 COLLECTIONS_SCAFFOLDS "collections.get_scaffolds" Get "/api/collections/meta/scaffolds" Superuser;
    14 COLLECTIONS_OAUTH2_PROVIDERS "collections.get_oauth2_providers" Get "/api/collections/meta/oauth2-providers" Superuser since "0.37.0";
    15 COLLECTIONS_DRY_RUN_VIEW "collections.dry_run_view" Post "/api/collections/meta/dry-run-view" Superuser since "0.37.0" safe true;
    16 RECORDS_LIST "records.get_list" Get "/api/collections/{c}/records" Rule;
    17 RECORDS_ONE "records.get_one" Get "/api/collections/{c}/records/{id}" Rule;
    18 RECORDS_CREATE "records.create" Post "/api/collections/{c}/records" Rule;
    19 RECORDS_UPDATE "records.update" Patch "/api/collections/{c}/records/{id}" Rule;
    20 RECORDS_DELETE "records.delete" Delete "/api/collections/{c}/records/{id}" Rule;
    21 AUTH_METHODS "auth.methods" Get "/api/collections/{c}/auth-methods" Anyone;
    22 AUTH_PASSWORD "auth.sign_in" Post "/api/collections/{c}/auth-with-password" Anyone;
    23 AUTH_OAUTH2 "auth.finish_oauth2" Post "/api/collections/{c}/auth-with-oauth2" Anyone;
    26 AUTH_REFRESH "auth.refresh" Post "/api/collections/{c}/auth-refresh" Auth safe true;
    27 AUTH_REQUEST_OTP "auth.request_otp" Post "/api/collections/{c}/request-otp" Anyone;
    28 AUTH_OTP "auth.sign_in_with_otp" Post "/api/collections/{c}/auth-with-otp" Anyone;
    29 AUTH_REQUEST_RESET "auth.request_password_reset" Post "/api/collections/{c}/request-password-reset" Anyone;
    30 AUTH_CONFIRM_RESET "auth.confirm_password_reset" Post "/api/collections/{c}/confirm-password-reset" Anyone;
    31 AUTH_REQUEST_VERIFICATION "auth.request_verification" Post "/api/collections/{c}/request-verification" Anyone;
    32 AUTH_CONFIRM_VERIFICATION "auth.confirm_verification" Post "/api/collections/{c}/confirm-verification" Anyone;
    33 AUTH_REQUEST_EMAIL_CHANGE "auth.request_email_change" Post "/api/collections/{c}/request-email-change" Auth;
    34 AUTH_CONFIRM_EMAIL_CHANGE "auth.confirm_email_change" Post "/api/collections/{c}/confirm-email-change" Anyone;
    35 AUTH_IMPERSONATE "auth.impersonate" Post "/api/collections/{c}/impersonate/{id}" Superuser safe true;
    36 LOGS_LIST "logs.get_list" Get "/api/logs" Superuser;
    37 LOGS_STATS "logs.get_stats" Get "/api/logs/stats" Superuser;
    38 LOGS_ONE "logs.get_one" Get "/api/logs/{id}" Superuser;
    39 LOGS_DELETE "logs.delete_all" Delete "/api/logs" Superuser since "0.40.0";
    40 BACKUPS_LIST "backups.get_full_list" Get "/api/backups" Superuser;
    41 BACKUPS_CREATE "backups.create" Post "/api/backups" Superuser;
    42 BACKUPS_UPLOAD "backups.upload" Post "/api/backups/upload" Superuser;
    43 BACKUPS_DOWNLOAD "backups.download" Get "/api/backups/{key}" Superuser;
    44 BACKUPS_DELETE "backups.delete" Delete "/api/backups/{key}" Superuser;
    45 BACKUPS_RESTORE "backups.restore" Post "/api/backups/{key}/restore" Superuser;
    46 CRONS_LIST "crons.get_full_list" Get "/api/crons" Superuser;
    47 CRONS_RUN "crons.run" Post "/api/crons/{id}" Superuser;
    48 FILES_TOKEN "files.get_token" Post "/api/files/token" Auth safe true;
    49 FILES_DOWNLOAD "files.download" Get "/api/files/{c}/{id}/{name}" Rule;
    50 BATCH "batch.send" Post "/api/batch" Rule;
    51 REALTIME_CONNECT "realtime.connect" Get "/api/realtime" Rule;
    52 REALTIME_SUBMIT "realtime.submit" Post "/api/realtime" Rule safe true;
    53 HEALTH "health" Get "/api/health" Anyone;
    54 SQL "sql.run" Post "/api/sql" Superuser since "0.39.0";
}

/// Any other route of the instance, for `send` and `rpc`.
pub(crate) fn custom(method: Method) -> &'static Endpoint {
    const fn row(method: Method) -> Endpoint {
        let (caller, path) = (Caller::Rule, "(custom route)");
        Endpoint { number: 0, name: "send", method, path, caller, since: "", safe: false }
    }
    const ROWS: &[Endpoint] =
        &[row(Method::Get), row(Method::Head), row(Method::Post), row(Method::Put), row(Method::Patch)];
    const LAST: &Endpoint = &row(Method::Delete);
    ROWS.iter().find(|row| row.method == method).unwrap_or(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_in_order() {
        assert!(ALL.is_sorted_by(|a, b| a.number < b.number));
        let mut names: Vec<_> = ALL.iter().map(|e| e.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|e| e.path.starts_with("/api/") && !e.path.ends_with('/')));
    }
}
