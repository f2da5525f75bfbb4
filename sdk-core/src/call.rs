//! One call from start to end: hooks, session, gate, attempts, retries, deadline.
//!
//! [`execute`] is the only place that sends anything. It takes a [`Call`] (a row of the endpoint table with its
//! arguments) and answers when there is a usable answer or a final error.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use secrecy::ExposeSecret;
use tracing::{Span, debug, debug_span, warn};

use crate::{
    auth::{
        Session,
        session::{Authorized, RefreshRun},
    },
    client::{CallReport, Client, Outgoing, moved},
    endpoints::{self, Caller, Endpoint},
    error::{Error, ErrorKind},
    gate::{Pass, Probe},
    json::{FromJson, Json},
    retry::{Outcome, Verdict, backoff, retry_after, verdict},
    runtime::{BoxFuture, Runtime, compact, random_fraction, within},
    sync::Joined,
    transport::{Body, Failure, Headers, Method, Reading, Request, Response, TransportError},
    url::{Query, digits, fill_path, has, quoted, redact, split_at_text},
};

/// How long the last answer of a sleeping instance may take at least; less where the whole wait is short.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How much of an error's body is read.
const ERROR_BODY_MAX: usize = 1024 * 1024;

/// How long is waited for an error's body.
const ERROR_BODY_TIME: Duration = Duration::from_secs(5);

/// How many characters of a redirect's target are shown.
const TARGET_MAX: usize = 500;

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The client's timeout, or the default: 30 s for calls, 30 s without progress for transfers.
    Default,
    /// As said for this call, retries and waits included.
    After(Duration),
    /// For ever.
    Never,
}

/// Whose call it is.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// The client's session.
    Session,
    /// The client's session where there is one, but nothing to wait for or to fail on (signing up).
    Whoever,
    /// A token of its own (the refresh of a session).
    Token(Session),
}

/// A row of the endpoint table with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) params: Vec<(&'static str, String)>,
    /// The path of a custom route; empty for rows of the table.
    pub(crate) custom_path: String,
    pub(crate) query: Query,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
    pub(crate) limit: Limit,
    pub(crate) safe: bool,
    pub(crate) identity: Identity,
    /// A mistake in an argument, told when the call is made.
    pub(crate) mistake: Option<Error>,
    /// The caller reads the body itself, as it comes.
    pub(crate) streamed: bool,
    /// The caller compares bodies byte by byte: no platform may decode them on the way.
    pub(crate) verbatim: bool,
}

impl Call {
    pub(crate) fn new(endpoint: &'static Endpoint, params: &[(&'static str, &str)]) -> Call {
        Call {
            endpoint,
            params: params.iter().map(|(name, value)| (*name, (*value).to_string())).collect(),
            custom_path: String::new(),
            query: Query::new(),
            headers: Headers::new(),
            body: Body::Empty,
            limit: Limit::Default,
            safe: endpoint.safe,
            identity: Identity::Session,
            mistake: None,
            streamed: false,
            verbatim: false,
        }
    }

    /// A path parameter.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The path with its parameters filled in.
    pub(crate) fn path(&self) -> Result<String, Error> {
        if !self.custom_path.is_empty() {
            return Ok(self.custom_path.clone());
        }
        let params: Vec<(&str, &str)> = self.params.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fill_path(self.endpoint.path, &params)
    }

    fn harmless(&self) -> bool {
        self.safe || self.endpoint.method.is_read()
    }

    /// Health asks whether the instance is awake, so it neither waits for the gate nor for the session.
    fn passes_gate(&self) -> bool {
        self.endpoint.number == endpoints::HEALTH.number
    }
}

/// What a call brought.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) payload: Payload,
    /// Where it came from and how many requests that took, for errors.
    url: String,
    attempts: u32,
}

pub(crate) enum Payload {
    Json(Json),
    /// The body is empty.
    Empty,
    Stream(Response),
}

impl Answer {
    fn new(status: u16, payload: Payload) -> Answer {
        Answer { status, payload, url: String::new(), attempts: 0 }
    }

    fn take(&mut self) -> Payload {
        core::mem::replace(&mut self.payload, Payload::Empty)
    }

