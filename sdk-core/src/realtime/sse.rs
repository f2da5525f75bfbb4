//! Reads text/event-stream (WHATWG HTML §9.2.6) from chunks that are cut anywhere.
//!
//! Lines are cut in the bytes and only the values that count are decoded: no CR, LF or colon is ever part of a longer
//! UTF-8 character, so this is the same as decoding the whole stream first.

use alloc::{borrow::Cow, string::String, sync::Arc, vec::Vec};
use core::{mem, time::Duration};

use crate::url::has;

/// The name of a message that was given none.
const MESSAGE: &str = "message";
const BOM: &[u8] = b"\xEF\xBB\xBF";
/// The fields that mean something.
const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];
/// A one in each byte.
#[cfg(any(test, not(feature = "std")))]
const EACH: u64 = 0x0101_0101_0101_0101;
/// After so many bytes it is known whether a line counts: a BOM, the longest name of a field and its colon.
const TELLING: usize = 9;

/// One event of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Message {
    /// `message` where the server gave no name.
    pub(crate) event: Arc<str>,
    /// The last id that the server gave, with this message or before.
    pub(crate) id: Arc<str>,
    pub(crate) data: String,
}

/// A message is longer than the decoder may hold; the stream is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Reads one stream, from its first byte on.
pub(crate) struct Decoder {
    max: usize,
    given_up: bool,
    /// The last byte was a CR: an LF now belongs to it.
    after_cr: bool,
    /// No line has ended yet, so there may be a BOM.
    first: bool,
    /// The line that has not ended is a comment or unknown, and nothing of it is kept.
    skip: bool,
    /// What has come of the line that has not ended.
    line: Vec<u8>,
    event: Option<Arc<str>>,
    /// The last name. Most messages have the name and the id of the one before, so these are shared.
    last_event: Arc<str>,
    id: Arc<str>,
    /// None where no line of data has come, which is not the same as an empty one.
    data: Option<String>,
    retry: Option<Duration>,
}

impl Decoder {
    /// `max`: the bytes of one message (name, id, data and the line that is being read) before it is an error.
    /// Comments and unknown fields are not kept and do not count.
    pub(crate) fn new(max: usize) -> Decoder {
        Decoder {
            max,
            given_up: false,
            after_cr: false,
            first: true,
            skip: false,
            line: Vec::new(),
            event: None,
            last_event: "".into(),
            id: "".into(),
            data: None,
            retry: None,
        }
    }

    /// Calls `each` with every message that is complete.
    ///
    /// # Errors
    /// [`TooLong`], and again each time it is called after that.
    pub(crate) fn push(&mut self, chunk: &[u8], mut each: impl FnMut(Message)) -> Result<(), TooLong> {
        let mut rest = chunk;
        if self.given_up {
            return Err(TooLong);
        }
        while !rest.is_empty() {
            if mem::take(&mut self.after_cr)
                && let Some(after) = rest.strip_prefix(b"\n")
            {
                rest = after;
                continue;
            }
            let (line, after) = rest.split_at_checked(line_length(rest)).unwrap_or((rest, &[]));
            let Some((end, after)) = after.split_first() else { return self.hold(line) };
            rest = after;
            self.after_cr = *end == b'\r';
            if let Some(message) = self.end_line(line)? {
                each(message);
            }
        }
        Ok(())
    }

