//! The instance's settings.

use alloc::string::String;
use core::{fmt, time::Duration};

use super::{call_with, nothing};
use crate::{
    action::Action,
    call::{Call, decode},
    client::Client,
    endpoints,
    json::{FromJson, Json, ToJson, read_by_hand},
};

/// The instance's settings, for superusers. See [`Client::settings`].
#[derive(Debug, Clone)]
pub struct Settings {
    client: Client,
}

/// The answer to [`Settings::generate_apple_client_secret`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppleClientSecret {
    /// The client secret, to put into the OAuth2 options of a collection.
    pub secret: String,
}

/// Not the secret.
impl fmt::Debug for AppleClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppleClientSecret").finish_non_exhaustive()
    }
}

read_by_hand!(AppleClientSecret, |json| json.get_str("secret").map(|secret| AppleClientSecret { secret }));

impl Settings {
    pub(crate) fn new(client: &Client) -> Self {
        Settings { client: client.clone() }
    }

    /// All settings, as JSON or a type of your own. Passwords and keys in them are left out.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let settings: serde_json::Value = client.settings().get_all().await?;
    /// println!("{}", settings["meta"]["appName"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_all<T: FromJson>(&self) -> Action<T> {
        Action::new(&self.client, Call::new(&endpoints::SETTINGS_GET, &[]), decode::<T>)
    }

    /// Changes the settings that are in `body` and answers all of them.
    ///
    /// # Errors
    /// Kind `Validation` where a value is refused.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let body = serde_json::json!({"meta": {"appName": "Acme"}, "batch": {"enabled": true}});
    /// let settings: serde_json::Value = client.settings().update(&body).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn update<T: FromJson>(&self, body: &(impl ToJson + ?Sized)) -> Action<T> {
        Action::new(&self.client, Call::new(&endpoints::SETTINGS_UPDATE, &[]), decode::<T>).body(body)
    }

    /// Tries the S3 connection of `storage` or `backups`.
    ///
    /// # Errors
    /// Kind `Validation` where it does not work; the message says why.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.settings().test_s3("storage").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn test_s3(&self, filesystem: &str) -> Action<()> {
        let call = call_with(&endpoints::SETTINGS_TEST_S3, [("filesystem", Json::string(filesystem))]);
        Action::new(&self.client, call, nothing)
    }

    /// Sends a mail of an auth collection as a test. `template` is `verification`, `password-reset`, `email-change`,
    /// `otp` or `login-alert`.
    ///
    /// # Errors
    /// Kind `Validation` where it cannot be sent; the message says why.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.settings().test_email("users", "ada@example.com", "verification").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn test_email(&self, collection: &str, to: &str, template: &str) -> Action<()> {
        let members = [
            ("email", Json::string(to)),
            ("template", Json::string(template)),
            ("collection", Json::string(collection)),
        ];
        Action::new(&self.client, call_with(&endpoints::SETTINGS_TEST_EMAIL, members), nothing)
    }

    /// Makes the client secret that Apple's OAuth2 wants. `private_key` is the text of the `.p8` file; the secret lives
    /// for `duration`, in whole seconds, at most six months.
    ///
    /// # Errors
    /// Kind `Validation` where a value is refused.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, key: &str) -> Result<(), picobase::Error> {
    /// use std::time::Duration;
    /// let days_90 = Duration::from_secs(90 * 24 * 60 * 60);
    /// let answer = client
    ///     .settings()
    ///     .generate_apple_client_secret("com.example.app", "TEAM567890", "KEY4567890", key, days_90)
    ///     .await?;
    /// # let _ = answer.secret;
    /// # Ok(())
    /// # }
    /// ```
    pub fn generate_apple_client_secret(
        &self,
        client_id: &str,
        team_id: &str,
        key_id: &str,
        private_key: &str,
        duration: Duration,
    ) -> Action<AppleClientSecret> {
        let members = [
            ("clientId", Json::string(client_id)),
            ("teamId", Json::string(team_id)),
            ("keyId", Json::string(key_id)),
            ("privateKey", Json::string(private_key)),
            ("duration", Json::int(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))),
        ];
        Action::new(&self.client, call_with(&endpoints::SETTINGS_APPLE_SECRET, members), decode::<AppleClientSecret>)
    }
}
