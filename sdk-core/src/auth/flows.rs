//! The ways to sign up and in, one method each.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::{
    fmt,
    future::{Future, IntoFuture},
    time::Duration,
};

use super::{Auth, Session, token::Claims};
use crate::{
    action::Action,
    call::{Call, Identity, decode, execute, execute_json, nothing},
    client::{Client, moved},
    endpoints::{self, Endpoint},
    error::{Error, ErrorKind},
    json::{FromJson, Json, ToJson, read_by_hand},
    records::{FullList, Record},
    runtime::{BoxFuture, compact},
    transport::Body,
};

impl Auth {
    /// A call to one of this collection's auth endpoints with a JSON body.
    fn call(&self, endpoint: &'static Endpoint, body: impl IntoIterator<Item = (&'static str, Json)>) -> Call {
        let mut call = Call::new(endpoint, &[("c", &self.collection)]);
        call.body = Body::Json(Json::object(body));
        call
    }

    /// Signs in with an identity (an e-mail address, or what the collection allows) and a password.
    ///
    /// With multi-factor authentication the first factor fails with kind `MfaRequired`; pass the error's `mfa_id` with
    /// the second factor.
    ///
    /// # Errors
    /// Kind `Validation` for wrong credentials, `Forbidden` where the collection's auth rule says no, `MfaRequired`;
    /// `Storage` where the session lives but could not be kept.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use picobase::ErrorKind;
    /// match client.auth().sign_in("ada@example.com", "correct horse").await {
    ///     Err(e) if e.kind() == ErrorKind::MfaRequired => {
    ///         let otp = client.auth().request_otp("ada@example.com").await?;
    ///         # let code_from_mail = "123456";
    ///         let mfa_id = e.mfa_id().unwrap_or_default();
    ///         client.auth().sign_in_with_otp(&otp.otp_id, code_from_mail).mfa_id(mfa_id).await?;
    ///     }
    ///     other => { other?; }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn sign_in(&self, identity: &str, password: &str) -> Action<Session> {
        let body = [("identity", Json::string(identity)), ("password", Json::string(password))];
        Action::new(&self.client, self.call(&endpoints::AUTH_PASSWORD, body), sign_in)
    }

    /// Signs in with the one-time password that [`request_otp`](Self::request_otp) had mailed.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let otp = client.auth().request_otp("ada@example.com").await?;
    /// let session = client.auth().sign_in_with_otp(&otp.otp_id, "123456").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sign_in_with_otp(&self, otp_id: &str, password: &str) -> Action<Session> {
        let body = [("otpId", Json::string(otp_id)), ("password", Json::string(password))];
        Action::new(&self.client, self.call(&endpoints::AUTH_OTP, body), sign_in)
    }

    /// Has a one-time password mailed. It also answers for addresses that nobody has.
    ///
    /// # Errors
    /// Kind `RateLimited` where one was mailed a moment ago.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let otp = client.auth().request_otp("ada@example.com").await?;
    /// println!("mailed, id {}", otp.otp_id);
    /// # Ok(())
    /// # }
    /// ```
    pub fn request_otp(&self, email: &str) -> Action<OtpRequest> {
        let call = self.call(&endpoints::AUTH_REQUEST_OTP, [("email", Json::string(email))]);
        Action::new(&self.client, call, decode::<OtpRequest>)
    }

    /// Creates a user and signs in.
    ///
    /// Answers none where the user was created but may not sign in yet, because the collection wants a verified
    /// address first.
    ///
    /// # Errors
    /// Kind `Validation` or `Conflict` where a value is refused.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let session = client
    ///     .auth()
    ///     .sign_up("ada@example.com", "correct horse")
    ///     .data(&serde_json::json!({"name": "Ada"}))
    ///     .await?;
    /// if session.is_none() {
    ///     client.auth().request_verification("ada@example.com").await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn sign_up(&self, email: &str, password: &str) -> SignUp {
        SignUp {
            auth: self.clone(),
            email: email.to_string(),
            password: password.to_string(),
            data: Ok(Json::object::<&str>([])),
        }
    }

    /// How one may sign in to this collection: password, OTP, MFA, OAuth2 providers.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let methods: serde_json::Value = client.auth().methods().await?;
    /// println!("password: {}", methods["password"]["enabled"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn methods<T: FromJson>(&self) -> Action<T> {
        Action::new(&self.client, Call::new(&endpoints::AUTH_METHODS, &[("c", &self.collection)]), decode::<T>)
    }

    /// Has a verification mail sent. It also answers for addresses that nobody has.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.auth().request_verification("ada@example.com").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn request_verification(&self, email: &str) -> Action<()> {
        let call = self.call(&endpoints::AUTH_REQUEST_VERIFICATION, [("email", Json::string(email))]);
        Action::new(&self.client, call, nothing)
    }

    /// Confirms an address with the token of the verification mail.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, token: &str) -> Result<(), picobase::Error> {
    /// client.auth().confirm_verification(token).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn confirm_verification(&self, token: &str) -> Action<()> {
        let call = self.call(&endpoints::AUTH_CONFIRM_VERIFICATION, [("token", Json::string(token))]);
        Action::new(&self.client, call, confirm_verification)
    }

    /// Has a password-reset mail sent. It also answers for addresses that nobody has.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.auth().request_password_reset("ada@example.com").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn request_password_reset(&self, email: &str) -> Action<()> {
        let call = self.call(&endpoints::AUTH_REQUEST_RESET, [("email", Json::string(email))]);
        Action::new(&self.client, call, nothing)
    }

    /// Sets a new password with the token of the reset mail. If its user is the one who is signed in, signs in again
    /// with the new password, because the old token is dead.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, token: &str) -> Result<(), picobase::Error> {
    /// client.auth().confirm_password_reset(token, "new password").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn confirm_password_reset(&self, token: &str, password: &str) -> Action<()> {
        let body = [
            ("token", Json::string(token)),
            ("password", Json::string(password)),
            ("passwordConfirm", Json::string(password)),
        ];
        Action::new(&self.client, self.call(&endpoints::AUTH_CONFIRM_RESET, body), confirm_reset)
    }

    /// Has a mail sent to a new address of the signed-in user, to confirm it.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.auth().request_email_change("ada@new.example.com").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn request_email_change(&self, new_email: &str) -> Action<()> {
        let call = self.call(&endpoints::AUTH_REQUEST_EMAIL_CHANGE, [("newEmail", Json::string(new_email))]);
        Action::new(&self.client, call, nothing)
    }

    /// Changes the address with the token of the mail and the user's password. All tokens of that user are dead from
    /// then on: if it is the one who is signed in, the session ends.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, token: &str) -> Result<(), picobase::Error> {
    /// client.auth().confirm_email_change(token, "correct horse").await?;
    /// client.auth().sign_in("ada@new.example.com", "correct horse").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn confirm_email_change(&self, token: &str, password: &str) -> Action<()> {
        let body = [("token", Json::string(token)), ("password", Json::string(password))];
        Action::new(&self.client, self.call(&endpoints::AUTH_CONFIRM_EMAIL_CHANGE, body), confirm_email_change)
    }

    /// A client that is signed in as another user, for superusers. Its token cannot be refreshed.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// use std::time::Duration;
    /// let as_ada = client.auth().impersonate("ada_id").duration(Duration::from_secs(600)).await?;
    /// let hers = as_ada.collection("notes").get_list(1, 20).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn impersonate(&self, id: &str) -> Impersonate {
        let params = [("c", self.collection.as_str()), ("id", id)];
        let mut call = Call::new(&endpoints::AUTH_IMPERSONATE, &params);
        call.body = Body::Json(Json::object([("duration", Json::int(0))]));
        Impersonate(Action::new(&self.client, call, impersonate))
    }

    /// The OAuth2 accounts that are linked to a user.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// for account in client.auth().external_auths("ada_id")?.await? {
    ///     println!("{:?}", account.get_str("provider"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Kind `Validation` where the id cannot be put into a filter.
    pub fn external_auths(&self, id: &str) -> Result<FullList<Record>, Error> {
        let filter = self.client.filter("recordRef = {:id}", crate::params! { "id" => id })?;
        Ok(self.client.collection("_externalAuths").get_full_list().filter(filter))
    }

    /// Unlinks an OAuth2 account from a user.
    ///
    /// # Errors
    /// Kind `NotFound` where there is no such account.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.auth().unlink_external_auth("ada_id", "google").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unlink_external_auth(&self, id: &str, provider: &str) -> Result<(), Error> {
        let accounts = self.client.collection("_externalAuths").typed::<Json>();
        let filter = self.client.filter(
            "recordRef = {:id} && provider = {:provider}",
            crate::params! { "id" => id, "provider" => provider },
        )?;
        let account: Json = accounts.get_first_list_item(&filter).await?;
        accounts.delete(&account.get_str("id").unwrap_or_default()).await
    }
}

