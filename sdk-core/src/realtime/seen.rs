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
    /// Of the id.
    hash: usize,
    /// Unix milliseconds.
    updated: u64,
    /// The last version delivered.
    last: u64,
    /// The other versions delivered with the same `updated`.
    same: Vec<u64>,
    deleted: bool,
    /// The `updated` of the last deletion delivered.
    gone: Option<u64>,
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
    entries: Vec<Entry>,
    /// Where each stands among the entries, counted from one; 0 where there is none. It is looked up in little memory.
    slots: Vec<u32>,
    max: usize,
    turn: u64,
    forgot: bool,
}

impl Seen {
    pub(crate) fn new(max: u32) -> Seen {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Seen { entries: Vec::new(), slots: Vec::new(), max, turn: 0, forgot: false }
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
                (entry.deleted, entry.gone) = (true, Some(version.updated));
            }
            return Verdict::New;
        };
        let known = if entry.deleted { Some(entry.updated) } else { entry.gone };
        if known.is_some_and(|known| version.updated <= known) {
            return Verdict::Old;
        }
        let overtaken = version.updated < entry.updated;
        entry.updated = entry.updated.max(version.updated);
        (entry.deleted, entry.gone, entry.turn) = (true, Some(version.updated), turn);
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

    /// The server, asked at this turn, says that a record is not there. When it was last delivered, unless that is known
    /// already, or it has come (back) since.
    pub(crate) fn gone(&mut self, id: &str, asked: u64) -> Option<u64> {
        let entry = self.find(id).filter(|entry| !entry.deleted && entry.turn <= asked)?;
        entry.deleted = true;
        Some(entry.turn)
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        self.place(id, hash_id(id)).is_some()
    }

    /// The ids of the records that were there when they were last heard of.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| !entry.deleted).map(|entry| &*entry.id)
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        (self.entries, self.slots, self.forgot) = (Vec::new(), Vec::new(), false);
    }

    fn find(&mut self, id: &str) -> Option<&mut Entry> {
        let at = self.place(id, hash_id(id))?;
        self.entries.get_mut(at)
    }

    /// Where the record stands among the entries.
    fn place(&self, id: &str, hash: usize) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash & mask;
        // Half of the slots are free, so this ends.
        loop {
            let at = (*self.slots.get(slot)?).checked_sub(1)? as usize;
            let entry = self.entries.get(at)?;
            if entry.hash == hash && *entry.id == *id {
                return Some(at);
            }
            slot = slot.wrapping_add(1) & mask;
        }
    }

    fn insert(&mut self, version: Version<'_>, turn: u64) {
        if self.entries.len() >= self.max {
            self.forget_older_half();
        }
        let entry = Entry {
            id: version.id.into(),
            hash: hash_id(version.id),
            updated: version.updated,
            last: version.hash,
            same: Vec::new(),
            deleted: false,
            gone: None,
            turn,
        };
        let hash = entry.hash;
        self.entries.push(entry);
        if self.entries.len().saturating_mul(2) > self.slots.len() {
            self.resize(self.slots.len().saturating_mul(2).max(16));
        } else {
            put(&mut self.slots, hash, self.entries.len());
        }
    }

    /// Makes the slots anew.
    fn resize(&mut self, length: usize) {
        self.slots.clear();
        self.slots.resize(length, 0);
        for (at, entry) in (1..).zip(&self.entries) {
            put(&mut self.slots, entry.hash, at);
        }
    }

    /// The turn of the entry in the middle, in the order of their turns. Found by halving, which is less work than to
    /// sort them.
    fn middle_turn(&self) -> u64 {
        let (mut low, mut high) = (0, self.turn);
        while low < high {
            let middle = low + (high - low) / 2;
            let older = self.entries.iter().filter(|entry| entry.turn <= middle).count();
            if older > self.entries.len() / 2 { high = middle } else { low = middle + 1 }
        }
        low
    }

    fn forget_older_half(&mut self) {
        let middle = self.middle_turn();
        self.entries.retain(|entry| {
            let stays = entry.turn > middle;
            // Of a record that is gone nothing can be missed.
            self.forgot |= !stays && !entry.deleted;
            stays
        });
        self.resize(self.slots.len());
    }
}