    fn describe(&self, error: Error) -> Error {
        error.with_status(self.status).with_url(&self.url).with_attempts(self.attempts)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The JSON; an empty answer is an error.
    pub(crate) fn required(&self) -> Result<Json, Error> {
        match &self.payload {
            Payload::Json(json) => Ok(json.clone()),
            Payload::Empty | Payload::Stream(_) => {
                Err(self.describe(Error::decode("the body is empty where JSON was expected", "")))
            }
        }
    }

    /// The JSON as `read` understands it; where it does not, the error says which answer that was.
    pub(crate) fn read<T>(&self, read: impl FnOnce(Json) -> Result<T, Error>) -> Result<T, Error> {
        self.required().and_then(read).map_err(|error| self.describe(error))
    }

    /// The JSON, decoded; an empty answer is an error.
    pub(crate) fn decode<T: FromJson>(&self) -> Result<T, Error> {
        self.read(T::from_json)
    }

    /// The session in the answer to a sign-in or refresh. One whose token says nothing is none: it would be asked for
    /// again and again.
    pub(crate) fn session(&self) -> Result<Session, Error> {
        self.read(|json| Session::from_answer(&json))
    }

    /// Checks that the answer is empty or JSON: anything else came from somewhere else.
    pub(crate) fn nothing(mut self) -> Result<(), Error> {
        match self.take() {
            Payload::Json(json) => json.check().map_err(|error| self.describe(error)),
            Payload::Empty | Payload::Stream(_) => Ok(()),
        }
    }
}

/// Makes a call.
pub(crate) fn execute(client: &Client, call: Call) -> impl Future<Output = Result<Answer, Error>> {
    compact(run(client, call))
}

async fn run(client: &Client, mut call: Call) -> Result<Answer, Error> {
    if let Some(mistake) = call.mistake.take() {
        return Err(mistake);
    }
    if !client.shared.before.is_empty() {
        let mut outgoing = Outgoing::new(&call);
        for hook in &client.shared.before {
            hook(&mut outgoing);
        }
        outgoing.apply(&mut call)?;
    }
    call.query.check()?;
    check_headers(&call.headers)?;
    call.body.check()?;
    let moves = client.shared.moves();
    let url = client.shared.url(&call.path()?, &call.query)?;
    let template = if call.custom_path.is_empty() { call.endpoint.path } else { redact_path(&call.custom_path) };
    let span = debug_span!("picobase.call", method = call.endpoint.method.as_str(), template);
    let clock = Clock::new(client, &call);
    let report = Report::new(client, &call, template, &url, clock.started, span);
    let mut run = Run {
        client,
        clock,
        ticket: client.shared.gate.ticket(),
        call,
        url,
        moves,
        attempts: 0,
        throttled: 0,
        lost: 0,
        unsure: false,
    };
    // Pinned where they are made, futures are not copied into each other: a large one would be, at every level.
    let result = {
        let (mut finish, span) = (pin!(run.finish()), &report.span);
        poll_fn(|cx| {
            // Entering and leaving a span at every poll is only worth it where somebody listens.
            let _entered = (!span.is_disabled()).then(|| span.enter());
            finish.as_mut().poll(cx)
        })
        .await
    };
    let result = result.map_err(|error| if run.unsure { error.with_unsure() } else { error });
    report.finish(run.attempts, &result);
    result
}

/// Custom routes are shown without their query.
fn redact_path(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

/// The state of a call that is being made.
struct Run<'a> {
    client: &'a Client,
    call: Call,
    url: String,
    /// How often the client had moved when the URL was made.
    moves: u64,
    clock: Clock,
    ticket: u64,
    attempts: u32,
    throttled: u32,
    lost: u32,
    /// A request may have been processed although its answer did not come.
    unsure: bool,
}

/// One request of a call, and what it is for.
struct Turn {
    limit: Option<Duration>,
    /// A refresh that is under way and should be polled along.
    refresh: Option<Joined<RefreshRun>>,
    probe: Option<Probe>,
    epoch: u64,
    /// It asks health, in place of the call.
    by_health: bool,
}

/// What follows from how a request ended.
enum Next {
    Done(Answer),
    Again,
    After(Duration),
}

impl Run<'_> {
    async fn finish(&mut self) -> Result<Answer, Error> {
        let (client, runtime) = (self.client, &*self.client.shared.runtime);
        loop {
            // The session may have to be loaded, asked for or signed in first. Those are calls of their own that may
            // have to wait at the gate, so they are never made while this call holds the turn to probe.
            let ready = self.authorized()?;
            if ready.is_none() {
                let limit = self.clock.prepare_limit();
                self.clock.hold();
                let prepared = within(runtime, limit, client.session.prepare(client)).await;
                self.clock.resume();
                prepared.unwrap_or_else(|| Err(self.out_of_time()))?;
            }
            let (pass, ready) = match self.open_gate() {
                Some(pass) => (pass, ready),
                None => {
                    // Time spent here does not count against the default deadline.
                    self.clock.pause();
                    let wait = wait_at_gate(client, self.ticket, self.call.body.repeatable(), self.clock.last_probe());
                    let waited = within(runtime, Some(self.clock.wait_limit()), wait).await;
                    let pass = waited.ok_or_else(|| self.out_of_time())?;
                    if matches!(pass, Pass::Open { .. }) {
                        self.clock.resume();
                    }
                    (pass, None)
                }
            };
            // Meanwhile the session may have become another.
            let authorized = match ready {
                Some(authorized) => authorized,
                None => match self.authorized()? {
                    Some(authorized) => authorized,
                    None => continue,
                },
            };
            let Some((request, mut turn)) = self.turn(pass, authorized)? else { continue };
            let sent = self.send_in_time(request, &mut turn).await?;
            match self.settle(sent, turn)? {
                Next::Done(answer) => return Ok(answer),
                Next::Again => {}
                Next::After(wait) => runtime.sleep(wait).await,
            }
        }
    }

