//! The state of a session: loaded once, refreshed in time, ended once, told to listeners in order.

use alloc::{
    boxed::Box,
    collections::VecDeque,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tracing::{debug, warn};

use super::{
    AuthChange, AuthEvent, Credentials, Session,
    store::Store,
    token::{RefreshAction, refresh_action},
};
use crate::{
    call::{Call, Identity, execute},
    client::Client,
    endpoints::{self, Caller},
    error::{Error, ErrorKind},
    files::FileToken,
    json::Json,
    realtime::Viewer,
    runtime::{BoxFuture, Listener, Lock, MaybeSend, SharedRuntime, THREADS, compact},
    sync::{Joined, SingleFlight, boxed},
};

/// How long what writes a session down waits for a refresh that began beside a call.
const SETTLED_WAIT: Duration = Duration::from_secs(1);

/// What a refresh came to: the session lives on, or it has ended. An error says that the server could not be asked.
pub(crate) type RefreshRun = Result<bool, Error>;

/// Leave to make a call.
pub(crate) struct Authorized {
    /// Whose token the call carries; none for a guest.
    pub(crate) session: Option<Session>,
    /// A refresh that is under way and should be polled along.
    pub(crate) refresh: Option<Joined<RefreshRun>>,
}

impl Authorized {
    fn guest() -> Authorized {
        Authorized { session: None, refresh: None }
    }
}

/// One session, its store and its listeners.
pub(crate) struct SessionState {
    store: Arc<dyn Store>,
    credentials: Option<Credentials>,
    state: Lock<State>,
    loading: SingleFlight<Result<(), Error>>,
    refreshing: SingleFlight<RefreshRun>,
    signing_in: SingleFlight<Result<(), Error>>,
    saving: SingleFlight<(u64, Result<(), Error>)>,
    pub(crate) file_token: FileToken,
    pub(crate) oauth2: Lock<Vec<super::oauth2::Pending>>,
    /// Who wants to know what of the store no call can tell, beside the listeners of the family.
    pub(crate) on_storage_error: Lock<Vec<Listener<Error>>>,
}

#[derive(Default)]
struct State {
    loaded: bool,
    live: Option<Live>,
    /// The session ended without a sign-out: calls fail until sign-in or sign-out.
    ended: bool,
    /// Counts sessions: an answer that belongs to an earlier one is dropped.
    generation: u64,
    /// Counts changes, for the store.
    version: u64,
    saved: u64,
    /// Unix milliseconds of the last refresh.
    last_refresh: Option<u64>,
    listeners: Vec<(u64, bool, Listener<AuthChange>)>,
    next_listener: u64,
    news: VecDeque<AuthChange>,
    telling: bool,
}

#[derive(Clone)]
struct Live {
    session: Session,
    /// Unix milliseconds at which the token was received or loaded.
    received: u64,
    /// It came from the store and not from the server.
    loaded: bool,
}

/// How the state was changed, and what follows from it.
#[derive(Clone, Copy)]
enum Change {
    None,
    /// Nothing: the new session's token cannot be read.
    Unreadable,
    /// Another session, or none; the caller waits until it is stored.
    Session,
    /// As `Session`, but no caller waits: failures go to the log and to `on_storage_error`.
    Quiet,
    /// The same session's record or token; no caller waits.
    Record,
    /// What is known of it, which is not stored.
    Told,
    /// What is told later.
    Stored,
}

/// Why a session is refreshed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Somebody asked for it.
    Asked,
    /// The token is old.
    Due,
}

/// What stands between a call and the server.
enum Need {
    Nothing(Authorized),
    Work,
    Refusal(Error),
}

impl SessionState {
    pub(crate) fn new(store: Arc<dyn Store>, credentials: Option<Credentials>) -> SessionState {
        SessionState {
            store,
            credentials,
            state: Lock::new(State::default()),
            loading: SingleFlight::new(),
            refreshing: SingleFlight::new(),
            signing_in: SingleFlight::new(),
            saving: SingleFlight::new(),
            file_token: FileToken::new(),
            oauth2: Lock::new(Vec::new()),
            on_storage_error: Lock::new(Vec::new()),
        }
    }

