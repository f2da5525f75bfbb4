//! OAuth2 by code with PKCE (RFC 6749 §4.1, RFC 7636): begin, send the user to the provider, finish.
//!
//! The server checks neither `state` nor that a code is used once, so the client does: it makes state and verifier
//! itself, keeps them, compares, and forgets them at the first use.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, future::IntoFuture};

use secrecy::{ExposeSecret, SecretString};

use super::{
    Auth, Session,
    flows::{OAuth2Provider, providers, sign_in},
    token::base64url_encode,
};
use crate::{
    call::Call,
    client::Client,
    endpoints,
    error::Error,
    json::{Json, ToJson},
    runtime::BoxFuture,
    transport::Body,
    url::{decode_percent, push_encoded, quoted},
};

/// How many sign-ins may be under way at once; the oldest is forgotten.
const PENDING_MAX: usize = 16;

/// A sign-in that was begun and not finished.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(super) state: String,
    verifier: Option<SecretString>,
    provider: String,
    redirect_url: String,
    collection: String,
}

impl Pending {
    fn to_saved(&self) -> String {
        let verifier = self.verifier.as_ref().map(|verifier| verifier.expose_secret()).unwrap_or_default();
        let texts = [&self.state, verifier, &self.provider, &self.redirect_url, &self.collection];
        Json::array(texts.map(Json::string)).as_text().to_string()
    }

    fn from_saved(saved: &str) -> Option<Pending> {
        let mut texts = Json::parse(saved.to_string()).ok()?.items().into_iter().map(|text| text.as_str());
        let mut next = || texts.next().flatten();
        let (state, verifier) = (next().filter(|state| !state.is_empty())?, next()?);
        Some(Pending {
            state,
            verifier: Some(verifier).filter(|verifier| !verifier.is_empty()).map(SecretString::from),
            provider: next()?,
            redirect_url: next()?,
            collection: next()?,
        })
    }
}

/// Where to send the user. See [`Auth::begin_oauth2`].
#[derive(Clone)]
#[non_exhaustive]
pub struct OAuth2Start {
    /// The provider's page.
    pub url: String,
    /// What comes back as `state`.
    pub state: String,
    /// What [`Auth::resume_oauth2`] takes, where another client or a restarted program finishes. It holds a secret: keep
    /// it where only that program, or that user's browser, can read it.
    pub saved: String,
}

impl fmt::Debug for OAuth2Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2Start").finish_non_exhaustive()
    }
}