    /// The session's word on whether and how this call may go; none where the session must be prepared first.
    fn authorized(&self) -> Result<Option<Authorized>, Error> {
        let session = &self.client.session;
        let authorized = match &self.call.identity {
            Identity::Token(session) => Some(Authorized { session: Some(session.clone()), refresh: None }),
            Identity::Session if self.call.passes_gate() => Some(session.token_at_hand(self.client)),
            identity => {
                let caller =
                    if matches!(identity, Identity::Whoever) { Caller::Anyone } else { self.call.endpoint.caller };
                session.authorize(self.client, caller).map_err(|e| self.describe(e))?
            }
        };
        // Asked after the session: one that began at the new address must not go to the old one.
        if self.client.shared.moves() != self.moves {
            return Err(self.describe(moved()));
        }
        Ok(authorized)
    }

    /// The gate's leave, where there is nothing to wait for.
    fn open_gate(&mut self) -> Option<Pass> {
        if self.call.passes_gate() {
            return Some(Pass::Open { epoch: self.client.shared.gate.epoch() });
        }
        let pass = self.client.shared.gate.open_pass()?;
        self.clock.resume();
        Some(pass)
    }

    /// What is sent next, and how long it may take; none where the turn to probe was lost.
    fn turn(&mut self, pass: Pass, mut authorized: Authorized) -> Result<Option<(Request, Turn)>, Error> {
        let (limit, probe, epoch) = match pass {
            Pass::Probe(probe) => (Some(self.clock.probe_limit()), Some(probe), 0),
            Pass::Open { epoch } => (self.clock.attempt_limit(), None, epoch),
        };
        // Where only calls wait whose bodies can be sent once, one of them asks health in place of its own.
        let by_health = probe.is_some() && !self.call.body.repeatable();
        if probe.as_ref().is_some_and(|probe| !probe.asks(self.clock.asks_until())) {
            return Ok(None);
        }
        // What nobody will wait for is not sent.
        if limit.is_some_and(|left| left.is_zero()) {
            return Err(self.out_of_time());
        }
        let health = match self.call.body.is_upload() {
            true => self.client.shared.url(endpoints::HEALTH.path, &Query::new())?,
            false => String::new(),
        };
        let mut request = if by_health {
            authorized = self.client.session.token_at_hand(self.client);
            Request::new(endpoints::HEALTH.method, health)
        } else {
            self.attempts += 1;
            self.request(health)
        };
        request.headers = headers(self.client, &request.headers, authorized.session.as_ref());
        Ok(Some((request, Turn { limit, refresh: authorized.refresh, probe, epoch, by_health })))
    }

    /// The call as it is sent, but for the headers of every call.
    fn request(&self, probe: String) -> Request {
        let mut request = Request::new(self.call.endpoint.method, self.url.clone());
        request.headers = self.call.headers.clone();
        request.body = self.call.body.clone();
        request.reading = match (self.call.streamed, self.call.verbatim) {
            (true, _) => Reading::Stream,
            (false, true) => Reading::Text,
            (false, false) => Reading::Value,
        };
        request.probe = probe;
        request
    }

