//! Sign-up, sign-in, and the session.

use std::{
    future::{IntoFuture, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use futures_core::Stream;
use picobase::{
    Client, ErrorKind, Json,
    action::Action,
    auth::{Auth, AuthChange, AuthChanges, AuthListener, FinishOAuth2, Session},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};
use pyo3_async_runtimes::TaskLocals;
use tokio::sync::{Mutex, oneshot};

use crate::{
    beside::Beside,
    body,
    client::{Handle, Live, Native},
    error, exit,
    fork::Owned,
    hooks::unraisable,
    json,
    options::{Text, options, time},
    run::{Call, in_hook},
    store::{Answer, settle},
};

type Maybe<'a, 'py> = Option<&'a Bound<'py, PyAny>>;
type Given<'a, 'py> = &'a Bound<'py, PyDict>;

/// Sign-up, sign-in and the session, for one auth collection.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeAuth {
    handle: Handle,
    /// None for the client's `auth_collection`.
    collection: Option<String>,
}

impl NativeAuth {
    pub(crate) fn new(handle: Handle, collection: Option<String>) -> NativeAuth {
        NativeAuth { handle, collection }
    }

    /// The noun in this process, and what runs its calls.
    fn open(&self, py: Python<'_>) -> PyResult<(Arc<Live>, Auth)> {
        let live = self.handle.live(py)?;
        let auth = match &self.collection {
            Some(name) => live.client.collection(name).auth(),
            None => live.client.auth(),
        };
        Ok((live, auth))
    }

    /// A call that changes the session, or only wants it: no options.
    fn own<'py, F>(&self, py: Python<'py>, call: impl FnOnce(Auth) -> F) -> PyResult<Bound<'py, PyAny>>
    where
        F: Future<Output = Result<(), picobase::Error>> + Send + 'static,
    {
        let (live, auth) = self.open(py)?;
        live.nothing(py, Box::pin(call(auth)))
    }

    /// A call that answers nothing.
    fn done<'py>(
        &self,
        py: Python<'py>,
        given: Given<'_, 'py>,
        call: impl FnOnce(&Auth) -> Action<()>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        live.nothing(py, call(&auth).options(options(given)?).into_future())
    }
}

/// A session that Python has; without a record that of its token.
pub(crate) fn session(token: &str, record: Maybe<'_, '_>) -> PyResult<Session> {
    Ok(match record {
        Some(record) if !record.is_none() => Session::new(token.to_owned(), body::json(record)?),
        _ => Session::from_token(token),
    })
}

/// What `picobase.Session` is made of: token, record, and what the OAuth2 provider said.
pub(crate) fn parts(py: Python<'_>, session: &Session) -> PyResult<Py<PyAny>> {
    let known = |json: &Json| json.is_object().then(|| json::to_python(py, json)).transpose();
    let meta = session.meta().map(|meta| json::to_python(py, meta)).transpose()?;
    Ok((session.token(), known(session.record_json())?, meta).into_pyobject(py)?.into_any().unbind())
}

fn maybe_parts(py: Python<'_>, session: Option<&Session>) -> PyResult<Py<PyAny>> {
    session.map_or_else(|| Ok(py.None()), |session| parts(py, session))
}

/// Fields of a user's record that go with a sign-in: JSON only.
fn fields(given: Maybe<'_, '_>) -> PyResult<Option<Json>> {
    let Some(given) = given else { return Ok(None) };
    let body = body::body(Some(given), &mut Beside::default())?;
    if body.files.is_empty() {
        return Ok(Some(body.json));
    }
    let message = "files cannot go with a sign-in";
    Err(error::fail(given.py(), ErrorKind::Validation, message, "Update the user's record with them afterwards."))
}