/// Notes an entry in the first slot that is free. Half of them are.
fn put(slots: &mut [u32], hash: usize, at: usize) {
    let mask = slots.len().saturating_sub(1);
    let mut slot = hash & mask;
    while slots.get(slot).is_some_and(|taken| *taken != 0) {
        slot = slot.wrapping_add(1) & mask;
    }
    if let Some(free) = slots.get_mut(slot) {
        *free = u32::try_from(at).unwrap_or_default();
    }
}

fn hash_id(id: &str) -> usize {
    usize::try_from(hash(id.as_bytes()) & u64::from(u32::MAX)).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap, HashSet};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn version(id: &str, updated: u64, hash: u64) -> Version<'_> {
        Version { id, updated, hash }
    }

    fn alive(seen: &Seen) -> BTreeSet<String> {
        seen.alive().map(str::to_string).collect()
    }

    #[test]
    fn what_is_older_or_the_same_does_not_pass() {
        let mut seen = Seen::new(10);
        assert_eq!(seen.change(version("a", 2, 1)), Verdict::New);
        assert_eq!(seen.change(version("a", 2, 1)), Verdict::Old);
        assert_eq!(seen.change(version("a", 1, 2)), Verdict::Old);
        assert_eq!(seen.change(version("a", 3, 3)), Verdict::Later);
        assert_eq!(seen.change(version("a", 2, 1)), Verdict::Old);
        assert!(Verdict::Unsure.is_news() && !Verdict::Old.is_news());
    }

    #[test]
    fn doubles_are_known_among_several_versions_of_one_moment() {
        let mut seen = Seen::new(10);
        assert_eq!(seen.change(version("a", 1, 10)), Verdict::New);
        for hash in [11, 12, 13] {
            assert_eq!(seen.change(version("a", 1, hash)), Verdict::Unsure);
        }
        for hash in [10, 11, 12, 13] {
            assert_eq!(seen.change(version("a", 1, hash)), Verdict::Old, "{hash}");
        }
    }

    #[test]
    fn a_delete_wins_until_a_later_change() {
        let mut seen = Seen::new(10);
        assert_eq!(seen.delete(version("a", 5, 1)), Verdict::New);
        assert_eq!(seen.delete(version("a", 5, 1)), Verdict::Old);
        assert_eq!(seen.change(version("a", 5, 2)), Verdict::Old);
        assert_eq!(alive(&seen), BTreeSet::new());
        assert_eq!(seen.change(version("a", 6, 3)), Verdict::New);
        assert_eq!(seen.delete(version("a", 6, 3)), Verdict::Later);
        assert_eq!(seen.change(version("a", 7, 4)), Verdict::New);
        assert_eq!(seen.delete(version("a", 6, 3)), Verdict::Old, "that one is known");
        assert_eq!(seen.change(version("a", 9, 5)), Verdict::Later);
        assert_eq!(seen.delete(version("a", 8, 6)), Verdict::Unsure, "which of the two is the later?");
        assert_eq!(seen.change(version("a", 9, 5)), Verdict::Old);
    }

    #[test]
    fn the_server_corrects_what_was_delivered_last() {
        let mut seen = Seen::new(10);
        assert_eq!(seen.correct(version("a", 1, 1)), Verdict::New);
        assert_eq!(seen.correct(version("a", 1, 1)), Verdict::Old);
        assert_eq!(seen.change(version("a", 1, 2)), Verdict::Unsure);
        assert_eq!(seen.correct(version("a", 1, 1)), Verdict::Later, "delivered before, but not last");
        assert_eq!(seen.correct(version("a", 1, 1)), Verdict::Old);
        assert_eq!(seen.correct(version("a", 0, 3)), Verdict::Old, "a later change came while the server was asked");
        assert_eq!(seen.change(version("a", 1, 2)), Verdict::Old);
        assert!(seen.delete(version("a", 1, 1)).is_news());
        assert_eq!(seen.correct(version("a", 1, 1)), Verdict::New, "the delete was overtaken");
    }

    #[test]
    fn gone_is_told_once_with_the_turn_of_the_last_delivery() {
        let mut seen = Seen::new(10);
        assert_eq!(seen.gone("a", 0), None);
        seen.change(version("a", 1, 1));
        let turn = seen.turn();
        seen.change(version("b", 1, 1));
        seen.change(version("a", 1, 1));
        assert_eq!(seen.gone("a", turn - 1), None, "it came after the question");
        assert_eq!(seen.gone("a", turn), Some(turn));
        assert_eq!(seen.gone("a", turn), None);
        assert_eq!(alive(&seen), BTreeSet::from(["b".to_string()]));
        assert!(seen.knows("a") && !seen.knows("c"));
        seen.clear();
        assert!(!seen.knows("a") && !seen.forgot() && seen.turn() > turn);
    }

    #[test]
    fn a_table_of_one_record_works() {
        let mut seen = Seen::new(1);
        assert_eq!(seen.change(version("a", 1, 1)), Verdict::New);
        assert!(!seen.forgot());
        assert_eq!(seen.change(version("b", 1, 1)), Verdict::New);
        assert!(seen.forgot() && seen.knows("b") && !seen.knows("a"));
    }

    #[test]
    fn hashes_differ_in_every_byte_and_length() {
        let base = [7_u8; 40];
        let mut hashes = HashSet::new();
        for length in 0..=base.len() {
            hashes.insert(hash(&base[..length]));
        }
        for at in 0..base.len() {
            let mut other = base;
            other[at] ^= 1;
            hashes.insert(hash(&other));
        }
        assert_eq!(hashes.len(), 2 * base.len() + 1);
    }

    #[derive(Debug, Clone, Copy)]
    enum Op {
        Change,
        Delete,
        Correct,
        Gone,
    }

    fn ops(ids: u8) -> impl Strategy<Value = Vec<(Op, u8, u64, u64)>> {
        let op = prop_oneof![5 => Just(Op::Change), 2 => Just(Op::Delete), 1 => Just(Op::Correct), 1 => Just(Op::Gone)];
        vec((op, 0..ids, 0..6_u64, 0..4_u64), 0..200)
    }

    /// What the table should do, said with a map that forgets nothing.
    #[derive(Default)]
    struct Model {
        records: HashMap<String, Known>,
        turn: u64,
    }

    struct Known {
        updated: u64,
        last: u64,
        delivered: HashSet<u64>,
        deleted: bool,
        gone: Option<u64>,
        turn: u64,
    }

    impl Model {
        fn deliver(&mut self, version: Version<'_>, deleted: bool) {
            let known = self.records.entry(version.id.to_string()).or_insert_with(|| Known {
                updated: version.updated,
                last: 0,
                delivered: HashSet::new(),
                deleted,
                gone: None,
                turn: 0,
            });
            if version.updated > known.updated {
                known.delivered.clear();
            }
            if !deleted || known.delivered.is_empty() {
                known.last = version.hash;
            }
            known.delivered.insert(version.hash);
            (known.updated, known.deleted, known.turn) = (known.updated.max(version.updated), deleted, self.turn);
        }

        fn change(&mut self, version: Version<'_>) -> Verdict {
            self.turn += 1;
            let verdict = match self.records.get(version.id) {
                None => Verdict::New,
                Some(known) if version.updated < known.updated => return Verdict::Old,
                Some(known) if version.updated > known.updated && known.deleted => Verdict::New,
                Some(known) if version.updated > known.updated => Verdict::Later,
                Some(known) if known.deleted || known.delivered.contains(&version.hash) => return Verdict::Old,
                Some(_) => Verdict::Unsure,
            };
            self.deliver(version, false);
            verdict
        }

        fn delete(&mut self, version: Version<'_>) -> Verdict {
            self.turn += 1;
            let verdict = match self.records.get(version.id) {
                None => Verdict::New,
                Some(known) if known.deleted && version.updated <= known.updated => return Verdict::Old,
                Some(known) if known.gone.is_some_and(|gone| version.updated <= gone) => return Verdict::Old,
                Some(known) if version.updated < known.updated => Verdict::Unsure,
                Some(_) => Verdict::Later,
            };
            self.deliver(version, true);
            self.records.entry(version.id.to_string()).and_modify(|known| known.gone = Some(version.updated));
            verdict
        }

        fn gone(&mut self, id: &str) -> Option<u64> {
            let known = self.records.get_mut(id).filter(|known| !known.deleted)?;
            known.deleted = true;
            Some(known.turn)
        }

        fn alive(&self) -> BTreeSet<String> {
            self.records.iter().filter(|(_, known)| !known.deleted).map(|(id, _)| id.clone()).collect()
        }
    }

    proptest! {
        /// As long as nothing was forgotten the table says what a map would. Hashes here tell one moment's versions
        /// apart, as those of real records do, in which `updated` stands.
        #[test]
        fn changes_and_deletes_are_judged_as_the_model_does(ops in ops(4)) {
            let (mut seen, mut model) = (Seen::new(1000), Model::default());
            for (op, id, updated, hash) in ops {
                let id = format!("id{id}");
                let version = version(&id, updated, updated * 10 + hash);
                match op {
                    Op::Change => prop_assert_eq!(seen.change(version), model.change(version)),
                    Op::Delete => prop_assert_eq!(seen.delete(version), model.delete(version)),
                    Op::Correct => {}
                    Op::Gone => prop_assert_eq!(seen.gone(&id, seen.turn()), model.gone(&id)),
                }
                prop_assert_eq!(alive(&seen), model.alive());
                prop_assert_eq!(seen.turn(), model.turn);
                prop_assert!(!seen.forgot());
            }
        }

        /// A consumer never goes back, and what the server last said is what it has.
        #[test]
        fn a_consumer_never_goes_back(ops in ops(3)) {
            let mut seen = Seen::new(1000);
            let mut newest: HashMap<String, u64> = HashMap::new();
            let mut shown: HashMap<String, u64> = HashMap::new();
            for (op, id, updated, hash) in ops {
                let id = format!("id{id}");
                let version = version(&id, updated, updated * 10 + hash);
                let floor = newest.get(&id).copied().unwrap_or_default();
                match op {
                    Op::Change | Op::Correct => {
                        let correct = matches!(op, Op::Correct);
                        let verdict = if correct { seen.correct(version) } else { seen.change(version) };
                        if verdict.is_news() {
                            prop_assert!(updated >= floor);
                            prop_assert_ne!(shown.insert(id.clone(), version.hash), Some(version.hash));
                            newest.insert(id, updated);
                        } else if correct {
                            let is_shown = shown.get(&id) == Some(&version.hash);
                            prop_assert!(updated < floor || is_shown);
                        }
                    }
                    Op::Delete => {
                        let verdict = seen.delete(version);
                        if verdict.is_news() {
                            prop_assert!(!alive(&seen).contains(&id));
                            shown.remove(&id);
                            newest.insert(id, floor.max(updated));
                        }
                    }
                    Op::Gone => {
                        prop_assert_eq!(seen.gone(&id, seen.turn()).is_some(), shown.remove(&id).is_some());
                    }
                }
            }
        }

        /// However many records there are, the table is bounded, and it says so when a record that is there was
        /// forgotten, and only then.
        #[test]
        fn a_small_table_is_bounded_and_honest(ops in ops(40), max in 1..20_u32) {
            let mut seen = Seen::new(max);
            let mut there: BTreeSet<String> = BTreeSet::new();
            let mut forgot = false;
            for (op, id, updated, hash) in ops {
                let id = format!("id{id}");
                let version = version(&id, updated, updated * 10 + hash);
                match op {
                    Op::Change | Op::Correct => {
                        let correct = matches!(op, Op::Correct);
                        let verdict = if correct { seen.correct(version) } else { seen.change(version) };
                        if verdict.is_news() {
                            there.insert(id.clone());
                        }
                        prop_assert!(seen.knows(&id), "the last one is always known");
                    }
                    Op::Delete => {
                        if seen.delete(version).is_news() {
                            there.remove(&id);
                        }
                        prop_assert!(seen.knows(&id));
                    }
                    Op::Gone => {
                        let knew = alive(&seen).contains(&id);
                        prop_assert_eq!(seen.gone(&id, seen.turn()).is_some(), knew);
                        if knew {
                            there.remove(&id);
                        }
                    }
                }
                let known = alive(&seen);
                let slots = seen.slots.iter().filter(|slot| **slot != 0).count();
                prop_assert!(seen.entries.len() <= usize::try_from(max).unwrap());
                prop_assert_eq!(slots, seen.entries.len());
                prop_assert!(seen.slots.len() <= 16.max(4 * usize::try_from(max).unwrap()));
                prop_assert!(known.is_subset(&there));
                if !seen.forgot() {
                    prop_assert_eq!(&known, &there);
                } else if !forgot {
                    prop_assert_ne!(&known, &there, "it forgot nothing that is there");
                    forgot = true;
                }
            }
        }
    }
}