    /// Sends within the time that is left, and polls a refresh that is under way along.
    async fn send_in_time(&mut self, request: Request, turn: &mut Turn) -> Result<Sent, Error> {
        let runtime = &*self.client.shared.runtime;
        let outcome = {
            let mut sending = pin!(exchange(self.client, self.call.streamed && !turn.by_health, request));
            let stall = self.clock.stall_limit(&self.call).filter(|_| !turn.by_health);
            let mut stall = stall.map(|limit| Stall::new(&self.call.body, limit));
            let mut timer = None;
            poll_fn(|cx| {
                turn.refresh.take_if(|refresh| pin!(refresh).poll(cx).is_ready());
                if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                    return Poll::Ready(Ok(sent));
                }
                if let Some(limit) = turn.limit
                    && timer.get_or_insert_with(|| runtime.sleep(limit)).as_mut().poll(cx).is_ready()
                {
                    return Poll::Ready(Err(false));
                }
                match &mut stall {
                    Some(stall) => stall.poll(runtime, cx).map(|()| Err(true)),
                    None => Poll::Pending,
                }
            })
            .await
        };
        outcome.map_err(|still| {
            self.unsure |= !turn.by_health;
            if still && !self.clock.is_asleep() {
                return self.describe(Error::new(ErrorKind::Timeout, "the transfer made no progress"));
            }
            self.out_of_time()
        })
    }

    /// Decides what an outcome means for this call and for the gate.
    fn settle(&mut self, sent: Sent, turn: Turn) -> Result<Next, Error> {
        let Turn { probe, epoch, .. } = turn;
        let probe = match probe {
            Some(probe) if turn.by_health => return self.settle_health(sent, probe),
            probe => probe,
        };
        let verdict = verdict(sent.outcome(), self.call.harmless());
        self.unsure |= sent.is_unsure();
        if verdict == Verdict::Asleep && !self.call.passes_gate() {
            return self.asleep(sent, probe, epoch);
        }
        match (&sent, probe) {
            (Sent::Response(..) | Sent::Answer(..) | Sent::Error(..), Some(probe)) => probe.answered(),
            (Sent::Answer(_) | Sent::Error(..), None) if self.call.passes_gate() && verdict != Verdict::Asleep => {
                self.client.shared.gate.answered(epoch);
            }
            // A broken connection says nothing about the instance, but asking again at once would be a herd.
            (Sent::Failed(error), Some(probe)) if error.failure() == Failure::Broken => {
                probe.still_asleep(self.client.shared.runtime.uptime(), None, self.random());
            }
            // Without an answer the turn passes to the next call.
            (_, probe) => drop(probe),
        }
        let allowed = self.call.body.replayable();
        let retries = self.client.shared.options.max_retries;
        match verdict {
            Verdict::Throttled if allowed && self.throttled < retries => {
                let said = sent.retry_after().filter(|wait| !wait.is_zero());
                let wait = said.unwrap_or_else(|| backoff(self.throttled, self.random()));
                self.throttled += 1;
                self.wait_or(wait, sent)
            }
            Verdict::Lost if allowed && self.lost < retries => {
                let wait = backoff(self.lost, self.random());
                self.lost += 1;
                self.wait_or(wait, sent)
            }
            _ => sent.finish(self).map(Next::Done),
        }
    }

    /// 503 or a refused connection: closes the gate, and queues again if the call can be repeated. However long the
    /// server says to wait: at least once in a cold-start time it is asked, so no later call is locked out for hours.
    fn asleep(&mut self, sent: Sent, probe: Option<Probe>, epoch: u64) -> Result<Next, Error> {
        let (now, delay, random) = (self.client.shared.runtime.uptime(), sent.retry_after(), self.random());
        let pause = delay.map(|delay| delay.min(self.clock.cold_start));
        match probe {
            Some(probe) => probe.still_asleep(now, pause, random),
            None => self.client.shared.gate.close(epoch, now, pause, random),
        }
        debug!(attempts = self.attempts, "the instance is asleep");
        self.clock.note_asleep(delay);
        if !self.call.body.replayable() {
            return sent.finish(self).map(Next::Done);
        }
        Ok(Next::Again)
    }

    /// What the answer of health means for the gate. The call itself has another round.
    fn settle_health(&mut self, sent: Sent, probe: Probe) -> Result<Next, Error> {
        match (verdict(sent.outcome(), true), &sent) {
            (Verdict::Asleep, _) => return self.asleep(sent, Some(probe), 0),
            (Verdict::Lost, Sent::Failed(_)) => {
                probe.still_asleep(self.client.shared.runtime.uptime(), None, self.random());
            }
            // The certificate, or the host's name: that is the call's end, as if it had asked itself.
            (_, Sent::Failed(error)) => return Err(self.describe(Error::from(error.clone()))),
            _ => probe.answered(),
        }
        Ok(Next::Again)
    }

    /// Another round after a while; where that would pass the deadline, the last answer stands.
    fn wait_or(&mut self, wait: Duration, sent: Sent) -> Result<Next, Error> {
        // A transfer has no deadline, but waiting is no progress.
        let left = self.clock.attempt_limit().or_else(|| self.clock.stall_limit(&self.call));
        if left.is_some_and(|left| left <= wait) {
            return sent.finish(self).map(Next::Done);
        }
        debug!(attempts = self.attempts, wait_ms = millis(wait), "trying again");
        Ok(Next::After(wait))
    }

    fn random(&self) -> u32 {
        random_fraction(&*self.client.shared.runtime)
    }

    fn describe(&self, error: Error) -> Error {
        error.with_url(&self.url).with_attempts(self.attempts)
    }

    /// The deadline, or the cold-start timeout, has passed.
    fn out_of_time(&self) -> Error {
        let (asleep, retry_after) = (self.clock.is_asleep(), self.clock.retry_after);
        if asleep && self.clock.cold_start_is_over() {
            self.client.shared.gate.gave_up();
            let waited = digits(self.client.shared.options.cold_start_timeout.as_secs());
            let message = ["the instance did not wake up within ", &waited, " s"].concat();
            let error = Error::new(ErrorKind::InstanceUnavailable, message);
            return self.describe(error.with_status(503).with_retry_after(retry_after));
        }
        let what = if asleep { "the deadline passed while the instance was waking up" } else { "the deadline passed" };
        self.describe(Error::new(ErrorKind::Timeout, what).with_retry_after(retry_after))
    }
}

