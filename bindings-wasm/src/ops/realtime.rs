//! Operations of realtime and live queries.

use alloc::{boxed::Box, vec::Vec};
use core::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use futures_core::Stream;
use picobase::{
    Client, Error, Json, JsonView,
    live::{LiveChange, LiveEvent},
    realtime::{Event, NetworkHint, Origin},
    runtime::Runtime,
};

use super::{Asked, auth::all_in_one, op, unknown};
use crate::{
    abi::{self, Tell, with},
    clients,
    executor::{self, Work, write_error},
    frame::Frame,
    platform::Platform,
};

/// How long a page is hidden before its stream is closed: it would keep the instance awake.
const HIDDEN: Duration = Duration::from_secs(600);

/// Starts the operation `op` as `id` for a client.
pub(crate) fn start(op: u32, id: u32, client: u32, bytes: Vec<u8>) {
    let mut asked = Asked::new(id, client, &bytes);
    let Some(client) = clients::get(client) else { return asked.answer(Err(clients::closed())) };
    match op {
        op::O_AUTH2_ALL_IN_ONE => {
            let open = move |url: &str| abi::tell(Tell::Event, id, Frame::new().text(url).bytes());
            let options = asked.options();
            executor::spawn(id, Work::Session(all_in_one(&client, asked.args, options, open)));
        }
        op::SUBSCRIBE => subscribe(&client, asked),
        op::LIVE => live(&client, asked),
        _ => control(op, &client, asked),
    }
}

fn control(op: u32, client: &Client, mut asked: Asked) {
    let realtime = client.realtime();
    match op {
        op::UNSUBSCRIBE | op::LIVE_END => {
            // The events come out of a job of their own; with it goes the handle.
            executor::cancel(asked.args.small().unwrap_or(0));
        }
        op::UNSUBSCRIBE_TOPIC => {
            let (topic, collection) = (asked.args.some(), asked.args.some());
            match (topic, collection.map(|name| client.collection(&name))) {
                (Some(topic), None) => realtime.unsubscribe(&topic),
                (None, None) => realtime.unsubscribe_all(),
                (Some(record), Some(collection)) => collection.unsubscribe(&record),
                (None, Some(collection)) => collection.unsubscribe_all(),
            }
        }
        op::UNSUBSCRIBE_PREFIX => realtime.unsubscribe_prefix(&asked.args.text()),
        op::HINT => hint(client, asked.client_id, &asked.args.text()),
        _ => return asked.answer(Err(unknown())),
    }
    asked.answer(Ok(Frame::new()));
}

fn hint(client: &Client, id: u32, hint: &str) {
    if hint == "online" {
        return client.realtime().hint(NetworkHint::Online);
    }
    let age = with(|executor| executor.clients.looks(id, 1));
    match hint {
        "visible" => client.realtime().hint(NetworkHint::Visible),
        _ => executor::spawn_job(Box::pin(async move {
            Platform { is_browser: true }.sleep(HIDDEN).await;
            // Looked at, or hidden once more, in between.
            if with(|executor| executor.clients.looks(id, 0)) == age
                && let Some(client) = clients::get(id)
            {
                client.realtime().hint(NetworkHint::Hidden);
            }
        })),
    }
}

/// Tells the client's states of the stream from now on, once a client.
fn watch(client: &Client, id: u32) {
    let job = executor::next_job();
    if !with(|executor| executor.clients.watch(id, job)) {
        return;
    }
    let mut states = client.realtime().states();
    let telling = async move {
        while let Some(state) = poll_fn(|cx| Pin::new(&mut states).poll_next(cx)).await {
            clients::notice(id, "realtime", state.as_str());
        }
    };
    executor::spawn(job, Work::Job(Box::pin(telling)));
}

