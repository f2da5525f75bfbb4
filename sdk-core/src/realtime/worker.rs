//! The worker: performs the machine's effects and brings what comes of them. One task for each client that listens.

use alloc::vec::Vec;
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    fetch::fetch,
    machine::{Effect, Input, StreamId},
    running::Running,
    sse,
    stream::{EventStream, client_id, submit},
};
use crate::{client::Client, error::Error, runtime::BoxFuture, sync::boxed};

/// How many rounds are gone before other tasks get their turn.
const ROUNDS_MAX: usize = 8;
/// How many pieces of a stream are read in one round.
const READS_MAX: usize = 4;

/// What one step of a stream brings.
enum Step {
    Open(EventStream),
    Read(EventStream, Vec<sse::Message>),
    End(Option<Error>),
}

/// Something under way that belongs to a stream, or to none.
struct Task {
    stream: Option<StreamId>,
    work: BoxFuture<'static, Input>,
}

pub(super) struct Worker {
    client: Client,
    streams: Vec<(StreamId, BoxFuture<'static, Step>)>,
    tasks: Vec<Task>,
    timer: Option<(Duration, BoxFuture<'static, ()>)>,
    /// Tells of sign-in and sign-out.
    session_listener: Option<u64>,
    /// Something is new and must be polled for the first time, or has more to say.
    unpolled: bool,
    over: bool,
    _running: Running,
}

impl Worker {
    pub(super) fn new(client: &Client) -> Worker {
        Worker {
            client: client.clone(),
            streams: Vec::new(),
            tasks: Vec::new(),
            timer: None,
            session_listener: None,
            unpolled: false,
            over: false,
            _running: Running::new(&client.shared),
        }
    }

    fn listen_to_the_session(&mut self) {
        if self.session_listener.is_some() {
            return;
        }
        let client = self.client.clone();
        let listener = self.client.session.add_listener(alloc::sync::Arc::new(move |_: &_| {
            client.realtime.send(&client, Input::Viewer(client.session.viewer()));
        }));
        self.session_listener = Some(listener);
    }

    fn perform(&mut self, effect: Effect) {
        let client = self.client.clone();
        match effect {
            Effect::Open { stream, ask } => self.streams.push((stream, boxed(open(client, ask)))),
            Effect::Close { stream } => {
                self.streams.retain(|(id, _)| *id != stream);
                self.tasks.retain(|task| task.stream != Some(stream));
            }
            Effect::Submit { stream, client_id, topics } => self.task(Some(stream), async move {
                let result = submit(&client, &client_id, &topics).await;
                Input::Submitted { stream, result }
            }),
            Effect::Fetch(wanted) => self.task(None, async move {
                let (id, max) = (wanted.id, client.realtime.options.catch_up_max);
                let result = fetch(&client, *wanted, usize::try_from(max).unwrap_or(usize::MAX)).await;
                Input::Fetched { fetch: id, result }
            }),
            Effect::State(state) => tracing::debug!(state = state.as_str(), "realtime"),
            // The hub has done these.
            Effect::Deliver { .. } | Effect::Acknowledge { .. } | Effect::Fail { .. } => {}
        }
    }

    fn task(
        &mut self,
        stream: Option<StreamId>,
        work: impl Future<Output = Input> + crate::runtime::MaybeSend + 'static,
    ) {
        self.tasks.push(Task { stream, work: boxed(work) });
    }

    /// Polls all that is under way.
    fn collect(&mut self, cx: &mut Context<'_>) -> Vec<Input> {
        let mut inputs = Vec::new();
        let mut unpolled = false;
        self.streams.retain_mut(|(id, step)| {
            for _ in 0..READS_MAX {
                match step.as_mut().poll(cx) {
                    Poll::Pending => return true,
                    Poll::Ready(Step::End(error)) => {
                        inputs.push(Input::Closed { stream: *id, error });
                        return false;
                    }
                    Poll::Ready(Step::Open(stream)) => {
                        inputs.push(Input::Opened { stream: *id });
                        *step = boxed(read(stream));
                    }
                    Poll::Ready(Step::Read(stream, messages)) => {
                        inputs.extend(messages.into_iter().map(|message| input(*id, message)));
                        *step = boxed(read(stream));
                    }
                }
            }
            unpolled = true;
            true
        });
        self.unpolled = unpolled;
        self.tasks.retain_mut(|task| match task.work.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(input) => {
                inputs.push(input);
                false
            }
        });
        if let Some((_, timer)) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            self.timer = None;
            inputs.push(Input::Tick);
        }
        inputs
    }

    fn set_timer(&mut self, deadline: Option<Duration>) {
        match (deadline, &self.timer) {
            (None, _) => self.timer = None,
            // An early tick does no harm, and most deadlines move away with every message.
            (Some(at), Some((old, _))) if *old <= at => {}
            (Some(at), _) => {
                let runtime = &self.client.shared.runtime;
                self.unpolled = true;
                self.timer = Some((at, runtime.sleep(at.saturating_sub(runtime.uptime()))));
            }
        }
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.listen_to_the_session();
        for _ in 0..ROUNDS_MAX {
            let inputs = this.collect(cx);
            let todo = this.client.realtime.process(&this.client, inputs, cx);
            this.unpolled |= !todo.effects.is_empty();
            todo.effects.into_iter().for_each(|effect| this.perform(effect));
            if todo.over {
                this.over = true;
                return Poll::Ready(());
            }
            this.set_timer(todo.deadline);
            if !this.unpolled {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(listener) = self.session_listener.take() {
            self.client.session.remove_listener(listener);
        }
        if !self.over {
            self.client.realtime.abandoned();
        }
    }
}

fn input(stream: StreamId, message: sse::Message) -> Input {
    match client_id(&message) {
        Some(client_id) => Input::Connected { stream, client_id: client_id.into() },
        None => Input::Message { stream, topic: message.event, data: message.data },
    }
}

async fn open(client: Client, ask: bool) -> Step {
    let opened = async {
        if ask {
            client.session.check(&client).await?;
        }
        EventStream::open(&client).await
    };
    match opened.await {
        Ok(stream) => Step::Open(stream),
        Err(error) => Step::End(Some(error)),
    }
}

async fn read(mut stream: EventStream) -> Step {
    match stream.read().await {
        Ok(Some(messages)) => Step::Read(stream, messages),
        Ok(None) => Step::End(None),
        Err(error) => Step::End(Some(error)),
    }
}