    /// Takes on what the store is known to hold, at once: there is nothing to load. A session that has expired by the
    /// local clock is loaded as any other, for the server must be asked first.
    pub(crate) fn adopt(&self, held: Option<&Session>, now: u64) {
        let live = held.and_then(|session| Live::new(session, now)).filter(|live| !live.expired(now));
        if live.is_some() || held.is_none() {
            self.state.with(|s| (s.live, s.loaded) = (live, true));
        }
    }

    /// The session, if one is live; local, without asking anyone.
    pub(crate) fn current(&self) -> Option<Session> {
        self.state.with(|s| s.session())
    }

    /// Counts sessions; it changes with every sign-in, sign-out and end.
    pub(crate) fn generation(&self) -> u64 {
        self.state.with(|s| s.generation)
    }

    /// Who is signed in, for realtime.
    pub(crate) fn viewer(&self) -> Viewer {
        self.state.with(|s| Viewer {
            user: s.live.as_ref().and_then(|live| live.session.record_json().get_str("id")),
            generation: s.generation,
            ended: s.ended && self.credentials.is_none(),
        })
    }

    /// Asks the server whether the session still lives, and ends it where it does not; answers its generation then. The
    /// new token is only kept where a refresh was due.
    ///
    /// # Errors
    /// Where the server could not be asked.
    pub(crate) fn check<'a>(&'a self, client: &'a Client) -> impl Future<Output = Result<u64, Error>> + use<'a> {
        compact(async move {
            let now = client.shared.runtime.now();
            let live = self.state.with(|s| {
                let live = s.live.as_ref()?;
                Some((live.session.clone(), live.action(now, s.last_refresh), s.generation))
            });
            if let Some((session, action, generation)) = live {
                let has_ended = match action {
                    RefreshAction::Refresh | RefreshAction::AskFirst => !self.refresh_if_due(client).await?,
                    RefreshAction::Ended => true,
                    RefreshAction::None if !is_refreshable(&session) => false,
                    RefreshAction::None => match ask(client, session).await {
                        Err(error) if !ends_session(&error) => return Err(error),
                        answer => answer.is_err(),
                    },
                };
                if has_ended {
                    self.end(client, generation).await?;
                }
            }
            Ok(self.generation())
        })
    }

    /// May a call go, and with which token? None where [`prepare`](Self::prepare) must come first.
    pub(crate) fn authorize(&self, client: &Client, caller: Caller) -> Result<Option<Authorized>, Error> {
        match self.need(client, caller) {
            Need::Nothing(authorized) => Ok(Some(authorized)),
            Need::Work => Ok(None),
            Need::Refusal(error) => Err(error),
        }
    }

    fn need(&self, client: &Client, caller: Caller) -> Need {
        let anyone = caller == Caller::Anyone;
        let now = client.shared.runtime.now();
        let action = self.state.with(|s| {
            if !s.loaded {
                return Err(Need::Work);
            }
            match &s.live {
                Some(live) => Ok((live.action(now, s.last_refresh), live.session.clone())),
                None if anyone => Err(Need::Nothing(Authorized::guest())),
                None if self.credentials.is_some() => Err(Need::Work),
                None if s.ended => Err(Need::Refusal(session_expired())),
                None => Err(Need::Nothing(Authorized::guest())),
            }
        });
        let (action, session) = match action {
            Ok(live) => live,
            Err(need) => return need,
        };
        match action {
            RefreshAction::None => {
                let refresh = self.refreshing.current();
                Need::Nothing(Authorized { session: Some(session), refresh })
            }
            RefreshAction::Refresh => {
                Need::Nothing(Authorized { session: Some(session), refresh: Some(self.refresh_beside(client)) })
            }
            RefreshAction::AskFirst | RefreshAction::Ended if anyone => Need::Nothing(Authorized::guest()),
            RefreshAction::AskFirst | RefreshAction::Ended => Need::Work,
        }
    }

    /// The token if there is one that may be sent right now; asks and starts nothing.
    pub(crate) fn token_at_hand(&self, client: &Client) -> Authorized {
        let now = client.shared.runtime.now();
        let session = self.state.with(|s| {
            let live = s.live.as_ref()?;
            let usable = matches!(live.action(now, s.last_refresh), RefreshAction::None | RefreshAction::Refresh);
            usable.then(|| live.session.clone())
        });
        Authorized { session, refresh: None }
    }