#[pymethods]
impl NativeAuth {
    fn sign_in<'py>(
        &self,
        py: Python<'py>,
        identity: Text,
        password: Text,
        mfa_id: Option<Text>,
        identity_field: Option<Text>,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        let call = auth.sign_in(&identity, &password);
        let call = if let Some(name) = identity_field { call.identity_field(&name) } else { call };
        begin(&live, py, call, mfa_id.as_deref(), given)
    }

    fn sign_in_with_otp<'py>(
        &self,
        py: Python<'py>,
        otp_id: Text,
        password: Text,
        mfa_id: Option<Text>,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        begin(&live, py, auth.sign_in_with_otp(&otp_id, &password), mfa_id.as_deref(), given)
    }

    fn request_otp<'py>(&self, py: Python<'py>, email: Text, given: Given<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        let call = auth.request_otp(&email).options(options(given)?).into_future();
        live.run(py, call, |py, otp| Ok(otp.otp_id.into_pyobject(py)?.into_any().unbind()))
    }

    fn sign_up<'py>(
        &self,
        py: Python<'py>,
        email: Text,
        password: Text,
        data: Maybe<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        let call = auth.sign_up(&email, &password);
        let call = if let Some(data) = fields(data)? { call.data(&data) } else { call };
        live.run(py, call.into_future(), |py, session| maybe_parts(py, session.as_ref()))
    }

    fn methods<'py>(&self, py: Python<'py>, given: Given<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        let call = auth.methods::<Json>().options(options(given)?).into_future();
        live.run(py, call, |py, methods| Ok(json::to_python(py, &methods)?.unbind()))
    }

    fn request_verification<'py>(
        &self,
        py: Python<'py>,
        email: Text,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.done(py, given, |auth| auth.request_verification(&email))
    }

    fn confirm_verification<'py>(
        &self,
        py: Python<'py>,
        token: Text,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.done(py, given, |auth| auth.confirm_verification(&token))
    }

    fn request_password_reset<'py>(
        &self,
        py: Python<'py>,
        email: Text,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.done(py, given, |auth| auth.request_password_reset(&email))
    }

    fn confirm_password_reset<'py>(
        &self,
        py: Python<'py>,
        token: Text,
        password: Text,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.done(py, given, |auth| auth.confirm_password_reset(&token, &password))
    }

    fn request_email_change<'py>(
        &self,
        py: Python<'py>,
        new_email: Text,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.done(py, given, |auth| auth.request_email_change(&new_email))
    }

    fn confirm_email_change<'py>(
        &self,
        py: Python<'py>,
        token: Text,
        password: Text,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.done(py, given, |auth| auth.confirm_email_change(&token, &password))
    }

    /// A client that is signed in as another user.
    fn impersonate<'py>(
        &self,
        py: Python<'py>,
        id: Text,
        duration: Maybe<'_, 'py>,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        let call = auth.impersonate(&id).options(options(given)?);
        let call = match duration.map(|given| time(given, "duration")).transpose()?.flatten() {
            Some(duration) => call.duration(duration),
            None => call,
        };
        let handle = self.handle.clone();
        live.run(py, call.into_future(), move |py, other: Client| {
            let native = Native::of(handle.with_session(py, other.auth().session().as_ref())?);
            Ok(Bound::new(py, native)?.into_any().unbind())
        })
    }

    fn external_auths<'py>(&self, py: Python<'py>, id: Text, given: Given<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        let list = auth.external_auths(&id).map_err(|e| error::raise(py, &e))?.typed::<Json>().options(options(given)?);
        live.run(py, list.into_future(), |py, accounts| Ok(json::to_python(py, &Json::array(accounts))?.unbind()))
    }

    fn unlink_external_auth<'py>(&self, py: Python<'py>, id: Text, provider: Text) -> PyResult<Bound<'py, PyAny>> {
        self.own(py, |auth| async move { auth.unlink_external_auth(&id, &provider).await })
    }

    // OAuth2.

    /// Name, what to write on the button, and logo of each provider.
    fn oauth2_providers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        live.run(py, Box::pin(async move { auth.oauth2_providers().await }), |py, providers| {
            let providers = providers.into_iter().map(|p| (p.name, p.display_name, p.logo));
            Ok(PyList::new(py, providers.collect::<Vec<_>>())?.into_any().unbind())
        })
    }

    fn begin_oauth2<'py>(&self, py: Python<'py>, provider: Text, redirect_url: Text) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        live.run(py, Box::pin(async move { auth.begin_oauth2(&provider, &redirect_url).await }), |py, start| {
            Ok((start.url, start.state, start.saved).into_pyobject(py)?.into_any().unbind())
        })
    }

    fn resume_oauth2(&self, py: Python<'_>, saved: Text) -> PyResult<()> {
        let (_, auth) = self.open(py)?;
        auth.resume_oauth2(&saved).map_err(|e| error::raise(py, &e))
    }

    /// With code and state; or with the whole address, and no state.
    fn finish_oauth2<'py>(
        &self,
        py: Python<'py>,
        back: Text,
        state: Option<Text>,
        create_data: Maybe<'_, 'py>,
        mfa_id: Option<Text>,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        let (data, options) = (fields(create_data)?, options(given)?);
        let finish: FinishOAuth2 = match state {
            Some(state) => auth.finish_oauth2(&back, &state),
            None => auth.finish_oauth2_url(&back),
        };
        let finish = if let Some(data) = data { finish.create_data(&data) } else { finish };
        let finish = if let Some(mfa) = mfa_id { finish.mfa_id(&mfa) } else { finish };
        live.run(py, finish.options(options).into_future(), |py, session| parts(py, &session))
    }

    /// All in one. `open` is called with the address; it is a coroutine function for asyncio.
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the call")]
    fn sign_in_with_oauth2<'py>(
        &self,
        py: Python<'py>,
        provider: Text,
        open: Py<PyAny>,
        scopes: Option<Vec<String>>,
        create_data: Maybe<'_, 'py>,
        mfa_id: Option<Text>,
        limit: Maybe<'_, 'py>,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        let home =
            if self.handle.is_blocking() { None } else { Some(TaskLocals::with_running_loop(py)?.copy_context(py)?) };
        let (sender, opening) = oneshot::channel();
        let show = move |url: &str| {
            let opened = exit::attach(|py| settle(in_hook(|| open.bind(py).call1((url,))), home.as_ref()));
            // Nobody waits for it any more where the call was cancelled.
            drop(opened.map(|opened| sender.send(opened)));
        };
        let call =
            auth.sign_in_with_oauth2(&provider, show).scopes(scopes.unwrap_or_default()).options(options(given)?);
        let call = if let Some(data) = fields(create_data)? { call.create_data(&data) } else { call };
        let call = if let Some(mfa) = mfa_id { call.mfa_id(&mfa) } else { call };
        let call = match limit.map(|given| time(given, "timeout")).transpose()?.flatten() {
            Some(limit) => call.timeout(limit),
            None => call,
        };
        live.run(py, unless_it_fails(call.into_future(), opening), |py, session| parts(py, &session?))
    }

    // The session.

    /// The session as it is now, or none.
    fn session(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        maybe_parts(py, self.open(py)?.1.session().as_ref())
    }

    fn refresh<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (live, auth) = self.open(py)?;
        live.run(py, Box::pin(async move { auth.refresh().await }), |py, session| parts(py, &session))
    }

    fn ready<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.own(py, |auth| async move { auth.ready().await })
    }

    fn sign_out<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.own(py, |auth| async move { auth.sign_out().await })
    }

    fn sync_from_store<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.own(py, |auth| async move { auth.sync_from_store().await })
    }

    fn set_session<'py>(&self, py: Python<'py>, token: Text, record: Maybe<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let adopted = session(&token, record)?;
        self.own(py, |auth| async move { auth.set_session(adopted).await })
    }

    /// Calls `listener` with the name of what happened and the session after it, on the thread where it happens.
    fn on_change(&self, py: Python<'_>, listener: Py<PyAny>) -> PyResult<NativeListener> {
        let (live, auth) = self.open(py)?;
        let heard = live.enter(|| auth.on_change(move |change| tell(&listener, change)));
        Ok(NativeListener(Owned::new(heard)))
    }

    fn changes(&self, py: Python<'_>) -> PyResult<NativeChanges> {
        let (live, auth) = self.open(py)?;
        let changes = live.enter(|| auth.changes());
        Ok(NativeChanges(Owned::new((live, Arc::new(Mutex::new(changes))))))
    }
}