/// Waits until the gate is open, or until it is this call's turn to ask and the delay is over. `last` is when it asks at
/// the latest.
async fn wait_at_gate(client: &Client, ticket: u64, can_probe: bool, last: Duration) -> Pass {
    let (gate, runtime) = (&client.shared.gate, &client.shared.runtime);
    let mut place = gate.pass(ticket, can_probe);
    let mut turn: Option<Probe> = None;
    let mut timer = None;
    poll_fn(move |cx| {
        loop {
            match &turn {
                None => match Pin::new(&mut place).poll(cx) {
                    Poll::Ready(Pass::Probe(probe)) => {
                        (turn, timer) = (Some(probe), None);
                        continue;
                    }
                    Poll::Ready(open) => return Poll::Ready(open),
                    Poll::Pending => {}
                },
                // While it sleeps, health may have opened the gate.
                Some(probe) if pin!(probe.lost()).poll(cx).is_ready() => {
                    (turn, timer) = (None, None);
                    continue;
                }
                Some(_) => {}
            }
            let (step, sleeping) = timer.get_or_insert_with(|| {
                let now = runtime.uptime();
                let (step, time) = match &turn {
                    None => gate.patience(now),
                    Some(probe) => (0, probe.at(last).saturating_sub(now)),
                };
                (step, runtime.sleep(time))
            });
            if sleeping.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match turn.take() {
                Some(probe) => return Poll::Ready(Pass::Probe(probe)),
                None => gate.overdue(*step),
            }
            timer = None;
        }
    })
    .await
}

/// How an attempt ended.
pub(crate) enum Sent {
    /// A usable answer, read to its end.
    Answer(Answer),
    /// A usable answer whose body the caller reads.
    Response(Response),
    /// An answer that says no.
    Error(Error, u16),
    /// No answer.
    Failed(TransportError),
}

impl Sent {
    fn outcome(&self) -> Outcome {
        match self {
            Sent::Answer(answer) => Outcome::Status(answer.status),
            Sent::Response(response) => Outcome::Status(response.status),
            Sent::Error(_, status) => Outcome::Status(*status),
            Sent::Failed(error) => Outcome::Failed(error.failure()),
        }
    }

    /// May the server have processed the request without our knowing what came of it?
    fn is_unsure(&self) -> bool {
        match self {
            Sent::Error(_, status) => matches!(status, 200..300 | 502 | 504),
            Sent::Failed(error) => error.failure() == Failure::Broken,
            Sent::Answer(_) | Sent::Response(_) => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Sent::Error(error, _) => error.retry_after(),
            _ => None,
        }
    }

    fn finish(self, run: &mut Run<'_>) -> Result<Answer, Error> {
        let answer = match self {
            Sent::Answer(answer) => answer,
            Sent::Response(response) => Answer::new(response.status, Payload::Stream(response)),
            Sent::Error(error, _) => return Err(run.describe(advised(error, run.call.endpoint))),
            Sent::Failed(error) => return Err(run.describe(asleep_kind(error))),
        };
        Ok(Answer { url: core::mem::take(&mut run.url), attempts: run.attempts, ..answer })
    }
}

/// What to do where the endpoint knows it better than the kind. The gateway's refusals are about something else.
pub(crate) fn advised(error: Error, endpoint: &Endpoint) -> Error {
    let rows = [endpoints::AUTH_PASSWORD.number, endpoints::AUTH_OTP.number, endpoints::AUTH_OAUTH2.number];
    let has_credentials = rows.contains(&endpoint.number);
    let fix = match error.kind() {
        ErrorKind::Validation if has_credentials && error.fields().is_empty() => {
            "Check the credentials, unless the message says something else: they are wrong, or not valid any more."
        }
        ErrorKind::Forbidden if endpoint.caller == Caller::Anyone && error.code().is_none() => {
            "Allow this way to sign in in the collection's options, or this user in its auth rule."
        }
        _ => return error,
    };
    error.with_fix(fix)
}

/// A refused connection is a sleeping instance, also for a call that could not wait for it.
fn asleep_kind(error: TransportError) -> Error {
    let refused = error.failure() == Failure::Refused;
    let error = Error::from(error);
    if refused { error.with_kind(ErrorKind::InstanceUnavailable) } else { error }
}

/// Refuses what would end a header field early, or begin another one.
pub(crate) fn check_headers(own: &Headers) -> Result<(), Error> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    for (name, value) in own.iter() {
        if name.is_empty() || !name.bytes().all(token) || has(value, "\r\n\0") {
            return Err(Error::validation(["the header ", &quoted(name), " cannot be sent"].concat())
                .with_fix("A name has letters, digits and hyphens; a value has no line break and no NUL."));
        }
    }
    Ok(())
}