    /// Loads the session, asks whether an expired one still lives, or signs in with the credentials: whatever stands
    /// between a call and the server. Boxed, for that may be a call.
    pub(crate) fn prepare<'a>(&'a self, client: &'a Client) -> BoxFuture<'a, Result<(), Error>> {
        boxed(self.make_ready(client))
    }

    async fn make_ready(&self, client: &Client) -> Result<(), Error> {
        self.ready(client).await?;
        let now = client.shared.runtime.now();
        let action = self.state.with(|s| s.live.as_ref().map(|live| live.action(now, s.last_refresh)));
        match action {
            Some(RefreshAction::AskFirst) => self.refresh_if_due(client).await.map(|_| ()),
            Some(RefreshAction::Ended) => self.end(client, self.generation()).await,
            Some(_) => Ok(()),
            None => self.sign_in_again(client).await,
        }
    }

    /// Waits until the session has been loaded.
    pub(crate) async fn ready(&self, client: &Client) -> Result<(), Error> {
        if self.state.with(|s| s.loaded) {
            return Ok(());
        }
        self.loading.join_or_start(|| load(client.clone())).await
    }

    async fn load(&self, client: &Client) -> Result<(), Error> {
        if THREADS && self.state.with(|s| s.loaded) {
            return Ok(());
        }
        let session = self.stored(client).await?;
        let live = session.as_ref().and_then(|session| Live::loaded(session, client.shared.runtime.now()));
        let lost = session.is_some() && live.is_none();
        let ask = live.as_ref().is_some_and(|live| live.expired(client.shared.runtime.now()));
        // A sign-in may have come first: then what was stored is of yesterday.
        let fresh = self.state.with(|s| {
            if s.loaded || s.generation > 0 {
                s.loaded = true;
                return false;
            }
            s.live = live;
            true
        });
        if !fresh {
            return Ok(());
        }
        let expired = lost || (ask && self.ask_at_load(client).await);
        self.state.with(|s| {
            if !s.loaded {
                s.loaded = true;
                if expired {
                    s.live = None;
                    s.version += 1;
                }
                s.note(AuthEvent::InitialSession);
                if expired {
                    s.note(AuthEvent::SessionExpired);
                }
            }
        });
        self.follow(client, if expired { Change::Record } else { Change::Told }).await
    }

    /// What the store holds.
    async fn stored(&self, client: &Client) -> Result<Option<Session>, Error> {
        let Some(text) = self.store.load().await? else { return Ok(None) };
        let session = Session::from_stored(&text);
        if session.is_none() {
            self.report_corrupt(client).await;
        }
        Ok(session)
    }

    /// Somebody else has changed the store: takes over what stands there now, and does not write it again.
    ///
    /// Whatever is done last wins, here and there: a change of our own is written before the store is read, and one
    /// that comes meanwhile has it read again.
    pub(crate) async fn sync(&self, client: &Client) -> Result<(), Error> {
        self.ready(client).await?;
        loop {
            self.persist(client).await?;
            let version = self.state.with(|s| s.version);
            let stored = self.stored(client).await?;
            let live = stored.and_then(|session| Live::loaded(&session, client.shared.runtime.now()));
            let renewed = self.state.with(|s| (s.version == version).then(|| s.take_over(live)));
            let Some(renewed) = renewed else { continue };
            if renewed {
                self.changed();
            } else {
                self.tell();
            }
            return Ok(());
        }
    }

    /// A loaded session has expired by the local clock. Says whether the server agrees; where it cannot be asked, the
    /// session stays and every call asks again.
    async fn ask_at_load(&self, client: &Client) -> bool {
        let Some(session) = self.current() else { return false };
        if !is_refreshable(&session) {
            return true;
        }
        match ask(client, session).await {
            Ok(answer) => {
                let now = client.shared.runtime.now();
                if let Some(live) = Live::new(&answer, now) {
                    self.state.with(|s| {
                        if !s.loaded {
                            s.live = Some(live);
                            s.last_refresh = Some(now);
                            s.version += 1;
                        }
                    });
                    // Failures are reported.
                    drop(self.follow(client, Change::Stored).await);
                }
                false
            }
            Err(error) => ends_session(&error),
        }
    }

