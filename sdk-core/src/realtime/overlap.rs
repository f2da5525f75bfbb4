//! Messages that nothing tells apart, while one stream takes the place of another: each comes on both.

use alloc::vec::Vec;
use core::mem;

use super::{feed::Source, moment::Moment};

/// What only one of the two streams has brought so far, and when.
#[derive(Default)]
pub(super) struct Overlap {
    older: Vec<(u64, Moment)>,
    newer: Vec<(u64, Moment)>,
    /// Until when the newer stream, which is alone by now, may bring what the older one brought at its end.
    until: Moment,
}

impl Overlap {
    /// Is this the first stream on which the message came, for the so many-eth time?
    pub(super) fn is_first(&mut self, source: Source, hash: u64, now: Moment) -> bool {
        let alone = matches!(source, Source::Only | Source::Early);
        let late = now < self.until;
        if alone != late {
            *self = Overlap::default();
        }
        if alone && !late {
            return true;
        }
        let (own, other) = match source {
            Source::Older => (&mut self.older, &mut self.newer),
            _ => (&mut self.newer, &mut self.older),
        };
        match other.iter().position(|(seen, _)| *seen == hash) {
            Some(at) => {
                other.remove(at);
                false
            }
            None => {
                own.push((hash, now));
                true
            }
        }
    }

    /// There is one stream again. What the older one brought within the last `late` may still come on the newer one;
    /// what it brought before was sent before that was subscribed.
    pub(super) fn end(&mut self, now: Moment, late: Moment) {
        let mut older = mem::take(&mut self.older);
        older.retain(|(_, at)| now.since(*at) < late);
        *self = Overlap { older, newer: Vec::new(), until: now.plus(late) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Moment = Moment::ms(250);

    fn ms(n: u64) -> Moment {
        Moment::ms(n)
    }

    #[test]
    fn each_counts_once_on_two_streams() {
        let mut overlap = Overlap::default();
        let mut first = |source, hash| overlap.is_first(source, hash, ms(0));
        assert!(first(Source::Older, 1) && first(Source::Older, 1) && first(Source::Newer, 2));
        assert!(!first(Source::Newer, 1) && !first(Source::Older, 2));
        assert!(!first(Source::Newer, 1), "it came twice on the older one");
        assert!(first(Source::Newer, 1) && !first(Source::Older, 1));
    }

    #[test]
    fn one_stream_alone_has_no_doubles() {
        let mut overlap = Overlap::default();
        assert!(overlap.is_first(Source::Only, 1, ms(0)) && overlap.is_first(Source::Only, 1, ms(0)));
        // The replacement failed: what it was compared with is forgotten.
        assert!(overlap.is_first(Source::Newer, 2, ms(1)) && overlap.is_first(Source::Only, 2, ms(2)));
        assert!(overlap.is_first(Source::Older, 2, ms(3)));
    }

    #[test]
    fn the_newer_stream_may_be_late() {
        let mut overlap = Overlap::default();
        assert!(overlap.is_first(Source::Older, 1, ms(0)), "before the newer one was subscribed");
        assert!(overlap.is_first(Source::Older, 2, ms(490)));
        overlap.end(ms(500), LATE);
        assert!(overlap.is_first(Source::Only, 1, ms(510)), "another one that says the same");
        assert!(!overlap.is_first(Source::Only, 2, ms(510)));
        assert!(overlap.is_first(Source::Only, 2, ms(511)));
        // Too late to be the same, or the next replacement.
        assert!(overlap.is_first(Source::Older, 3, ms(600)));
        overlap.end(ms(700), LATE);
        assert!(overlap.is_first(Source::Only, 3, ms(950)));
        assert!(overlap.is_first(Source::Older, 4, ms(1000)));
        overlap.end(ms(1001), LATE);
        assert!(overlap.is_first(Source::Newer, 4, ms(1002)));
    }
}