impl Action<Session> {
    /// The id of a multi-factor sign-in whose second factor this is.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, mfa_id: &str) -> Result<(), picobase::Error> {
    /// client.auth().sign_in_with_otp("otp_id", "123456").mfa_id(mfa_id).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn mfa_id(self, mfa_id: &str) -> Self {
        self.member("mfaId", mfa_id)
    }

    /// Which identity field to look in, where several fit.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.auth().sign_in("ada", "correct horse").identity_field("username").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn identity_field(self, name: &str) -> Self {
        self.member("identityField", name)
    }

    fn member(mut self, name: &str, value: &str) -> Self {
        if let Body::Json(json) = &self.call.body {
            self.call.body = Body::Json(json.with(name, Json::string(value)));
        }
        self
    }
}

/// The answer to [`Auth::request_otp`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OtpRequest {
    /// To pass with the mailed password.
    pub otp_id: String,
}

/// One OAuth2 provider of a collection, as [`Auth::oauth2_providers`] lists them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OAuth2Provider {
    /// Its name, `google` for example: what [`Auth::begin_oauth2`] takes.
    pub name: String,
    /// What to write on the button.
    pub display_name: String,
    /// An SVG, where the server gives one (0.37 and newer).
    pub logo: Option<String>,
    pub(crate) auth_url: String,
    pub(crate) pkce: bool,
}

