//! OAuth2 "all in one": the provider sends the user back to the instance, which tells the client through an event
//! stream. So an app needs no address of its own to come back to.
//!
//! The stream's name is the `state`: what comes back reaches this stream or nobody.

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

use super::{
    Auth, Session,
    oauth2::{FinishOAuth2, Pending, refused, unknown_state},
};
use crate::{
    call::{Call, millis},
    client::SessionSource,
    endpoints,
    error::{Error, ErrorKind},
    json::{Json, ToJson},
    realtime::{
        sse::Message,
        stream::{EventStream, client_id, submit},
    },
    runtime::{BoxFuture, MaybeSend, compact, within},
    url::{Query, digits, json_number},
};

/// The topic on which the server tells what the provider sent back.
const TOPIC: &str = "@oauth2";
/// Where the provider sends the user back to.
const REDIRECT: &str = "/api/oauth2-redirect";
/// The server ends a silent stream after 5 minutes, so more time would be of no use.
const DEFAULT_LIMIT: Duration = Duration::from_secs(300);

impl Auth {
    /// Signs in with an OAuth2 provider in one step: `open` gets the address of the provider's page and shows it to the
    /// user, in a browser; the sign-in is done when the user is. The app needs no callback address: the provider sends
    /// the user to `/api/oauth2-redirect` of the instance, which must be registered with the provider.
    ///
    /// `open` should return at once. Where a session of this collection is live, the provider's account is linked to
    /// its user. Dropping the future cancels the sign-in.
    ///
    /// The instance (0.38.2 and newer) wants the event stream and the calls to come from the same IP address. On a
    /// network that changes between IPv4 and IPv6, use [`begin_oauth2`](Self::begin_oauth2) instead.
    ///
    /// # Errors
    /// Kind `NotFound` where the collection has no such provider; `Validation` where the provider or the server refused
    /// the sign-in; `Timeout` where the user did not come back in time; `Network` where the event stream broke
    /// meanwhile, so that what the user did cannot arrive any more. Begin again after the last two. Else as
    /// [`sign_in`](Self::sign_in).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let session = client.auth().sign_in_with_oauth2("google", |url| println!("Open {url}")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sign_in_with_oauth2<F>(&self, provider: &str, open: F) -> SignInWithOAuth2<F>
    where
        F: FnOnce(&str) + MaybeSend + 'static,
    {
        SignInWithOAuth2 {
            auth: self.clone(),
            call: Call::new(&endpoints::AUTH_OAUTH2, &[]),
            provider: provider.to_string(),
            open,
            scopes: Vec::new(),
            create_data: None,
            mfa_id: None,
            limit: DEFAULT_LIMIT,
        }
    }
}

/// A sign-in through a provider's page that is set up; await it. See [`Auth::sign_in_with_oauth2`].
#[must_use = "nothing is sent before this is awaited"]
pub struct SignInWithOAuth2<F> {
    auth: Auth,
    /// The exchange of the code, without its collection.
    call: Call,
    provider: String,
    open: F,
    scopes: Vec<String>,
    create_data: Option<Result<Json, Error>>,
    mfa_id: Option<String>,
    limit: Duration,
}

impl<F> SignInWithOAuth2<F> {
    /// Takes these options, for the call that signs in.
    ///
    /// ```
    /// # fn demo(client: picobase::Client, options: picobase::action::CallOptions) {
    /// let call = client.auth().sign_in_with_oauth2("google", |url| println!("open {url}")).options(options);
    /// # let _ = call; }
    /// ```
    pub fn options(mut self, options: crate::action::CallOptions) -> Self {
        options.apply(&mut self.call.query, &mut self.call.headers, &mut self.call.limit);
        self
    }