impl Auth {
    /// The OAuth2 providers that one may sign in with.
    ///
    /// # Errors
    /// As any call.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// for provider in client.auth().oauth2_providers().await? {
    ///     println!("{}", provider.display_name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn oauth2_providers(&self) -> Result<Vec<OAuth2Provider>, Error> {
        Ok(providers(&self.methods::<Json>().await?))
    }

    /// Begins a sign-in with an OAuth2 provider: send the user to [`OAuth2Start::url`]. The provider sends them back to
    /// `redirect_url` with `code` and `state`, which [`finish_oauth2`](Self::finish_oauth2) takes.
    ///
    /// # Errors
    /// Kind `NotFound` where the collection has no such provider; `Configuration` where its page is not http(s).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let start = client.auth().begin_oauth2("google", "https://app.example.com/callback").await?;
    /// println!("open {}", start.url);
    /// # let (code, state) = ("code", "state");
    /// let session = client.auth().finish_oauth2(code, state).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn begin_oauth2(&self, provider: &str, redirect_url: &str) -> Result<OAuth2Start, Error> {
        let provider = self.oauth2_provider(provider).await?;
        let mut state = [0; 24];
        self.client.shared.runtime.random(&mut state)?;
        let (url, pending) = self.authorization(&provider, base64url_encode(&state), redirect_url, &[]).await?;
        let (state, saved) = (pending.state.clone(), pending.to_saved());
        self.keep(pending);
        Ok(OAuth2Start { url, state, saved })
    }

    /// The provider of that name.
    ///
    /// # Errors
    /// Kind `NotFound` where the collection has no such provider.
    pub(super) async fn oauth2_provider(&self, name: &str) -> Result<OAuth2Provider, Error> {
        let mut known = self.oauth2_providers().await?;
        if let Some(at) = known.iter().position(|provider| provider.name == name) {
            return Ok(known.swap_remove(at));
        }
        let names: Vec<&str> = known.iter().map(|provider| provider.name.as_str()).collect();
        Err(Error::not_found([&self.collection, " has no OAuth2 provider ", &quoted(name)].concat())
            .with_fix(["Configure it in the dashboard. There are: ", &names.join(", "), "."].concat()))
    }

    /// The provider's page for this `state`, and what is needed when the user comes back from it. No scopes: those of
    /// the server.
    ///
    /// # Errors
    /// Kind `Configuration` where the page is not http(s).
    pub(super) async fn authorization(
        &self,
        provider: &OAuth2Provider,
        state: String,
        redirect_url: &str,
        scopes: &[String],
    ) -> Result<(String, Pending), Error> {
        let runtime = &self.client.shared.runtime;
        let mut verifier = [0; 32];
        runtime.random(&mut verifier)?;
        let verifier = base64url_encode(&verifier);
        let challenge = match provider.pkce {
            true => Some(base64url_encode(&runtime.sha256(verifier.as_bytes()).await?)),
            false => None,
        };
        let url = authorize_url(&provider.auth_url, &state, challenge.as_deref(), redirect_url, scopes)?;
        let pending = Pending {
            state,
            verifier: provider.pkce.then(|| SecretString::from(verifier)),
            provider: provider.name.clone(),
            redirect_url: redirect_url.to_string(),
            collection: self.collection.clone(),
        };
        Ok((url, pending))
    }

    /// Takes over a sign-in that was begun elsewhere: before a page was loaded anew, or on another client. Then
    /// [`finish_oauth2`](Self::finish_oauth2) finishes it.
    ///
    /// # Errors
    /// Kind `Validation` where this is not what [`OAuth2Start::saved`] was.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, saved: &str, callback: &str) -> Result<(), picobase::Error> {
    /// client.auth().resume_oauth2(saved)?;
    /// let session = client.auth().finish_oauth2_url(callback).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume_oauth2(&self, saved: &str) -> Result<(), Error> {
        self.keep(Pending::from_saved(saved).ok_or_else(unknown_state)?);
        Ok(())
    }

    fn keep(&self, pending: Pending) {
        self.client.session.oauth2.with(|all| {
            all.retain(|other| other.state != pending.state);
            if all.len() >= PENDING_MAX {
                all.remove(0);
            }
            all.push(pending);
        });
    }

    /// Finishes a sign-in that this client began, with what the provider sent back. Each `state` works once.
    ///
    /// # Errors
    /// Kind `Validation` where the state is not one of this client's; else as [`sign_in`](Self::sign_in).
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, code: &str, state: &str) -> Result<(), picobase::Error> {
    /// let session = client.auth().finish_oauth2(code, state).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn finish_oauth2(&self, code: &str, state: &str) -> FinishOAuth2 {
        let pending = self.client.session.oauth2.with(|all| {
            let at = all.iter().position(|pending| pending.state == state)?;
            Some(all.remove(at))
        });
        let pending = pending.ok_or_else(unknown_state);
        let call = Call::new(&endpoints::AUTH_OAUTH2, &[]);
        FinishOAuth2 {
            client: self.client.clone(),
            call,
            pending,
            code: code.to_string(),
            create_data: None,
            mfa_id: None,
        }
    }

    /// [`finish_oauth2`](Self::finish_oauth2) with the whole address to which the provider sent the user back.
    ///
    /// # Errors
    /// Kind `Validation` where the provider answered with an error, or the state is not one of this client's.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let session = client.auth().finish_oauth2_url("https://app.example.com/callback?code=c&state=s").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn finish_oauth2_url(&self, callback: &str) -> FinishOAuth2 {
        let (code, state) = (parameter(callback, "code"), parameter(callback, "state"));
        let mut finish = self.finish_oauth2(&code.unwrap_or_default(), &state.unwrap_or_default());
        if let Some(error) = parameter(callback, "error") {
            let why = parameter(callback, "error_description").unwrap_or(error);
            finish.pending = Err(refused(&why));
        }
        finish
    }
}

/// A sign-in that comes back from the provider; await it. See [`Auth::finish_oauth2`].
#[must_use = "nothing is sent before this is awaited"]
pub struct FinishOAuth2 {
    pub(super) client: Client,
    /// The exchange of the code, without its collection.
    pub(super) call: Call,
    pub(super) pending: Result<Pending, Error>,
    pub(super) code: String,
    pub(super) create_data: Option<Result<Json, Error>>,
    pub(super) mfa_id: Option<String>,
}

impl fmt::Debug for FinishOAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishOAuth2").finish_non_exhaustive()
    }
}

impl FinishOAuth2 {
    /// Takes these options.
    ///
    /// ```
    /// # fn demo(client: picobase::Client, callback: &str, options: picobase::action::CallOptions) {
    /// let call = client.auth().finish_oauth2_url(callback).options(options);
    /// # let _ = call; }
    /// ```
    pub fn options(mut self, options: crate::action::CallOptions) -> Self {
        options.apply(&mut self.call.query, &mut self.call.headers, &mut self.call.limit);
        self
    }