impl OAuth2Provider {
    pub(crate) fn read(json: &Json) -> Option<OAuth2Provider> {
        let name = json.get_str("name")?;
        Some(OAuth2Provider {
            display_name: json.get_str("displayName").unwrap_or_else(|| name.clone()),
            logo: json.get_str("logo").filter(|logo| !logo.is_empty()),
            auth_url: json.get_str("authURL").or_else(|| json.get_str("authUrl"))?,
            pkce: json.get_str("codeChallenge").is_some_and(|challenge| !challenge.is_empty()),
            name,
        })
    }
}

read_by_hand!(OtpRequest, |json| json.get_str("otpId").map(|otp_id| OtpRequest { otp_id }));

/// A sign-up that is set up; await it. See [`Auth::sign_up`].
#[must_use = "nothing is sent before this is awaited"]
pub struct SignUp {
    auth: Auth,
    email: String,
    password: String,
    data: Result<Json, Error>,
}

impl fmt::Debug for SignUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignUp").field("collection", &self.auth.collection).finish_non_exhaustive()
    }
}

impl SignUp {
    /// Further fields of the user's record.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// client.auth().sign_up("ada@example.com", "correct horse").data(&serde_json::json!({"name": "Ada"})).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn data(mut self, data: &(impl ToJson + ?Sized)) -> Self {
        self.data = data.to_json();
        self
    }

    async fn run(self) -> Result<Option<Session>, Error> {
        let (email, password) = (Json::string(&self.email), Json::string(&self.password));
        let record =
            self.data?.with("email", email).with("password", password.clone()).with("passwordConfirm", password);
        let mut call = Call::new(&endpoints::RECORDS_CREATE, &[("c", &self.auth.collection)]);
        call.identity = Identity::Whoever;
        call.body = Body::Json(record);
        execute_json::<Json>(self.auth.client.clone(), call).await?;
        match self.auth.sign_in(&self.email, &self.password).await {
            Ok(session) => Ok(Some(session)),
            // The collection's auth rule says: not yet.
            Err(e) if e.kind() == ErrorKind::Forbidden => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl IntoFuture for SignUp {
    type Output = Result<Option<Session>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// An impersonation that is set up; await it. See [`Auth::impersonate`].
#[must_use = "nothing is sent before this is awaited"]
#[derive(Debug)]
pub struct Impersonate(Action<Client>);

impl Impersonate {
    /// How long the token lives. Default: as the collection says. Whole seconds.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let ada = client.auth().impersonate("ada_id").duration(std::time::Duration::from_secs(60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn duration(mut self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        self.0.call.body = Body::Json(Json::object([("duration", Json::int(seconds))]));
        self
    }

    /// Takes these options.
    ///
    /// ```
    /// # fn demo(client: picobase::Client, options: picobase::action::CallOptions) {
    /// let call = client.auth().impersonate("ada_id").options(options);
    /// # let _ = call; }
    /// ```
    pub fn options(self, options: crate::action::CallOptions) -> Self {
        Impersonate(self.0.options(options))
    }
}

impl IntoFuture for Impersonate {
    type Output = Result<Client, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.0.into_future()
    }
}

/// Makes a sign-in call and begins the session that it brings.
pub(crate) fn sign_in(client: Client, call: Call) -> BoxFuture<'static, Result<Session, Error>> {
    Box::pin(async move {
        let moves = client.shared.moves();
        let session = execute(&client, call).await?.session()?;
        // It is a session of the instance that was asked.
        if client.shared.moves() != moves {
            return Err(moved());
        }
        client.session.begin(&client, &session).await?;
        Ok(session)
    })
}