    async fn report_corrupt(&self, client: &Client) {
        let place = self.store.set_aside().await;
        let message = match &place {
            Ok(Some(place)) => ["the stored session could not be read and was moved to ", place].concat(),
            _ => "the stored session could not be read and is ignored".to_string(),
        };
        let error = Error::new(ErrorKind::Storage, message).with_fix("Sign in again.");
        self.report(client, &error);
    }

    fn report(&self, client: &Client, error: &Error) {
        warn!(kind = error.kind().as_str(), "{}", error.message());
        let own = self.on_storage_error.with(|all| all.clone());
        for listener in client.shared.options.on_storage_error.iter().chain(&own) {
            listener(error);
        }
    }

    /// Starts a refresh, or joins the one that runs.
    pub(crate) fn refresh(&self, client: &Client) -> Joined<RefreshRun> {
        self.refresh_for(client, Reason::Asked)
    }

    /// [`refresh`](Self::refresh), where the token's age is the reason.
    fn refresh_if_due(&self, client: &Client) -> Joined<RefreshRun> {
        self.refresh_for(client, Reason::Due)
    }

    fn refresh_for(&self, client: &Client, reason: Reason) -> Joined<RefreshRun> {
        self.refreshing.join_or_start(|| refresh(client.clone(), reason))
    }

    /// [`refresh_if_due`](Self::refresh_if_due), beside the calls: it goes on when the call that began it is done.
    fn refresh_beside(&self, client: &Client) -> Joined<RefreshRun> {
        let running = self.refreshing.current();
        let joined = self.refresh_if_due(client);
        joined.keep();
        if running.is_none() {
            let beside = self.refresh_if_due(client);
            client.shared.runtime.spawn(boxed(async move { drop(beside.await) }));
        }
        joined
    }

    /// Waits for the refresh that is under way, if one is, but not for long.
    pub(crate) fn settled(&self, runtime: &SharedRuntime) -> impl Future<Output = ()> + MaybeSend + use<> {
        // By hand and not with `within`, which is a kind of its own for each future: on the web it weighs 230 bytes more.
        let (mut refresh, runtime, mut timer) = (self.refreshing.current(), runtime.clone(), None);
        poll_fn(move |cx| {
            if refresh.as_mut().is_none_or(|refresh| Pin::new(refresh).poll(cx).is_ready()) {
                return Poll::Ready(());
            }
            timer.get_or_insert_with(|| runtime.sleep(SETTLED_WAIT)).as_mut().poll(cx)
        })
    }

    /// Loads the session beside the calls, for listeners that wait for INITIAL_SESSION.
    pub(crate) fn load_soon(&self, client: &Client) {
        if self.state.with(|s| !s.loaded) {
            let client = client.clone();
            let spawner = client.shared.runtime.clone();
            // A store that cannot be read is told to the calls.
            spawner.spawn(boxed(async move { drop(client.session.ready(&client).await) }));
        }
    }

    async fn run_refresh(&self, client: &Client, reason: Reason) -> RefreshRun {
        let now = client.shared.runtime.now();
        let start = self.state.with(|s| {
            let Some(live) = s.live.as_ref() else { return Err(false) };
            if THREADS && reason == Reason::Due && live.action(now, s.last_refresh) == RefreshAction::None {
                return Err(true);
            }
            s.last_refresh = Some(now);
            Ok((live.session.clone(), s.generation))
        });
        let (session, generation) = match start {
            Ok(start) => start,
            Err(alive) => return Ok(alive),
        };
        match ask(client, session).await {
            Ok(session) => {
                self.replace(client, generation, &session).await?;
                Ok(true)
            }
            Err(error) if ends_session(&error) => {
                self.end(client, generation).await?;
                Ok(false)
            }
            Err(error) => {
                debug!(kind = error.kind().as_str(), "the session could not be refreshed and is kept");
                Err(error)
            }
        }
    }