/// A call that signs in.
fn begin<'py>(
    live: &Live,
    py: Python<'py>,
    call: Action<Session>,
    mfa_id: Option<&str>,
    given: Given<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let call = if let Some(mfa) = mfa_id { call.mfa_id(mfa) } else { call };
    live.run(py, call.options(options(given)?).into_future(), |py, session| parts(py, &session))
}

/// The sign-in, which ends with the exception if the user's function that shows the address raises one.
fn unless_it_fails(mut call: Call<Session>, opening: oneshot::Receiver<Answer>) -> Call<PyResult<Session>> {
    Box::pin(async move {
        let mut failed = pin!(async {
            match opening.await {
                Ok(opened) => opened.await.err(),
                Err(_) => None,
            }
        });
        let mut is_opening = true;
        poll_fn(|cx| {
            if let Poll::Ready(done) = call.as_mut().poll(cx) {
                return Poll::Ready(done.map(Ok));
            }
            if is_opening && let Poll::Ready(raised) = failed.as_mut().poll(cx) {
                is_opening = false;
                if let Some(raised) = raised {
                    return Poll::Ready(Ok(Err(raised)));
                }
            }
            Poll::Pending
        })
        .await
    })
}

fn tell(listener: &Py<PyAny>, change: &AuthChange) {
    let _ = exit::attach(|py| {
        let told = in_hook(|| listener.call1(py, named(py, change)?));
        if let Err(raised) = told {
            unraisable(py, raised, listener.bind(py));
        }
    });
}

/// The event's name, and what the session after it is made of.
fn named(py: Python<'_>, change: &AuthChange) -> PyResult<(&'static str, Py<PyAny>)> {
    Ok((change.event.as_str(), maybe_parts(py, change.session.as_ref())?))
}

/// Keeps a listener in its place.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeListener(#[expect(dead_code, reason = "dropping it removes the listener")] Owned<AuthListener>);

/// What happens to a session, one after the other.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeChanges(Owned<(Arc<Live>, Arc<Mutex<AuthChanges>>)>);

#[pymethods]
impl NativeChanges {
    /// The next one; none when the client was closed.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some((live, changes)) = self.0.get() else {
            let message = "what happens to a session is told in the process that asked";
            return Err(error::fail(py, ErrorKind::Configuration, message, "Call `changes` in the child process."));
        };
        let changes = changes.clone();
        let next = async move {
            let mut changes = changes.lock().await;
            Ok(poll_fn(|cx| Pin::new(&mut *changes).poll_next(cx)).await)
        };
        live.run_next(py, Box::pin(next), |py, change| match change {
            Some(change) => Ok(named(py, &change)?.into_pyobject(py)?.into_any().unbind()),
            None => Ok(py.None()),
        })
    }
}
