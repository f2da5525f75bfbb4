//! Event streams cut anywhere: the same as in one piece, the same as by the letter of the standard, and never more held
//! than allowed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use picobase::fuzzing::{EventStream, event_stream};

/// A BOM, the longest name of a field and its colon: what may wait until it is known whether a line counts.
const TELLING: usize = 9;

fuzz_target!(|input: (Vec<u8>, u8, Vec<u8>)| {
    let (sizes, max, stream) = input;
    let mut rest = stream.as_slice();
    let mut sizes = sizes.iter().cycle();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| usize::from(*size).clamp(1, rest.len()));
        let (chunk, after) = rest.split_at(size);
        chunks.push(chunk);
        rest = after;
    }
    for max in [usize::from(max), usize::MAX] {
        let bound = |held| assert!(held <= max.saturating_add(TELLING), "holds {held} of {max}");
        let cut = event_stream(max, chunks.iter().copied(), bound);
        assert_eq!(cut, event_stream(max, [stream.as_slice()], bound));
        if !cut.too_long {
            assert_eq!(cut, by_the_letter(&stream));
        }
    }
    assert!(!event_stream(usize::MAX, [stream.as_slice()], |_| {}).too_long);
});

/// WHATWG HTML §9.2.6, on the whole stream and without any care for speed.
fn by_the_letter(stream: &[u8]) -> EventStream {
    let text = String::from_utf8_lossy(stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream));
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let (mut data, mut event, mut id) = (String::new(), String::new(), String::new());
    let mut read = EventStream { messages: Vec::new(), retry: None, too_long: false };
    for line in lines {
        if line.is_empty() {
            if data.pop().is_some() {
                let event = if event.is_empty() { "message" } else { &event };
                read.messages.push([event.to_string(), id.clone(), data.clone()]);
            }
            data.clear();
            event.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data += &format!("{value}\n"),
            "event" => event = value.to_string(),
            "id" if !value.contains('\0') => id = value.to_string(),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                read.retry = Some(Duration::from_millis(value.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
    }
    read
}