    /// Signs in with the credentials, if there are any and nobody is signed in.
    async fn sign_in_again(&self, client: &Client) -> Result<(), Error> {
        let Some(credentials) = self.credentials.clone() else { return Ok(()) };
        self.signing_in.join_or_start(|| sign_in(client.clone(), credentials)).await
    }

    /// A new session begins.
    ///
    /// # Errors
    /// Kind `Storage` where it could not be kept; it is live all the same.
    pub(crate) fn begin<'a>(
        &'a self,
        client: &'a Client,
        session: &Session,
    ) -> impl Future<Output = Result<(), Error>> + use<'a> {
        let live = Live::new(session, client.shared.runtime.now());
        let change = self.state.with(|s| {
            let Some(live) = live else { return Change::Unreadable };
            s.initial_first();
            s.renew();
            s.live = Some(live);
            s.note(AuthEvent::SignedIn);
            Change::Session
        });
        self.follow(client, change)
    }

    /// The user signs out.
    ///
    /// # Errors
    /// Kind `Storage` where the stored session could not be removed; the client is signed out all the same.
    pub(crate) fn sign_out<'a>(&'a self, client: &'a Client) -> impl Future<Output = Result<(), Error>> + use<'a> {
        self.state.with(|s| {
            s.initial_first();
            // A session that ended leaves a state that the sign-out ends as well.
            let had_one = s.live.take().is_some() || s.ended;
            s.renew();
            if had_one {
                s.note(AuthEvent::SignedOut);
            }
        });
        self.follow(client, Change::Session)
    }

    /// The session of that generation has ended without a sign-out.
    pub(crate) fn end<'a>(
        &'a self,
        client: &'a Client,
        generation: u64,
    ) -> impl Future<Output = Result<(), Error>> + use<'a> {
        let change = self.state.with(|s| {
            if s.generation != generation || s.live.is_none() {
                return Change::None;
            }
            s.live = None;
            s.renew();
            s.ended = true;
            s.note(AuthEvent::SessionExpired);
            Change::Quiet
        });
        self.follow(client, change)
    }

    /// The session goes on with another token.
    fn replace<'a>(
        &'a self,
        client: &'a Client,
        generation: u64,
        session: &Session,
    ) -> impl Future<Output = Result<(), Error>> + use<'a> {
        let live = Live::new(session, client.shared.runtime.now());
        self.state.with(|s| {
            if live.is_some() && s.generation == generation && s.live.is_some() {
                s.live = live;
                s.version += 1;
                s.note(AuthEvent::TokenRefreshed);
            }
        });
        self.follow(client, Change::Record)
    }

    /// The same user goes on with another token, because all earlier ones are dead.
    ///
    /// # Errors
    /// Kind `Storage` where it could not be kept; it is live all the same.
    pub(crate) fn continue_as<'a>(
        &'a self,
        client: &'a Client,
        generation: u64,
        session: &Session,
    ) -> impl Future<Output = Result<(), Error>> + use<'a> {
        let live = Live::new(session, client.shared.runtime.now());
        let change = self.state.with(|s| {
            if live.is_none() || s.generation != generation {
                return Change::None;
            }
            s.renew();
            s.live = live;
            s.note(AuthEvent::UserUpdated);
            Change::Session
        });
        self.follow(client, change)
    }

    /// The signed-in user's own record was written. Keeps the session's record true.
    pub(crate) fn record_changed<'a>(
        &'a self,
        client: &'a Client,
        record: &Json,
    ) -> impl Future<Output = Result<(), Error>> + use<'a> {
        let change = self.state.with(|s| {
            let Some(live) = &mut s.live else { return Change::None };
            let merged = merge(live.session.record_json(), record);
            if merged == *live.session.record_json() {
                return Change::None;
            }
            live.session = live.session.with_record(merged);
            s.version += 1;
            s.note(AuthEvent::UserUpdated);
            Change::Record
        });
        self.follow(client, change)
    }

    /// Tells what has changed, at once, and answers when it is stored. An error is the caller's, or is reported.
    fn follow<'a>(&'a self, client: &'a Client, change: Change) -> impl Future<Output = Result<(), Error>> + use<'a> {
        match change {
            Change::Session | Change::Quiet => self.changed(),
            Change::Record | Change::Told => self.tell(),
            Change::None | Change::Unreadable | Change::Stored => {}
        }
        compact(self.stored_after(client, change))
    }

    async fn stored_after(&self, client: &Client, change: Change) -> Result<(), Error> {
        match change {
            Change::None | Change::Told => Ok(()),
            Change::Unreadable => Err(Error::decode("the token cannot be read", "")),
            Change::Session => self.persist(client).await,
            Change::Quiet | Change::Record | Change::Stored => {
                if let Err(error) = self.persist(client).await {
                    self.report(client, &error);
                }
                Ok(())
            }
        }
    }

    fn changed(&self) {
        self.refreshing.forget();
        self.file_token.forget();
        self.tell();
    }

    pub(crate) fn forget_file_token(&self) {
        self.file_token.forget();
    }

    /// Writes the latest state to the store. Writes follow each other; one covers all changes before it.
    async fn persist(&self, client: &Client) -> Result<(), Error> {
        let wanted = self.state.with(|s| s.version);
        loop {
            if self.state.with(|s| s.saved >= wanted) {
                return Ok(());
            }
            let work = || -> BoxFuture<'static, (u64, Result<(), Error>)> {
                let client = client.clone();
                Box::pin(async move { client.session.write_store().await })
            };
            let (version, result) = self.saving.join_or_start(work).await;
            if version >= wanted {
                return result;
            }
        }
    }

    async fn write_store(&self) -> (u64, Result<(), Error>) {
        let (version, saved, session) = self.state.with(|s| (s.version, s.saved, s.session()));
        if THREADS && saved >= version {
            return (version, Ok(()));
        }
        let result = match session {
            Some(session) => self.store.save(session.to_stored()).await,
            None => self.store.clear().await,
        };
        if result.is_ok() {
            self.state.with(|s| s.saved = s.saved.max(version));
        }
        (version, result)
    }

    /// Adds a listener. Its first event is INITIAL_SESSION: at once if the session is loaded, else when it is.
    pub(crate) fn add_listener(&self, listener: Listener<AuthChange>) -> u64 {
        let (id, first) = self.state.with(|s| {
            s.next_listener += 1;
            let id = s.next_listener;
            let told = s.loaded;
            s.listeners.push((id, told, listener.clone()));
            (id, told.then(|| AuthChange { event: AuthEvent::InitialSession, session: s.session() }))
        });
        if let Some(first) = first {
            listener(&first);
        }
        id
    }

    pub(crate) fn remove_listener(&self, id: u64) {
        self.state.with(|s| s.listeners.retain(|(other, ..)| *other != id));
    }

    /// Hands the news to the listeners, in order, one teller at a time, outside the lock.
    fn tell(&self) {
        if self.state.with(|s| core::mem::replace(&mut s.telling, true)) {
            return;
        }
        while let Some((change, listeners)) = self.next_news() {
            for listener in listeners {
                listener(&change);
            }
        }
    }

    fn next_news(&self) -> Option<(AuthChange, Vec<Listener<AuthChange>>)> {
        self.state.with(|s| {
            let Some(change) = s.news.pop_front() else {
                s.telling = false;
                return None;
            };
            let initial = change.event == AuthEvent::InitialSession;
            let mut listeners = Vec::new();
            for (_, told, listener) in &mut s.listeners {
                if *told != initial {
                    *told = true;
                    listeners.push(listener.clone());
                }
            }
            Some((change, listeners))
        })
    }
}

