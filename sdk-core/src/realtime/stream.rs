//! One event stream: GET `/api/realtime`, read to its end.

use alloc::{boxed::Box, vec::Vec};
use core::future::Future;

use super::sse::{Decoder, Message};
use crate::{
    call::{Call, Payload, execute, nothing},
    client::Client,
    endpoints,
    error::{Error, ErrorKind},
    json::Json,
    runtime::{BoxFuture, compact},
    transport::{Body, ResponseBody},
};

/// The longest message that is taken. The server takes bodies of 32 MiB, and a record may bring others along.
const MESSAGE_MAX: usize = 128 * 1024 * 1024;

/// The name of the server's first event.
const CONNECT: &str = "PB_CONNECT";

/// A stream that is open. Dropping it closes it.
pub(crate) struct EventStream {
    body: Box<dyn ResponseBody>,
    decoder: Decoder,
}

impl EventStream {
    /// Opens a stream, when the instance is awake.
    ///
    /// # Errors
    /// As any call.
    pub(crate) fn open(client: &Client) -> impl Future<Output = Result<EventStream, Error>> {
        let mut call = Call::new(&endpoints::REALTIME_CONNECT, &[]);
        call.headers.set("Accept", "text/event-stream");
        call.headers.set("Cache-Control", "no-store");
        call.streamed = true;
        compact(async move {
            match execute(client, call).await?.payload {
                Payload::Stream(response) => {
                    Ok(EventStream { body: response.body, decoder: Decoder::new(MESSAGE_MAX) })
                }
                Payload::Json(_) | Payload::Empty => Err(no_stream()),
            }
        })
    }

    /// The next messages, at least one; none at the end of the stream.
    ///
    /// # Errors
    /// Kind `Network` where the stream broke, `Decode` where a message has no end.
    pub(crate) fn read(&mut self) -> impl Future<Output = Result<Option<Vec<Message>>, Error>> {
        compact(async move {
            let mut messages = Vec::new();
            while messages.is_empty() {
                let Some(chunk) = self.body.chunk().await? else { return Ok(None) };
                self.decoder
                    .push(&chunk, |message| messages.push(message))
                    .map_err(|_| Error::decode("a message of the event stream has no end", ""))?;
            }
            Ok(Some(messages))
        })
    }
}

/// What came is something else, a gateway's page for example.
pub(super) fn no_stream() -> Error {
    Error::decode("the answer is no event stream", "")
        .with_fix("Check that the URL is that of the instance, and that no proxy on the way answers in its place.")
}

/// The server's name for the stream, if this is its first event.
pub(crate) fn client_id(message: &Message) -> Option<&str> {
    (*message.event == *CONNECT && !message.id.is_empty()).then_some(&*message.id)
}

/// POST `/api/realtime`: what the stream is to bring, in place of what it brought before.
///
/// # Errors
/// As any call.
pub(crate) fn submit<T: AsRef<str>>(
    client: &Client,
    client_id: &str,
    topics: &[T],
) -> BoxFuture<'static, Result<(), Error>> {
    let mut call = Call::new(&endpoints::REALTIME_SUBMIT, &[]);
    call.body = Body::Json(Json::object([
        ("clientId", Json::string(client_id)),
        ("subscriptions", Json::array(topics.iter().map(|topic| Json::string(topic.as_ref())))),
    ]));
    nothing(client.clone(), call)
}

/// What a platform without tasks of its own is told.
pub(crate) fn no_tasks() -> Error {
    Error::new(ErrorKind::Configuration, "nothing runs the event stream")
        .with_fix("Subscribe within a tokio runtime that goes on running, or give the client a runtime that can spawn.")
}