/// The headers of every call; what the user set wins.
pub(crate) fn headers(client: &Client, own: &Headers, session: Option<&Session>) -> Headers {
    let mut headers = own.clone();
    headers.reserve(3, 128);
    let options = &client.shared.options;
    if let Some(key) = &client.shared.key {
        headers.set_default("X-PicoBase-Key", key.expose_secret());
    }
    match (session, &client.shared.key) {
        (Some(session), _) => headers.set_default("Authorization", session.token()),
        (None, Some(key)) => headers.set_default("Authorization", &["Bearer ", key.expose_secret()].concat()),
        (None, None) => {}
    }
    headers.set_default("Accept-Language", &options.accept_language);
    headers
}

/// Sends a request and sorts the answer.
pub(crate) async fn exchange(client: &Client, streamed: bool, request: Request) -> Sent {
    let mut response = match client.shared.transport.send(request).await {
        Ok(response) => response,
        Err(error) => return Sent::Failed(error),
    };
    let status = response.status;
    if (300..400).contains(&status) {
        return Sent::Error(redirect_error(client, &response), status);
    }
    if status >= 400 {
        return read_error(client, response).await;
    }
    if streamed {
        return Sent::Response(response);
    }
    match response.body.value() {
        Some(Ok(json)) => return Sent::Answer(Answer::new(status, Payload::Json(json))),
        Some(Err(error)) => return Sent::Error(error.with_status(status), status),
        None => {}
    }
    let body = match read_all(response, usize::MAX).await {
        Ok(body) => body,
        Err(error) => return Sent::Failed(error),
    };
    if body.is_empty() {
        return Sent::Answer(Answer::new(status, Payload::Empty));
    }
    match Json::from_body(body) {
        Ok(json) => Sent::Answer(Answer::new(status, Payload::Json(json))),
        Err(error) => Sent::Error(error.with_status(status), status),
    }
}

/// API calls follow no redirect: it would carry the key to another host, or turn a POST into a GET.
fn redirect_error(client: &Client, response: &Response) -> Error {
    let status = response.status;
    let target = response.headers.get("Location").map(|target| shown_target(client, target)).unwrap_or_default();
    let message = match target.as_str() {
        "" => ["the server redirects (HTTP ", &digits(status.into()), "), and calls follow no redirect"].concat(),
        target => ["the server redirects to ", target, "; calls follow no redirect"].concat(),
    };
    Error::configuration(message)
        .with_fix("If the instance lives there now, use that address as the URL of the client.")
        .with_status(status)
}

/// The target of a redirect as it may be shown: without secrets and control characters, and not without end.
fn shown_target(client: &Client, location: &str) -> String {
    let mut target = redact(location);
    if let Some(key) = &client.shared.key {
        let (mut shown, mut rest) = (String::new(), target.as_str());
        while let Some((before, after)) = split_at_text(rest, key.expose_secret()) {
            shown.push_str(before);
            shown.push_str("***");
            rest = after;
        }
        shown.push_str(rest);
        target = shown;
    }
    target.chars().filter(|c| !c.is_control()).take(TARGET_MAX).collect()
}

async fn read_error(client: &Client, response: Response) -> Sent {
    let status = response.status;
    let delay = response.headers.get("Retry-After").and_then(|value| retry_after(value, client.shared.runtime.now()));
    // An error whose body breaks off, or does not end, is still that error.
    let body = within(&*client.shared.runtime, Some(ERROR_BODY_TIME), read_all(response, ERROR_BODY_MAX)).await;
    let body = body.and_then(Result::ok).unwrap_or_default();
    Sent::Error(Error::from_answer(status, delay, &String::from_utf8_lossy(&body)), status)
}

/// Reads a body to its end, or to `max` bytes.
pub(crate) async fn read_all(mut response: Response, max: usize) -> Result<Bytes, TransportError> {
    let whole = response.body.length();
    let Some(first) = response.body.chunk().await? else { return Ok(Bytes::new()) };
    // A short answer is there at once: its end need not be asked for.
    if whole.is_some_and(|whole| usize::try_from(whole) == Ok(first.len())) {
        return Ok(first);
    }
    let Some(second) = response.body.chunk().await? else { return Ok(first) };
    let mut length = first.len().saturating_add(second.len());
    let mut chunks = alloc::vec![first, second];
    while length < max {
        let Some(chunk) = response.body.chunk().await? else { break };
        length = length.saturating_add(chunk.len());
        chunks.push(chunk);
    }
    // Most long answers do not say how long they are: joined at the end, they are copied once.
    Ok(chunks.concat().into())
}

/// Watches an upload. It has stalled when it made no progress for `limit`, give or take an eighth of it. When all its
/// bytes are in the system's buffers nobody sees how fast they leave: the rest, and the answer, may take four times as
/// long.
struct Stall<'a> {
    body: &'a Body,
    limit: Duration,
    start: u64,
    seen: u64,
    still: u32,
    timer: Option<BoxFuture<'static, ()>>,
}