impl State {
    /// A sign-in or sign-out before the first load: listeners still hear INITIAL_SESSION first.
    fn initial_first(&mut self) {
        if !self.loaded {
            self.loaded = true;
            self.note(AuthEvent::InitialSession);
        }
    }

    fn session(&self) -> Option<Session> {
        self.live.as_ref().map(|live| live.session.clone())
    }

    /// News for the listeners, of the session as it is now.
    fn note(&mut self, event: AuthEvent) {
        let session = self.session();
        self.news.push_back(AuthChange { event, session });
    }

    /// Goes on with what the store holds. Says whether it is another session: what was asked for the old one means
    /// nothing then.
    fn take_over(&mut self, live: Option<Live>) -> bool {
        let (event, renewed) = match (&self.live, &live) {
            (None, None) => return false,
            (Some(_), None) => (AuthEvent::SignedOut, true),
            (Some(old), Some(new)) if old.user() == new.user() => {
                let same_token = old.session.token() == new.session.token();
                match (same_token, old.session.record_json() == new.session.record_json()) {
                    (true, true) => return false,
                    (false, true) => (AuthEvent::TokenRefreshed, false),
                    // Both change where the password did, and then all earlier tokens are dead.
                    (_, false) => (AuthEvent::UserUpdated, !same_token),
                }
            }
            (_, Some(_)) => (AuthEvent::SignedIn, true),
        };
        if renewed {
            self.renew();
        } else {
            self.version += 1;
        }
        self.saved = self.version;
        self.live = live;
        self.note(event);
        renewed
    }

