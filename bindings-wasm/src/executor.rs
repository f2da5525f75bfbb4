//! The executor: futures that are polled until all of them wait, and the effects that they wait for.

use alloc::vec::Vec;
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use picobase::{Error, Json, auth::Session, runtime::BoxFuture, transport::Body};

use crate::{
    abi::{self, Tell, with},
    clients,
    frame::{Args, Frame, read},
    ops::Walks,
};

/// What is polled, and how its result is written.
pub(crate) enum Work {
    Json(BoxFuture<'static, Result<Json, Error>>),
    Nothing(BoxFuture<'static, Result<(), Error>>),
    Session(BoxFuture<'static, Result<Session, Error>>),
    Frame(BoxFuture<'static, Result<Frame, Error>>),
    /// Work beside the operations.
    Job(BoxFuture<'static, ()>),
}

struct Task {
    id: u32,
    /// Taken out while it is polled.
    work: Option<Work>,
}

struct Effect {
    id: u32,
    task: u32,
    answer: Option<Vec<u8>>,
    /// What is uploaded, for its progress.
    body: Option<Body>,
}

/// All that is under way.
pub(crate) struct Executor {
    tasks: Vec<Task>,
    ready: Vec<u32>,
    effects: Vec<Effect>,
    /// The task that is polled.
    current: u32,
    last: u32,
    last_effect: u32,
    pub(crate) clients: clients::Clients,
    pub(crate) walks: Walks,
}

/// Numbers of jobs begin here; those of operations come from JavaScript and are smaller.
const FIRST_JOB: u32 = 1 << 31;

impl Executor {
    pub(crate) const fn new() -> Executor {
        Executor {
            tasks: Vec::new(),
            ready: Vec::new(),
            effects: Vec::new(),
            current: 0,
            last: FIRST_JOB,
            last_effect: 0,
            clients: clients::Clients::new(),
            walks: Walks::new(),
        }
    }

    pub(crate) fn wake(&mut self, task: u32) {
        if !self.ready.contains(&task) {
            self.ready.push(task);
        }
    }

    pub(crate) fn alive(&self) -> u32 {
        u32::try_from(self.tasks.len().saturating_add(self.effects.len())).unwrap_or(u32::MAX)
    }

    fn effect(&mut self, id: u32) -> Option<&mut Effect> {
        self.effects.iter_mut().find(|effect| effect.id == id)
    }
}

/// Polls `work` as the operation `id`. It is polled at once, so its first effects are on their way before JavaScript
/// goes on.
pub(crate) fn spawn(id: u32, work: Work) {
    with(|executor| {
        executor.tasks.push(Task { id, work: Some(work) });
        executor.wake(id);
    });
}

/// Polls `job` beside the operations.
pub(crate) fn spawn_job(job: BoxFuture<'static, ()>) {
    spawn(next_job(), Work::Job(job));
}

/// A number for a job.
pub(crate) fn next_job() -> u32 {
    with(|executor| {
        executor.last = executor.last.wrapping_add(1).max(FIRST_JOB);
        executor.last
    })
}

/// Polls what is ready until nothing is.
pub(crate) fn run() {
    loop {
        let next = with(|executor| {
            if executor.ready.is_empty() {
                return None;
            }
            let id = executor.ready.remove(0);
            executor.current = id;
            let work = executor.tasks.iter_mut().find(|task| task.id == id).and_then(|task| task.work.take());
            Some((id, work))
        });
        let Some((id, work)) = next else { return };
        // What has ended, or is being polled further up, may be woken once more.
        let Some(mut work) = work else { continue };
        if poll(id, &mut work) {
            with(|executor| executor.tasks.retain(|task| task.id != id));
        } else {
            let cancelled = with(|executor| match executor.tasks.iter_mut().find(|task| task.id == id) {
                Some(task) => {
                    task.work = Some(work);
                    None
                }
                None => Some(work),
            });
            drop(cancelled);
        }
    }
}

/// Polls once; says whether it is over, and tells JavaScript how.
fn poll(id: u32, work: &mut Work) -> bool {
    let waker = abi::waker(id);
    let mut cx = Context::from_waker(&waker);
    let mut out = Frame::new();
    let result = match work {
        Work::Json(future) => ready(future, &mut cx, |json| _ = out.json(&json)),
        Work::Nothing(future) => ready(future, &mut cx, |()| ()),
        Work::Session(future) => ready(future, &mut cx, |session| clients::write_session(&mut out, &session)),
        Work::Frame(future) => ready(future, &mut cx, |frame| out = frame),
        Work::Job(future) => return future.as_mut().poll(&mut cx).is_ready(),
    };
    match result {
        Poll::Pending => false,
        Poll::Ready(Ok(())) => {
            abi::tell(Tell::Answer, id, out.bytes());
            true
        }
        Poll::Ready(Err(error)) => {
            fail(id, &error);
            true
        }
    }
}

fn ready<T>(
    future: &mut BoxFuture<'static, Result<T, Error>>,
    cx: &mut Context<'_>,
    write: impl FnOnce(T),
) -> Poll<Result<(), Error>> {
    future.as_mut().poll(cx).map(|result| result.map(write))
}

/// Tells that an operation failed.
pub(crate) fn fail(id: u32, error: &Error) {
    let mut out = Frame::new();
    write_error(&mut out, error);
    abi::tell(Tell::Failure, id, out.bytes());
}

/// An error as a list: kind, message, fix, status, code, url, attempts, retry after (ms), MFA id, body, item, id of a
/// record that may have been created, fields.
pub(crate) fn write_error(out: &mut Frame, error: &Error) {
    let fields = error.fields();
    out.list(13).text(error.kind().as_str()).text(error.message()).text(error.fix());
    out.int(error.status().into()).some(error.code()).some(error.url()).int(error.attempts().into());
    out.maybe_int(error.retry_after().map(millis)).some(error.mfa_id()).some(error.body());
    out.maybe_int(error.item().map(|item| item as u64)).some(error.maybe_created()).list(fields.len());
    for (name, field) in fields {
        out.list(4).text(name).text(&field.code).text(&field.message).maybe(field.params.as_ref());
    }
}

pub(crate) fn millis(time: core::time::Duration) -> u64 {
    time.as_secs().saturating_mul(1000).saturating_add(u64::from(time.subsec_millis()))
}

/// Ends an operation.
pub(crate) fn cancel(id: u32) {
    let dropped = with(|executor| {
        let at = executor.tasks.iter().position(|task| task.id == id)?;
        Some(executor.tasks.swap_remove(at))
    });
    // Dropped outside: it aborts its effects.
    drop(dropped);
}

/// An effect is done, and this is what came of it.
pub(crate) fn complete(id: u32, answer: Vec<u8>) {
    let unwanted = with(|executor| {
        let Some(effect) = executor.effect(id) else { return Some(answer) };
        effect.answer = Some(answer);
        let task = effect.task;
        executor.wake(task);
        None
    });
    // Its handles are released.
    drop(unwanted.map(|answer| read(&answer)));
}

/// So many bytes of an upload were sent.
pub(crate) fn progress(id: u32, bytes: u64) {
    with(|executor| match executor.effect(id).and_then(|effect| effect.body.as_ref()) {
        Some(Body::Raw(source)) => source.note_taken(bytes),
        Some(Body::Multipart(form)) => form.note_taken(bytes),
        _ => {}
    });
}

/// What the world can be asked for.
#[derive(Clone, Copy)]
pub(crate) enum Wish {
    /// method, url, headers, how to read (0 value, 1 text, 2 stream), body, probe → status, headers, body; or null, failure, message
    Fetch = 0,
    /// milliseconds → nothing
    Sleep = 1,
    /// stream → bytes, null at its end, or a message
    Read = 2,
    /// bytes → bytes
    Sha256 = 3,
    /// store, what, session → text or null; or false, message
    Store = 4,
}

/// An effect that is waited for. Dropped, it is aborted.
pub(crate) struct Wait(u32);

/// Begins an effect. The frame does not live as long as what it asks for.
pub(crate) fn wish(wish: Wish, frame: Frame, body: Option<Body>) -> Wait {
    let id = with(|executor| {
        executor.last_effect = executor.last_effect.wrapping_add(1);
        let (id, task) = (executor.last_effect, executor.current);
        executor.effects.push(Effect { id, task, answer: None, body });
        id
    });
    abi::effect(wish as u32, id, frame.bytes());
    Wait(id)
}

impl Future for Wait {
    type Output = Args;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Args> {
        let answer = with(|executor| {
            // Whoever polls it now is who is to be woken.
            let current = executor.current;
            let effect = executor.effect(self.0)?;
            effect.task = current;
            effect.answer.take()
        });
        match answer {
            Some(answer) => Poll::Ready(Args::new(read(&answer))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let ended = with(|executor| {
            let at = executor.effects.iter().position(|effect| effect.id == self.0)?;
            Some(executor.effects.swap_remove(at))
        });
        abi::abort(self.0);
        if let Some(answer) = ended.and_then(|effect| effect.answer) {
            drop(read(&answer));
        }
    }
}