impl Stall<'_> {
    fn new(body: &Body, limit: Duration) -> Stall<'_> {
        let start = taken(body);
        Stall { body, limit, start, seen: start, still: 0, timer: None }
    }

    fn poll(&mut self, runtime: &dyn Runtime, cx: &mut Context<'_>) -> Poll<()> {
        let all = length(self.body).filter(|length| *length > 0);
        loop {
            let all_taken = all.is_some_and(|all| self.seen.saturating_sub(self.start) >= all);
            if self.still >= if all_taken { 32 } else { 8 } {
                return Poll::Ready(());
            }
            let timer = self.timer.get_or_insert_with(|| runtime.sleep(self.limit / 8));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            let sent = taken(self.body);
            self.still = if sent == self.seen { self.still + 1 } else { 0 };
            self.seen = sent;
        }
    }
}

fn length(body: &Body) -> Option<u64> {
    match body {
        Body::Raw(source) => source.length(),
        Body::Multipart(form) => form.length(),
        Body::Empty | Body::Json(_) => None,
    }
}

fn taken(body: &Body) -> u64 {
    match body {
        Body::Raw(source) => source.taken(),
        Body::Multipart(form) => form.taken(),
        Body::Empty | Body::Json(_) => 0,
    }
}

/// How much time a call has left.
struct Clock {
    runtime: crate::runtime::SharedRuntime,
    /// Whole time allowed, and whether the user said so.
    limit: Option<Duration>,
    explicit: bool,
    transfer: bool,
    idle: Duration,
    cold_start: Duration,
    started: Duration,
    /// Since when the default deadline stands still, and whether that is because the instance sleeps.
    paused: Option<(Duration, bool)>,
    paused_for: Duration,
    /// How much of that the instance slept.
    asleep_for: Duration,
    retry_after: Option<Duration>,
}

impl Clock {
    fn new(client: &Client, call: &Call) -> Clock {
        let options = &client.shared.options;
        let transfer = call.streamed || call.body.is_upload();
        let (limit, explicit) = match (call.limit, options.timeout) {
            (Limit::After(limit), _) => (Some(limit), true),
            (Limit::Never, _) => (None, true),
            (Limit::Default, Some(limit)) => (Some(limit), true),
            // A transfer may take as long as it makes progress.
            (Limit::Default, None) if transfer => (None, false),
            (Limit::Default, None) => (Some(DEFAULT_TIMEOUT), false),
        };
        Clock {
            started: client.shared.runtime.uptime(),
            runtime: client.shared.runtime.clone(),
            limit,
            explicit,
            transfer,
            idle: options.transfer_idle_timeout,
            cold_start: options.cold_start_timeout,
            paused: None,
            paused_for: Duration::ZERO,
            asleep_for: Duration::ZERO,
            retry_after: None,
        }
    }

    fn now(&self) -> Duration {
        self.runtime.uptime()
    }

    /// The instance sleeps: the default deadline stands still.
    fn pause(&mut self) {
        let now = self.now();
        self.paused.get_or_insert((now, true));
    }

    /// Stops the default deadline without the instance being asleep.
    fn hold(&mut self) {
        let now = self.now();
        self.paused.get_or_insert((now, false));
    }

    fn resume(&mut self) {
        if let Some((at, asleep)) = self.paused.take() {
            let time = self.now().saturating_sub(at);
            self.paused_for = self.paused_for.saturating_add(time);
            if asleep {
                self.asleep_for = self.asleep_for.saturating_add(time);
            }
        }
    }

    fn note_asleep(&mut self, retry_after: Option<Duration>) {
        self.pause();
        self.retry_after = retry_after.or(self.retry_after);
    }

    /// Is the call waiting for the instance to wake up?
    fn is_asleep(&self) -> bool {
        matches!(self.paused, Some((_, true)))
    }

    /// What is left for an attempt.
    fn attempt_limit(&self) -> Option<Duration> {
        let now = self.now();
        let paused =
            self.paused_for.saturating_add(self.paused.map_or(Duration::ZERO, |(at, _)| now.saturating_sub(at)));
        let spent = now.saturating_sub(self.started);
        let counted = if self.explicit { spent } else { spent.saturating_sub(paused) };
        self.limit.map(|limit| limit.saturating_sub(counted))
    }

    /// What is left of the time to wait for a sleeping instance. A call that finds it asleep again after it was awake
    /// has one time for both.
    fn cold_start_left(&self) -> Duration {
        let now = self.now();
        let asleep = match self.paused {
            Some((at, true)) => self.asleep_for.saturating_add(now.saturating_sub(at)),
            _ => self.asleep_for,
        };
        self.cold_start.saturating_sub(asleep)
    }

    fn cold_start_is_over(&self) -> bool {
        self.cold_start_left().is_zero()
    }

    /// What is left for waiting at the gate: the cold-start timeout, or an explicit deadline if that comes first.
    fn wait_limit(&self) -> Duration {
        let explicit = self.attempt_limit().filter(|_| self.explicit);
        self.cold_start_left().min(explicit.unwrap_or(Duration::MAX))
    }