    /// The last wait that the server asked for before a reconnect.
    #[cfg_attr(
        not(any(test, fuzzing, feature = "test-exports")),
        expect(dead_code, reason = "this server never asks for one")
    )]
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Keeps a part of a line whose end is not here yet.
    fn hold(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.skip {
            return Ok(());
        }
        // First no more than tells whether the rest is wanted at all.
        let telling = TELLING.saturating_sub(self.line.len());
        let (head, tail) = part.split_at_checked(telling).unwrap_or((part, &[]));
        self.line.extend_from_slice(head);
        let line = if self.first { without_bom(&self.line) } else { &self.line };
        match line.iter().position(|b| *b == b':') {
            Some(colon) if FIELDS.iter().any(|field| line.get(..colon) == Some(field)) => {
                let length = line.len() + tail.len();
                self.fits(length)?;
                self.line.extend_from_slice(tail);
            }
            None if BOM.starts_with(line) || FIELDS.iter().any(|field| field.starts_with(line)) => {}
            _ => {
                self.skip = true;
                self.line = Vec::new();
            }
        }
        Ok(())
    }

    /// `part`: what the line has beyond the part that is held.
    fn end_line(&mut self, part: &[u8]) -> Result<Option<Message>, TooLong> {
        if !self.line.is_empty() {
            self.hold(part)?;
        }
        let held = mem::take(&mut self.line);
        let line = if held.is_empty() { part } else { &held };
        let line = if mem::take(&mut self.first) { without_bom(line) } else { line };
        if mem::take(&mut self.skip) {
            return Ok(None);
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        self.field(line)?;
        Ok(None)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), TooLong> {
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        if !FIELDS.contains(&name) {
            return Ok(());
        }
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = decode(value);
        // A character that replaces a bad byte is longer than that.
        self.fits(line.len() + text.len().saturating_sub(value.len()))?;
        match name {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&text);
                }
                None => self.data = Some(text.into_owned()),
            },
            b"event" => {
                if *text != *self.last_event {
                    self.last_event = text.into();
                }
                self.event = Some(self.last_event.clone());
            }
            b"id" if *text != *self.id && !has(&text, "\0") => self.id = text.into(),
            b"retry" if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                // More digits than fit mean for ever.
                self.retry = Some(Duration::from_millis(text.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
        Ok(())
    }

    /// An empty line ends the message; without data there is none.
    fn dispatch(&mut self) -> Option<Message> {
        let event = self.event.take().filter(|event| !event.is_empty());
        let data = self.data.take()?;
        let event = event.unwrap_or_else(|| MESSAGE.into());
        Some(Message { event, id: self.id.clone(), data })
    }

    /// Whether the message may have a line of this length.
    fn fits(&mut self, line: usize) -> Result<(), TooLong> {
        self.given_up = self.kept().saturating_add(line) > self.max;
        if self.given_up { Err(TooLong) } else { Ok(()) }
    }

    /// The bytes of the message so far.
    fn kept(&self) -> usize {
        self.event.as_ref().map_or(0, |event| event.len()) + self.id.len() + self.data.as_ref().map_or(0, String::len)
    }

    /// All bytes that wait for more.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn held(&self) -> usize {
        self.kept() + self.line.len()
    }

    /// The memory behind [`Decoder::held`].
    #[cfg(any(test, fuzzing))]
    pub(crate) fn reserved(&self) -> usize {
        let strings = self.last_event.len() + self.id.len() + self.data.as_ref().map_or(0, String::capacity);
        strings + self.line.capacity()
    }
}

fn without_bom(line: &[u8]) -> &[u8] {
    line.strip_prefix(BOM).unwrap_or(line)
}

/// The bytes up to the first CR or LF.
fn line_length(bytes: &[u8]) -> usize {
    let ends = |b: &u8| *b == b'\n' || *b == b'\r';
    // Blocks without a branch for each byte, which the compiler turns into vector instructions.
    #[cfg(feature = "std")]
    let plain =
        bytes.chunks_exact(32).take_while(|block| !block.iter().fold(false, |any, b| any | ends(b))).count() * 32;
    #[cfg(not(feature = "std"))]
    let plain = plain_words(bytes);
    let rest = bytes.get(plain..).unwrap_or_default();
    plain + rest.iter().position(ends).unwrap_or(rest.len())
}

/// How many bytes come before the eight in which the first CR or LF stands: for WebAssembly, which has no such vectors.
#[cfg(any(test, not(feature = "std")))]
fn plain_words(bytes: &[u8]) -> usize {
    let has = |word: u64, byte: u8| {
        let same = word ^ (EACH * u64::from(byte));
        same.wrapping_sub(EACH) & !same & (EACH * 0x80) != 0
    };
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.take_while(|word| !has(*word, b'\n') && !has(*word, b'\r')).count() * 8
}