fn impersonate(client: Client, call: Call) -> BoxFuture<'static, Result<Client, Error>> {
    Box::pin(async move {
        let answer = execute(&client, call).await?;
        Ok(client.with_session(answer.session()?))
    })
}

/// The text member of a call's JSON body.
fn sent(call: &Call, name: &str) -> String {
    match &call.body {
        Body::Json(json) => json.get_str(name).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Is the token of a mail about the user who is signed in?
fn is_mine(client: &Client, mail_token: &str) -> Option<Session> {
    let session = client.session.current()?;
    let (mail, mine) = (Claims::read(mail_token)?, session.claims()?);
    (mail.id.is_some() && mail.id == mine.id && mail.collection_id == mine.collection_id).then_some(session)
}

fn confirm_verification(client: Client, call: Call) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        let token = sent(&call, "token");
        execute(&client, call).await?.nothing()?;
        if is_mine(&client, &token).is_some() {
            client.session.record_changed(&client, &Json::object([("verified", Json::bool(true))])).await?;
        }
        Ok(())
    })
}

fn confirm_reset(client: Client, call: Call) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        let (token, password) = (sent(&call, "token"), sent(&call, "password"));
        execute(&client, call).await?.nothing()?;
        match is_mine(&client, &token) {
            Some(session) => password_changed(&client, &session, &[session.record_json()], &password).await,
            None => Ok(()),
        }
    })
}

fn confirm_email_change(client: Client, call: Call) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        let token = sent(&call, "token");
        let generation = client.session.generation();
        execute(&client, call).await?.nothing()?;
        match is_mine(&client, &token) {
            Some(_) => client.session.end(&client, generation).await,
            None => Ok(()),
        }
    })
}

/// One's own password was changed, so the token is dead: signs in with the new one, or ends the session where that is
/// not possible. The identity is in one of `records`, the newest first.
fn password_changed<'a>(
    client: &'a Client,
    session: &Session,
    records: &[&Json],
    password: &str,
) -> impl Future<Output = Result<(), Error>> + use<'a> {
    let generation = client.session.generation();
    let collection = session.claims().and_then(|claims| claims.collection_id.clone()).unwrap_or_default();
    let known = |name: &str| records.iter().find_map(|record| record.get_str(name).filter(|value| !value.is_empty()));
    let call = known("email").or_else(|| known("username")).map(|identity| {
        let body = Json::object([("identity", Json::string(&identity)), ("password", Json::string(password))]);
        let mut call = Call::new(&endpoints::AUTH_PASSWORD, &[("c", &collection)]);
        call.body = Body::Json(body);
        call
    });
    compact(async move {
        if let Some(call) = call
            && let Ok(session) = execute(client, call).await.and_then(|answer| answer.session())
        {
            return client.session.continue_as(client, generation, &session).await;
        }
        client.session.end(client, generation).await
    })
}

/// The signed-in user's own record was written, in a call or a batch: keeps the session true.
pub(crate) async fn own_record_written(client: &Client, body: &Json, answer: &Json) -> Result<(), Error> {
    let generation = client.session.generation();
    let Some(before) = client.session.current() else { return Ok(()) };
    if let Some(password) = body.get_str("password").filter(|password| !password.is_empty()) {
        // The sign-in brings the record along: one change, told once.
        return password_changed(client, &before, &[answer, body, before.record_json()], &password).await;
    }
    client.session.record_changed(client, answer).await?;
    match (before.record_json().get_str("email"), body.get_str("email")) {
        (Some(old), Some(new)) if old != new => client.session.end(client, generation).await,
        _ => Ok(()),
    }
}

/// Is this record the one of the signed-in user?
pub(crate) fn is_own_record(client: &Client, collection: &str, id: &str) -> bool {
    let Some(session) = client.session.current() else { return false };
    let Some(claims) = session.claims() else { return false };
    claims.id.as_deref() == Some(id)
        && (claims.collection_id.as_deref() == Some(collection)
            || session.record_json().get_str("collectionName").as_deref() == Some(collection))
}

/// The providers in an answer of `auth-methods`.
pub(crate) fn providers(methods: &Json) -> Vec<OAuth2Provider> {
    let list = methods.get("oauth2").and_then(|oauth2| oauth2.get("providers"));
    list.map(|list| list.items().iter().filter_map(OAuth2Provider::read).collect()).unwrap_or_default()
}