    /// When a sleeping instance is asked for the last time: just before this call stops waiting for it.
    fn last_probe(&self) -> Duration {
        let explicit = self.limit.filter(|_| self.explicit).unwrap_or(Duration::MAX);
        let answer = (self.cold_start.min(explicit) / 8).min(LAST_ANSWER);
        self.now().saturating_add(self.wait_limit()).saturating_sub(answer)
    }

    /// What is left for the probe's request: both limits hold, but one that is just over still gets an answer.
    fn probe_limit(&self) -> Duration {
        self.wait_limit().max(Duration::from_millis(1))
    }

    /// When a probe's request that begins now is over.
    fn asks_until(&self) -> Duration {
        self.now().saturating_add(self.probe_limit())
    }

    /// What is left for preparing the session, which may have to wait for a sleeping instance on its own.
    fn prepare_limit(&self) -> Option<Duration> {
        let left = self.attempt_limit()?;
        Some(if self.explicit { left } else { left.saturating_add(self.cold_start) })
    }

    /// The time without progress after which a transfer fails; none for calls with a limit of their own.
    fn stall_limit(&self, call: &Call) -> Option<Duration> {
        (self.transfer && !self.explicit && !matches!(call.limit, Limit::Never)).then_some(self.idle)
    }
}

/// How long a call may take where nobody said so; and how long a transfer may make no progress, unless
/// `transfer_idle_timeout` says otherwise.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Tells hooks and tracing how a call ended, also when it was cancelled.
struct Report<'a> {
    client: &'a Client,
    report: Option<CallReport>,
    started: Duration,
    /// The call's: it says which call ended.
    span: Span,
}

impl<'a> Report<'a> {
    fn new(client: &'a Client, call: &Call, template: &str, url: &str, started: Duration, span: Span) -> Self {
        // Only hooks see these two.
        let seen = !client.shared.after.is_empty();
        let report = CallReport {
            endpoint: call.endpoint.name,
            method: call.endpoint.method,
            template: if seen { template.to_string() } else { String::new() },
            url: if seen { redact(url) } else { String::new() },
            status: 0,
            attempts: 0,
            elapsed: Duration::ZERO,
            error: None,
        };
        Report { client, report: Some(report), started, span }
    }

    fn finish(mut self, attempts: u32, result: &Result<Answer, Error>) {
        let Some(report) = &mut self.report else { return };
        report.attempts = attempts;
        match result {
            Ok(answer) => report.status = answer.status,
            Err(error) => {
                report.status = error.status();
                report.error = Some(error.clone());
            }
        }
        self.tell();
    }

    fn tell(&mut self) {
        let Some(mut report) = self.report.take() else { return };
        if self.client.shared.after.is_empty() && !tracing::enabled!(tracing::Level::DEBUG) && report.error.is_none() {
            return;
        }
        report.elapsed = self.client.shared.runtime.uptime().saturating_sub(self.started);
        let kind = report.error.as_ref().map(Error::kind);
        // The level of an event cannot be chosen when it happens.
        macro_rules! tell {
            ($level:ident, $what:literal $(, $kind:ident)?) => {
                $level!(
                    parent: &self.span,
                    endpoint = report.endpoint,
                    status = report.status,
                    attempts = report.attempts,
                    elapsed_ms = millis(report.elapsed),
                    $(kind = $kind.as_str(),)?
                    $what
                )
            };
        }
        match kind {
            None => tell!(debug, "call done"),
            Some(kind) if kind.is_expected() => tell!(debug, "call failed", kind),
            Some(kind) => tell!(warn, "call failed", kind),
        }
        for hook in &self.client.shared.after {
            hook(&report);
        }
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if let Some(report) = &mut self.report {
            report.error = Some(Error::new(ErrorKind::Cancelled, "the caller dropped the call"));
            self.tell();
        }
    }
}

/// A call whose result is decoded from its JSON.
pub(crate) async fn execute_json<T: FromJson>(client: Client, call: Call) -> Result<T, Error> {
    let template = call.endpoint;
    // A route of one's own may well have nothing to say.
    let (custom, head) = (call.endpoint.number == 0, call.endpoint.method == Method::Head);
    let mut answer = execute(&client, call).await?;
    if custom && (head || answer.status == 204) && matches!(answer.payload, Payload::Empty) {
        answer.payload = Payload::Json(Json::null());
    }
    answer.decode().inspect_err(|_| debug!(endpoint = template.name, "the answer could not be decoded"))
}

/// A call whose answer says nothing, as an [`Action`](crate::action::Action) runs it.
pub(crate) fn nothing(client: Client, call: Call) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move { execute(&client, call).await?.nothing() })
}

/// [`execute_json`] in a box, as an [`Action`](crate::action::Action) runs it.
pub(crate) fn decode<T: FromJson>(client: Client, call: Call) -> BoxFuture<'static, Result<T, Error>> {
    Box::pin(execute_json(client, call))
}