fn decode(bytes: &[u8]) -> Cow<'_, str> {
    // The lossy decoder alone goes byte by byte.
    core::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod oracle;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    /// What a stream comes to: its messages, the wait before a reconnect, and whether it was given up.
    type Whole = (Vec<Message>, Option<Duration>, bool);

    fn read<'a>(max: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Whole {
        let mut decoder = Decoder::new(max);
        let (mut messages, mut too_long) = (Vec::new(), false);
        for chunk in chunks {
            too_long |= decoder.push(chunk, |message| messages.push(message)).is_err();
            assert!(decoder.held() <= max.saturating_add(TELLING), "holds {} of {max}", decoder.held());
            assert!(decoder.reserved() <= 2 * max + 64, "reserves {} for {max}", decoder.reserved());
        }
        (messages, decoder.retry(), too_long)
    }

    /// The pieces between these places, in order.
    pub(super) fn cut<'a>(stream: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
        let mut places: Vec<usize> = places.iter().map(|place| place.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
    }

    /// Pieces of which streams are made: whole fields, parts of them, line ends, and bytes that are no text.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let words = [
            "data",
            "event",
            "id",
            "retry",
            ":",
            ": ",
            "\n",
            "\n",
            "\r",
            "\r\n",
            "\n\n",
            "data: a",
            "data: \u{1F600}",
            "retry: 12",
            "id: 1\0",
            "\u{feff}",
            "é",
            "da",
            "ev",
            "0123456789",
        ];
        let word = prop::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec());
        let bytes = prop_oneof![Just(vec![0xef, 0xbb, 0xbf]), vec(any::<u8>(), 1..3), Just(vec![0xf0, 0x9f])];
        vec(prop_oneof![8 => word, 1 => bytes], 0..60).prop_map(|pieces| pieces.concat())
    }

    /// A value that an encoder can write: no line end.
    const VALUE: &str = "[^\r\n]{0,20}";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn cuts_change_nothing(stream in stream(), places in vec(any::<Index>(), 0..20), max in 0usize..80) {
            let whole = read(max, [stream.as_slice()]);
            prop_assert_eq!(&read(max, cut(&stream, &places)), &whole);
            prop_assert_eq!(&read(max, stream.chunks(1)), &whole);
        }

        #[test]
        fn anything_may_come(
            stream in vec(any::<u8>(), 0..400), places in vec(any::<Index>(), 0..9), max in 0usize..200
        ) {
            prop_assert_eq!(read(max, cut(&stream, &places)), read(max, [stream.as_slice()]));
        }

        #[test]
        fn bytes_that_are_not_text_are_replaced_as_in_the_whole_stream(
            stream in stream(), places in vec(any::<Index>(), 0..20)
        ) {
            let text = String::from_utf8_lossy(&stream);
            prop_assert_eq!(read(9999, cut(&stream, &places)), read(9999, [text.as_bytes()]));
        }

        #[test]
        fn what_is_written_is_read(
            messages in vec((VALUE, "[^\r\n\0]{0,20}", vec(VALUE, 1..4)), 0..6),
            end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
            places in vec(any::<Index>(), 0..20),
        ) {
            let mut stream = String::new();
            for (event, id, data) in &messages {
                stream += &format!("event: {event}{end}id: {id}{end}: comment{end}");
                data.iter().for_each(|line| stream += &format!("data: {line}{end}"));
                stream += end;
            }
            let wanted: Vec<Message> = messages.into_iter().map(|(event, id, data)| Message {
                event: if event.is_empty() { "message".into() } else { event.into() },
                id: id.into(),
                data: data.join("\n"),
            }).collect();
            prop_assert_eq!(read(9999, cut(stream.as_bytes(), &places)), (wanted, None, false));
        }

        #[test]
        fn a_line_ends_at_its_first_cr_or_lf(bytes in vec(prop_oneof![20 => Just(b'x'), 1 => any::<u8>()], 0..200)) {
            let wanted = bytes.iter().position(|b| [b'\r', b'\n'].contains(b)).unwrap_or(bytes.len());
            prop_assert_eq!(line_length(&bytes), wanted);
            prop_assert_eq!(plain_words(&bytes), wanted / 8 * 8);
        }
    }

    #[test]
    fn a_comment_without_end_is_not_kept() {
        for start in [": ", "other: ", "\u{feff}:", "datax", "idx:"] {
            let mut decoder = Decoder::new(10);
            decoder.push(start.as_bytes(), |_| panic!()).unwrap();
            for _ in 0..1000 {
                decoder.push(&[b'x'; 1000], |_| panic!()).unwrap();
                assert_eq!(decoder.reserved(), 0, "{start:?}");
            }
            let mut came = 0;
            decoder.push(b"\ndata: a\n\n", |message| came += message.data.len()).unwrap();
            assert_eq!(came, 1, "{start:?}");
        }
    }

    #[test]
    fn a_retry_beyond_all_numbers_is_the_longest() {
        let (_, retry, _) = read(99, [&b"retry: 99999999999999999999999\n"[..]]);
        assert_eq!(retry, Some(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn a_message_in_one_chunk_is_copied_once() {
        let line = [b"data: ".as_slice(), &[b'x'; 1500], b"\n\n"].concat();
        let mut decoder = Decoder::new(9999);
        decoder.push(&line, |message| assert_eq!((message.data.len(), message.data.capacity()), (1500, 1500))).unwrap();
        assert_eq!(decoder.reserved(), 0);
    }
}
