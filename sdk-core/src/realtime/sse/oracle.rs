//! The decoder against another one: random streams, cut at random, from a server on this machine to
//! `eventsource-client`.
//!
//! Its messages and ours must be the same. Where that one is known to leave the standard, the streams keep clear of it:
//!
//! - It fails at bytes that are not UTF-8, where the standard replaces them. So the streams are text.
//! - It fails at a message whose lines leave no trace (only unknown fields, say) before the first id, where the
//!   standard dispatches nothing. Up to there the messages are compared.

use std::{
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Sender, channel},
    thread,
};

use eventsource_client::{Client, ClientBuilder, Error, ReconnectOptions, SSE};
use futures_util::StreamExt;
use launchdarkly_sdk_transport::HyperTransport;
use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestRunner};

use super::{Decoder, Message, tests::cut};

const STREAMS: u32 = 1000;

/// A line, mostly of a field that means something, with any of the three ends.
fn line() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        8 => Just("data"), 3 => Just("event"), 3 => Just("id"), 1 => Just("retry"), 1 => Just(""), 1 => Just("dat"),
        1 => Just("comment"), 1 => Just("\u{feff}data"), 1 => Just(" data"), 1 => Just("Data"),
    ];
    let colon = prop_oneof![4 => Just(": "), 4 => Just(":"), 1 => Just(":  "), 1 => Just("")];
    let value = prop_oneof![
        4 => "[^\r\n]{0,12}", 1 => "[0-9]{1,22}", 1 => Just("\0".to_string()), 1 => Just(String::new()),
        1 => Just("\u{feff}é\u{1F600}\u{2028}".to_string()),
    ];
    let field = (name, colon, value).prop_map(|(name, colon, value)| format!("{name}{colon}{value}"));
    let end = prop_oneof![Just("\n"), Just("\r"), Just("\r\n")];
    (prop_oneof![3 => field, 1 => Just(String::new())], end).prop_map(|(line, end)| line + end)
}

fn stream() -> impl Strategy<Value = String> {
    let start = prop_oneof![2 => Just("id: 0\n"), 1 => Just("\u{feff}id: 0\r\n"), 1 => Just("\u{feff}"), 1 => Just("")];
    let rest = prop_oneof![Just(""), Just("data: unfinished"), Just("\u{feff}"), Just("id")];
    (start, vec(line(), 0..60), rest).prop_map(|(start, lines, rest)| format!("{start}{}{rest}", lines.concat()))
}

/// A server that answers each connection with the next body it is given, chunk by chunk.
fn serve() -> (SocketAddr, Sender<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (bodies, given) = channel::<Vec<Vec<u8>>>();
    thread::spawn(move || {
        for chunks in given {
            let (connection, _) = listener.accept().unwrap();
            // A client that fails hangs up in the middle.
            let _ = answer(connection, &chunks);
        }
    });
    (address, bodies)
}

fn answer(mut connection: TcpStream, chunks: &[Vec<u8>]) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\
        Connection: close\r\n\r\n"
        .to_vec();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        answer.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        answer.extend(chunk);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    connection.write_all(&answer)
}

/// The messages that the other decoder finds, and whether it read to the end.
async fn theirs(address: SocketAddr) -> (Vec<Message>, bool) {
    let transport = HyperTransport::builder().disable_proxy().build_http().unwrap();
    let client = ClientBuilder::for_url(&format!("http://{address}/"))
        .unwrap()
        .reconnect(ReconnectOptions::reconnect(false).build())
        .build_with_transport(transport);
    let mut stream = client.stream();
    let mut messages = Vec::new();
    let mut complete = true;
    while let Some(item) = stream.next().await {
        match item {
            Ok(SSE::Event(event)) => {
                let id = event.id.unwrap_or_default();
                messages.push(Message { event: event.event_type.into(), id: id.into(), data: event.data });
            }
            Ok(SSE::Connected(_) | SSE::Comment(_)) => {}
            Err(Error::Eof | Error::UnexpectedEof) => {}
            Err(Error::InvalidEvent) => complete = false,
            Err(error) => panic!("{error:?}"),
        }
    }
    (messages, complete)
}

#[test]
fn another_decoder_finds_the_same_messages() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (address, bodies) = serve();
    let (whole, compared) = (Cell::new(0), Cell::new(0));
    let cases = (stream(), vec(any::<Index>(), 0..20));
    let config = ProptestConfig { cases: STREAMS, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&cases, |(text, places)| {
        let chunks = cut(text.as_bytes(), &places);
        bodies.send(chunks.iter().map(|chunk| chunk.to_vec()).collect()).unwrap();
        let (theirs, complete) = runtime.block_on(theirs(address));
        let mut ours = Vec::new();
        let mut decoder = Decoder::new(1 << 20);
        chunks.iter().for_each(|chunk| decoder.push(chunk, |message| ours.push(message)).unwrap());
        if !complete {
            ours.truncate(theirs.len());
        }
        whole.set(whole.get() + u32::from(complete));
        compared.set(compared.get() + theirs.len());
        prop_assert_eq!(ours, theirs);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // The comparison must not be an empty one.
    assert!(whole.get() > STREAMS / 2 && compared.get() > STREAMS as usize, "{whole:?} {compared:?}");
}