    /// What to ask the provider for, in place of what the server asks for by default.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, open: fn(&str)) -> Result<(), picobase::Error> {
    /// client.auth().sign_in_with_oauth2("google", open).scopes(["openid", "email"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Fields for the record, where this sign-in creates the user.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, open: fn(&str)) -> Result<(), picobase::Error> {
    /// let data = serde_json::json!({"plan": "free"});
    /// client.auth().sign_in_with_oauth2("google", open).create_data(&data).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_data(mut self, data: &(impl ToJson + ?Sized)) -> Self {
        self.create_data = Some(data.to_json());
        self
    }

    /// The id of a multi-factor sign-in whose second factor this is.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, open: fn(&str), mfa_id: &str) -> Result<(), picobase::Error> {
    /// client.auth().sign_in_with_oauth2("google", open).mfa_id(mfa_id).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn mfa_id(mut self, mfa_id: &str) -> Self {
        self.mfa_id = Some(mfa_id.to_string());
        self
    }

    /// How long to wait until the user is back from the provider. Default: 5 minutes, which is also when the server
    /// gives up a silent stream. What remains to be done then has the time of any call.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, open: fn(&str)) -> Result<(), picobase::Error> {
    /// use std::time::Duration;
    /// client.auth().sign_in_with_oauth2("google", open).timeout(Duration::from_secs(60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl<F: FnOnce(&str) + MaybeSend + 'static> SignInWithOAuth2<F> {
    async fn run(self) -> Result<Session, Error> {
        let SignInWithOAuth2 { auth, call, provider, open, scopes, create_data, mfa_id, limit } = self;
        // A mistake is told before the user has been anywhere.
        let create_data = create_data.transpose()?;
        let client = auth.client.clone();
        let visit = visit(&auth, &provider, &scopes, open);
        let Some(back) = within(&*client.shared.runtime, Some(limit), visit).await else { return Err(too_late(limit)) };
        let (pending, code) = back?;
        FinishOAuth2 { client, call, pending: Ok(pending), code, create_data: create_data.map(Ok), mfa_id }.await
    }
}

impl<F: FnOnce(&str) + MaybeSend + 'static> IntoFuture for SignInWithOAuth2<F> {
    type Output = Result<Session, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<F> fmt::Debug for SignInWithOAuth2<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInWithOAuth2").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// Sends the user to the provider and waits until they are back; answers the code and what is needed to exchange it.
async fn visit(
    auth: &Auth,
    provider: &str,
    scopes: &[String],
    open: impl FnOnce(&str),
) -> Result<(Pending, String), Error> {
    let provider = auth.oauth2_provider(provider).await?;
    // As a guest: a sign-in must be possible after a session has ended, and this topic is nobody's.
    let guest = auth.client.with_session(SessionSource::Guest);
    let mut stream = EventStream::open(&guest).await?;
    let state = first(&mut stream, |message| client_id(message).map(str::to_string)).await?;
    submit(&guest, &state, &[TOPIC]).await?;
    let redirect_url = guest.shared.url(REDIRECT, &Query::new())?;
    let (url, pending) = auth.authorization(&provider, state, &redirect_url, scopes).await?;
    open(&url);
    let answer = first(&mut stream, |message| (*message.event == *TOPIC).then(|| message.data.clone())).await;
    let answer = answer.map_err(|_| interrupted())?;
    let code = code(&pending, answer)?;
    Ok((pending, code))
}

/// What `choose` takes of the next message that it takes.
fn first<'a>(
    stream: &'a mut EventStream,
    choose: fn(&Message) -> Option<String>,
) -> impl Future<Output = Result<String, Error>> + use<'a> {
    compact(async move {
        while let Some(messages) = stream.read().await? {
            if let Some(found) = messages.iter().find_map(choose) {
                return Ok(found);
            }
        }
        Err(Error::new(ErrorKind::Network, "the event stream ended"))
    })
}

/// The code in what the server told.
fn code(pending: &Pending, answer: String) -> Result<String, Error> {
    // Without the text: there may be a code in it.
    let answer = Json::parse(answer).map_err(|_| Error::decode("what came back from the provider is not JSON", ""))?;
    let said = |name: &str| answer.get_str(name).filter(|value| !value.is_empty());
    if said("state").as_ref() != Some(&pending.state) {
        return Err(unknown_state());
    }
    if let Some(why) = said("error") {
        return Err(refused(&why));
    }
    said("code").ok_or_else(|| refused("it sent no code"))
}

/// The stream is the only one that the answer could have come on.
fn interrupted() -> Error {
    Error::new(ErrorKind::Network, "the connection broke while the user was at the provider, so no answer can arrive")
        .with_fix("Begin the sign-in again, and send the user to the new address.")
}

fn too_late(limit: Duration) -> Error {
    let ms = digits(millis(limit));
    let seconds = json_number(&[&ms, "e-3"].concat()).filter(|_| limit >= Duration::from_secs(1));
    let (amount, unit) = seconds.as_ref().map_or((&ms, "ms"), |seconds| (seconds, "s"));
    Error::new(ErrorKind::Timeout, ["the user did not come back from the provider within ", amount, unit].concat())
        .with_fix("Begin the sign-in again, and send the user to the new address.")
}