fn subscribe(client: &Client, mut asked: Asked) {
    watch(client, asked.client_id);
    let topic = asked.args.text();
    let subscribe = match asked.args.some() {
        Some(collection) => client.collection(&collection).subscribe(&topic),
        None => client.realtime().subscribe(&topic),
    };
    let subscribe = subscribe.options(asked.options());
    let subscribe = if let Some(most) = asked.args.small() { subscribe.queue_max(most) } else { subscribe };
    let id = asked.id;
    asked.frame(Box::pin(async move { Ok(tell_all(id, subscribe.await?, write_event)) }));
}

/// Tells what comes, in a job of its own, whose number is what ends it. What is there at once crosses at once.
fn tell_all<S: Stream + Unpin + 'static>(id: u32, mut events: S, write: fn(&mut Frame, S::Item)) -> Frame {
    let job = executor::next_job();
    let telling = poll_fn(move |cx| {
        let mut out = Frame::new();
        let next = loop {
            match Pin::new(&mut events).poll_next(cx) {
                Poll::Ready(Some(event)) => write(&mut out, event),
                Poll::Ready(None) => {
                    out.list(1).text("end");
                    break Poll::Ready(());
                }
                Poll::Pending => break Poll::Pending,
            }
        };
        if !out.bytes().is_empty() {
            abi::tell(Tell::Event, id, out.bytes());
        }
        next
    });
    executor::spawn(job, Work::Job(Box::pin(telling)));
    Frame::number(job)
}

fn write_event(out: &mut Frame, event: Result<Event<Json>, Error>) {
    match event {
        Ok(Event::Record(event)) => {
            if let (Origin::Live, JsonView::Text(record)) = (event.origin, event.json.view()) {
                return out.event(&event.topic, event.action.as_str(), record);
            }
            out.list(5).text("record").text(event.action.as_str()).text(event.origin.as_str()).text(&event.topic);
            out.json(&event.json);
        }
        Ok(Event::Message(message)) => {
            out.list(3).text("message").text(&message.topic).json(&message.data);
        }
        Ok(Event::Resync(reason)) => {
            out.list(2).text("resync").text(reason.as_str());
        }
        Ok(Event::Lagged { missed }) => {
            out.list(2).text("lagged").int(missed);
        }
        Ok(_) => _ = out.list(1).text("unknown"),
        Err(error) => {
            out.list(2).text("error");
            write_error(out, &error);
        }
    }
}

fn live(client: &Client, mut asked: Asked) {
    watch(client, asked.client_id);
    let query = client.collection(&asked.args.text()).typed::<Json>().live().options(asked.options());
    let query = if let Some(limit) = asked.args.small() { query.limit(limit) } else { query };
    let query = if let Some(time) = asked.args.time() { query.recheck_every(time) } else { query };
    let id = asked.id;
    asked.frame(Box::pin(async move { Ok(tell_all(id, query.await?, write_live)) }));
}

fn write_live(out: &mut Frame, event: Result<LiveEvent<Json>, Error>) {
    let mut record = |word: &str, index: usize, id: &str, record: Option<&Json>| {
        out.list(if record.is_some() { 4 } else { 3 }).text(word).int(index as u64).text(id);
        if let Some(record) = record {
            out.json(record);
        }
    };
    match event {
        Ok(LiveEvent::Change(LiveChange::Enter { index, id, record: body })) => {
            record("enter", index, &id, Some(&body))
        }
        Ok(LiveEvent::Change(LiveChange::Change { index, id, record: body })) => {
            record("change", index, &id, Some(&body));
        }
        Ok(LiveEvent::Change(LiveChange::Leave { index, id })) => record("leave", index, &id, None),
        Ok(LiveEvent::Change(LiveChange::Move { from, to, id })) => {
            out.list(4).text("move").int(from as u64).int(to as u64).text(&id);
        }
        Ok(LiveEvent::Snapshot(records)) => {
            out.list(2).text("snapshot").items(&records);
        }
        Ok(_) => _ = out.list(1).text("unknown"),
        Err(error) => {
            out.list(2).text("error");
            write_error(out, &error);
        }
    }
}
