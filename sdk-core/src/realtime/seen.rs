//! What is known of a topic's records: enough to put events in order and to find out what a gap has swallowed.
//!
//! The server sends events from independent tasks, so they may overtake each other, and a new stream or a fetch after a
//! gap brings some of them again. Each record's newest `updated` decides: what is older is dropped, what is the same to
//! the last byte is a double. Several changes within one millisecond have the same `updated`, so all of their hashes are
//! kept.

use alloc::{boxed::Box, vec::Vec};

/// What is known of one record.
#[derive(Debug, Clone)]
struct Entry {
    id: Box<str>,
    /// Unix milliseconds.
    updated: u64,
    /// The last version delivered.
    last: u64,
    /// The other versions delivered with the same `updated`.
    same: Vec<u64>,
    deleted: bool,
    /// When it was last delivered, counted in events.
    turn: u64,
}

/// What an event is to what was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The first of this record, or the first after its deletion.
    New,
    /// A later change.
    Later,
    /// To be delivered, but which of two is the later cannot be told: the server must be asked.
    Unsure,
    /// Already delivered, or overtaken.
    Old,
}

impl Verdict {
    pub(crate) fn is_news(self) -> bool {
        self != Verdict::Old
    }
}

/// One version of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version<'a> {
    pub(crate) id: &'a str,
    pub(crate) updated: u64,
    pub(crate) hash: u64,
}

/// The records of a topic: a hash table with open addressing, which forgets the older half when it is full.
#[derive(Debug)]
pub(crate) struct Seen {
    slots: Vec<Option<Entry>>,
    used: usize,
    max: usize,
    turn: u64,
    forgot: bool,
}

impl Seen {
    pub(crate) fn new(max: u32) -> Seen {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Seen { slots: Vec::new(), used: 0, max, turn: 0, forgot: false }
    }

    /// Counts deliveries; a listener that joins now has seen nothing of before.
    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    /// Were records forgotten because there were too many?
    pub(crate) fn forgot(&self) -> bool {
        self.forgot
    }

    /// Takes note of a creation or a change.
    pub(crate) fn change(&mut self, version: Version<'_>) -> Verdict {
        self.turn += 1;
        let turn = self.turn;
        let Some(entry) = self.find(version.id) else {
            self.insert(version, turn);
            return Verdict::New;
        };
        if version.updated < entry.updated || (entry.deleted && version.updated == entry.updated) {
            return Verdict::Old;
        }
        let verdict = if version.updated == entry.updated {
            if entry.last == version.hash || entry.same.contains(&version.hash) {
                return Verdict::Old;
            }
            entry.same.push(entry.last);
            Verdict::Unsure
        } else {
            entry.same = Vec::new();
            if entry.deleted { Verdict::New } else { Verdict::Later }
        };
        (entry.updated, entry.last, entry.deleted, entry.turn) = (version.updated, version.hash, false, turn);
        verdict
    }

    /// Takes note of a deletion, which wins over every change but a later one. Unsure where a later change was seen:
    /// the deletion may be one that was overtaken by a new creation.
    pub(crate) fn delete(&mut self, version: Version<'_>) -> Verdict {
        self.turn += 1;
        let turn = self.turn;
        let Some(entry) = self.find(version.id) else {
            self.insert(version, turn);
            if let Some(entry) = self.find(version.id) {
                entry.deleted = true;
            }
            return Verdict::New;
        };
        if entry.deleted && version.updated <= entry.updated {
            return Verdict::Old;
        }
        let overtaken = version.updated < entry.updated;
        entry.updated = entry.updated.max(version.updated);
        (entry.deleted, entry.turn) = (true, turn);
        if overtaken { Verdict::Unsure } else { Verdict::Later }
    }

    /// The server says that this is the record now: is that what was delivered last?
    pub(crate) fn correct(&mut self, version: Version<'_>) -> Verdict {
        self.turn += 1;
        let turn = self.turn;
        match self.find(version.id) {
            None => self.change(version),
            Some(entry) if version.updated < entry.updated => Verdict::Old,
            Some(entry) if !entry.deleted && entry.last == version.hash => Verdict::Old,
            Some(entry) => {
                let verdict = if entry.deleted { Verdict::New } else { Verdict::Later };
                if version.updated == entry.updated {
                    entry.same.push(entry.last);
                } else {
                    entry.same = Vec::new();
                }
                (entry.updated, entry.last, entry.deleted, entry.turn) = (version.updated, version.hash, false, turn);
                verdict
            }
        }
    }

    /// The server says that a record is not there. When it was last delivered, unless that is known already.
    pub(crate) fn gone(&mut self, id: &str) -> Option<u64> {
        let entry = self.find(id).filter(|entry| !entry.deleted)?;
        entry.deleted = true;
        Some(entry.turn)
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        self.slot(id).and_then(|at| self.slots.get(at)).is_some_and(Option::is_some)
    }

    /// The ids of the records that were there when they were last heard of.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().flatten().filter(|entry| !entry.deleted).map(|entry| &*entry.id)
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        (self.slots, self.used, self.forgot) = (Vec::new(), 0, false);
    }

    fn find(&mut self, id: &str) -> Option<&mut Entry> {
        let at = self.slot(id)?;
        self.slots.get_mut(at)?.as_mut()
    }

    /// Where the record is, or where it would be.
    fn slot(&self, id: &str) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let start = usize::try_from(hash(id.as_bytes()) & u64::from(u32::MAX)).ok()?;
        (0..=mask).map(|step| start.wrapping_add(step) & mask).find(|at| match self.slots.get(*at) {
            Some(Some(entry)) => &*entry.id == id,
            _ => true,
        })
    }

    fn insert(&mut self, version: Version<'_>, turn: u64) {
        if self.used >= self.max {
            self.forget_older_half();
        }
        if self.used.saturating_mul(2) >= self.slots.len() {
            self.resize(self.slots.len().saturating_mul(2).max(16));
        }
        let entry = Entry {
            id: version.id.into(),
            updated: version.updated,
            last: version.hash,
            same: Vec::new(),
            deleted: false,
            turn,
        };
        self.put(entry);
    }

    fn put(&mut self, entry: Entry) {
        if let Some(slot) = self.slot(&entry.id).and_then(|at| self.slots.get_mut(at)) {
            *slot = Some(entry);
            self.used += 1;
        }
    }

    fn resize(&mut self, length: usize) {
        let mut empty = Vec::new();
        empty.resize_with(length, || None);
        let old = core::mem::replace(&mut self.slots, empty);
        self.used = 0;
        for entry in old.into_iter().flatten() {
            self.put(entry);
        }
    }

    fn forget_older_half(&mut self) {
        let mut turns: Vec<u64> = self.slots.iter().flatten().map(|entry| entry.turn).collect();
        turns.sort_unstable();
        let middle = turns.get(turns.len() / 2).copied().unwrap_or_default();
        for slot in &mut self.slots {
            if let Some(entry) = slot
                && entry.turn <= middle
            {
                // Of a record that is gone nothing can be missed.
                self.forgot |= !entry.deleted;
                *slot = None;
            }
        }
        self.resize(self.slots.len());
    }
}

/// A hash of some bytes, eight at a time. It need not resist an attacker: whoever can write records can do worse.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let mut out = words.iter().fold(bytes.len() as u64, |out, word| mix(out, u64::from_le_bytes(*word)));
    for byte in rest {
        out = mix(out, u64::from(*byte));
    }
    out ^ (out >> 32)
}