    fn renew(&mut self) {
        self.generation += 1;
        self.version += 1;
        self.ended = false;
        self.last_refresh = None;
    }
}

impl Live {
    /// None where the token cannot be read: it would be a guest's.
    fn new(session: &Session, now: u64) -> Option<Live> {
        session.claims()?;
        Some(Live { session: session.clone(), received: now, loaded: false })
    }

    fn loaded(session: &Session, now: u64) -> Option<Live> {
        Live::new(session, now).map(|live| Live { loaded: true, ..live })
    }

    fn expired(&self, now: u64) -> bool {
        self.session.claims().is_some_and(|claims| claims.expired(seconds(now)))
    }

    fn action(&self, now: u64, last_refresh: Option<u64>) -> RefreshAction {
        // There is no live session without claims.
        let Some(claims) = self.session.claims() else { return RefreshAction::None };
        refresh_action(claims, seconds(self.received), self.loaded, seconds(now), last_refresh.map(seconds))
    }

    /// Whose session it is: collection and id.
    fn user(&self) -> Option<(&Option<String>, &Option<String>)> {
        self.session.claims().map(|claims| (&claims.collection_id, &claims.id))
    }
}

// Work that calls share is boxed here and not where it is joined: a call may refresh the session, and a refresh is a
// call, so somewhere the type of the future must end.
//
// Each looks first whether it is still needed: between the look of a caller who found it so and its start, the run of
// another thread may have ended.

fn load(client: Client) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move { client.session.load(&client).await })
}

fn refresh(client: Client, reason: Reason) -> BoxFuture<'static, RefreshRun> {
    Box::pin(async move { client.session.run_refresh(&client, reason).await })
}

fn sign_in(client: Client, credentials: Credentials) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        if THREADS && client.session.current().is_some() {
            return Ok(());
        }
        credentials.sign_in(&client).await.map(|_| ())
    })
}

/// Asks the server for a new token.
fn ask(client: &Client, session: Session) -> impl Future<Output = Result<Session, Error>> {
    let named = session.claims().and_then(|claims| claims.collection_id.clone());
    let collection = named.or_else(|| session.record_json().get_str("collectionName")).unwrap_or_default();
    let mut call = Call::new(&endpoints::AUTH_REFRESH, &[("c", &collection)]);
    call.identity = Identity::Token(session);
    let asking = execute(client, call);
    compact(async move { asking.await?.session() })
}

fn is_refreshable(session: &Session) -> bool {
    session.claims().is_some_and(|claims| claims.refreshable)
}

/// Only these answers say that a session is over; anything else says that the server could not tell, or was not asked.
fn ends_session(error: &Error) -> bool {
    error.attempts() > 0 && matches!(error.status(), 401 | 403 | 404) && error.kind() != ErrorKind::InvalidApiKey
}

/// What calls and listeners are told when the session has ended without a sign-out.
pub(crate) fn session_expired() -> Error {
    Error::new(ErrorKind::SessionExpired, "the session has ended")
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}

/// The record with the members that an answer brought; an answer cut by `fields` takes nothing away.
fn merge(record: &Json, answer: &Json) -> Json {
    let mut merged = record.clone();
    for (name, value) in answer.members() {
        if name != "expand" && merged.get(&name).as_ref() != Some(&value) {
            merged = merged.with(&name, value);
        }
    }
    merged
}

#[cfg(test)]
mod tests;