    /// Fields for the record, where this sign-in creates the user.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client, code: &str, state: &str) -> Result<(), picobase::Error> {
    /// client.auth().finish_oauth2(code, state).create_data(&serde_json::json!({"plan": "free"})).await?;
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
    /// # async fn demo(client: picobase::Client, code: &str, state: &str, mfa_id: &str) -> Result<(), picobase::Error> {
    /// client.auth().finish_oauth2(code, state).mfa_id(mfa_id).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn mfa_id(mut self, mfa_id: &str) -> Self {
        self.mfa_id = Some(mfa_id.to_string());
        self
    }

    async fn run(self) -> Result<Session, Error> {
        let pending = self.pending?;
        let verifier = pending.verifier.as_ref().map(|v| v.expose_secret()).unwrap_or_default();
        let mut body = Json::object([
            ("provider", Json::string(&pending.provider)),
            ("code", Json::string(&self.code)),
            ("codeVerifier", Json::string(verifier)),
            ("redirectURL", Json::string(&pending.redirect_url)),
        ]);
        if let Some(data) = self.create_data {
            body = body.with("createData", data?);
        }
        if let Some(mfa_id) = self.mfa_id {
            body = body.with("mfaId", Json::string(&mfa_id));
        }
        let mut call = self.call;
        call.params.push(("c", pending.collection));
        call.body = Body::Json(body);
        sign_in(self.client, call).await
    }
}

impl IntoFuture for FinishOAuth2 {
    type Output = Result<Session, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What came back belongs to no sign-in of this client.
pub(super) fn unknown_state() -> Error {
    Error::validation("the state is not one that this client began, or it was used before")
        .with_fix("Begin the sign-in again with the same client; it may be forged otherwise.")
}

/// The provider said no.
pub(super) fn refused(why: &str) -> Error {
    Error::validation(["the provider refused the sign-in: ", why].concat()).with_fix("Begin the sign-in again.")
}

/// The provider's page with our own state, challenge and scopes in place of the server's, and the redirect address.
fn authorize_url(
    server_url: &str,
    state: &str,
    challenge: Option<&str>,
    redirect: &str,
    scopes: &[String],
) -> Result<String, Error> {
    let lower = server_url.to_ascii_lowercase();
    if !lower.starts_with("https://") && !lower.starts_with("http://") {
        return Err(Error::configuration("the OAuth2 provider's address is not http(s)")
            .with_fix("Correct the provider's auth URL in the dashboard."));
    }
    let (address, query) = server_url.split_once('?').unwrap_or((server_url, ""));
    let mut out = [address, "?"].concat();
    let ours = ["state", "redirect_uri", "code_challenge", "code_challenge_method"];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        if !ours.contains(&name) && (scopes.is_empty() || name != "scope") {
            out.push_str(pair);
            out.push('&');
        }
    }
    out.push_str("state=");
    out.push_str(state);
    if let Some(challenge) = challenge {
        out.push_str("&code_challenge_method=S256&code_challenge=");
        out.push_str(challenge);
    }
    if !scopes.is_empty() {
        out.push_str("&scope=");
        push_encoded(&mut out, &scopes.join(" "));
    }
    out.push_str("&redirect_uri=");
    push_encoded(&mut out, redirect);
    Ok(out)
}

/// A parameter of a URL's query, decoded as forms are.
fn parameter(url: &str, name: &str) -> Option<String> {
    let query = url.split_once('?')?.1.split('#').next()?;
    let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    decode_percent(&value.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_gets_our_state_and_challenge() {
        let server = "https://id.example/auth?client_id=c&state=theirs&code_challenge=theirs&code_challenge_method=S256&redirect_uri=";
        let url = authorize_url(server, "ours", Some("ch"), "https://app/cb?x=1", &[]).unwrap();
        assert_eq!(
            url,
            "https://id.example/auth?client_id=c&state=ours&code_challenge_method=S256&code_challenge=ch&redirect_uri=https%3A%2F%2Fapp%2Fcb%3Fx%3D1"
        );
        assert!(authorize_url("javascript:alert(1)", "s", None, "r", &[]).is_err());
        assert_eq!(parameter("https://app/cb?code=a%20b+c&state=s#x", "code").as_deref(), Some("a b c"));
    }

    #[test]
    fn own_scopes_take_the_place_of_the_servers() {
        let server = "https://id.example/auth?scope=email&client_id=c&redirect_uri=";
        let url = |scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|scope| scope.to_string()).collect();
            authorize_url(server, "s", None, "r", &scopes).unwrap()
        };
        assert_eq!(url(&[]), "https://id.example/auth?scope=email&client_id=c&state=s&redirect_uri=r");
        let two = "https://id.example/auth?client_id=c&state=s&scope=openid%20a%2Fb&redirect_uri=r";
        assert_eq!(url(&["openid", "a/b"]), two);
    }
}
