//! From one list to the next: the changes between them, as few as there can be.

use alloc::{string::String, vec::Vec};

use super::LiveChange;
use crate::json::Json;

/// A record of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: String,
    /// When it was changed last, as the server wrote it; empty where the collection has no such field.
    pub(super) updated: String,
    pub(super) body: Json,
}

impl Entry {
    /// None for an item that is no record.
    pub(super) fn read(body: Json) -> Option<Entry> {
        let [id, updated] = body.peek(["id", "updated"]).map(|field| field.and_then(|field| field.as_str()));
        Some(Entry { id: id?, updated: updated.unwrap_or_default(), body })
    }
}

/// Where each id stands in a list, sorted by id.
pub(super) struct Places<'a> {
    entries: &'a [Entry],
    sorted: Vec<usize>,
}

impl<'a> Places<'a> {
    pub(super) fn of(entries: &'a [Entry]) -> Places<'a> {
        let mut sorted: Vec<usize> = (0..entries.len()).collect();
        sorted.sort_unstable_by_key(|at| entries.get(*at).map(|entry| &entry.id));
        Places { entries, sorted }
    }

    pub(super) fn find(&self, id: &str) -> Option<usize> {
        let id_at = |at: &usize| self.entries.get(*at).map_or("", |entry| entry.id.as_str());
        let found = self.sorted.binary_search_by(|at| id_at(at).cmp(id)).ok()?;
        self.sorted.get(found).copied()
    }

    pub(super) fn entry(&self, id: &str) -> Option<&'a Entry> {
        self.entries.get(self.find(id)?)
    }
}

/// What turns `old` into `new`: first who leaves, then who enters or moves, as few as possible, then what has changed.
/// The ids of a list differ from each other.
pub(super) fn changes(old: &[Entry], new: &[Entry]) -> Vec<LiveChange<Json>> {
    let (before, after) = (Places::of(old), Places::of(new));
    let mut out = Vec::new();
    // Who stays, by its place in the new list.
    let mut list = Vec::with_capacity(new.len());
    for (index, entry) in old.iter().enumerate().rev() {
        match after.find(&entry.id) {
            Some(place) => list.push(place),
            None => out.push(LiveChange::Leave { index, id: entry.id.clone() }),
        }
    }
    list.reverse();
    let resting = longest_rise(&list);
    let mut next = 0;
    for (place, entry) in new.iter().enumerate() {
        let id = entry.id.clone();
        if resting.binary_search(&place).is_ok() {
            let way = list.iter().skip(next).position(|other| *other == place);
            next = next.saturating_add(way.unwrap_or_default());
        } else if before.find(&id).is_some() {
            let from = list.iter().position(|other| *other == place).unwrap_or_default();
            // Those that have yet to move may stand before it.
            let to = if from < next { next.saturating_sub(1) } else { next };
            list.remove(from);
            list.insert(to.min(list.len()), place);
            out.push(LiveChange::Move { from, to, id });
            next = to;
        } else {
            let index = next.min(list.len());
            list.insert(index, place);
            out.push(LiveChange::Enter { index, id, record: entry.body.clone() });
        }
        next = next.saturating_add(1);
    }
    for (index, entry) in new.iter().enumerate() {
        if before.entry(&entry.id).is_some_and(|old| old.body != entry.body) {
            out.push(LiveChange::Change { index, id: entry.id.clone(), record: entry.body.clone() });
        }
    }
    out
}

/// The longest rising subsequence of different numbers.
fn longest_rise(numbers: &[usize]) -> Vec<usize> {
    // For each length: the lowest number that ends a rise of it. For each number: the one before it in its rise.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<(usize, Option<usize>)> = Vec::with_capacity(numbers.len());
    for number in numbers {
        let length = ends.partition_point(|end| end < number);
        before.push((*number, length.checked_sub(1).and_then(|at| ends.get(at)).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = *number,
            None => ends.push(*number),
        }
    }
    let (mut rise, mut wanted) = (Vec::with_capacity(ends.len()), ends.last().copied());
    for (number, previous) in before.into_iter().rev() {
        if wanted == Some(number) {
            rise.push(number);
            wanted = previous;
        }
    }
    rise.reverse();
    rise
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn list(entries: &[(u8, u8)]) -> Vec<Entry> {
        let mut list: Vec<Entry> = Vec::new();
        for (id, body) in entries {
            let id = format!("r{id}");
            if !list.iter().any(|entry| entry.id == id) {
                list.push(Entry { id, updated: String::new(), body: Json::int(i64::from(*body)) });
            }
        }
        list
    }

    fn bodies(list: &[Entry]) -> Vec<Json> {
        list.iter().map(|entry| entry.body.clone()).collect()
    }

    /// The length of the longest rise, by trying all pairs.
    fn longest(numbers: &[usize]) -> usize {
        let mut best: Vec<usize> = Vec::new();
        for (at, number) in numbers.iter().enumerate() {
            let before = (0..at).filter(|b| numbers[*b] < *number).map(|b| best[b]).max().unwrap_or(0);
            best.push(before + 1);
        }
        best.into_iter().max().unwrap_or(0)
    }

    fn entries() -> impl Strategy<Value = Vec<(u8, u8)>> {
        vec((0u8..40, 0u8..3), 0..40)
    }

    proptest! {
        #[test]
        fn the_changes_lead_to_the_new_list(old in entries(), new in entries()) {
            let (old, new) = (list(&old), list(&new));
            let changes = changes(&old, &new);
            let mut view = bodies(&old);
            let mut ids: Vec<String> = old.iter().map(|entry| entry.id.clone()).collect();
            let (mut moves, mut phase) = (0, 0);
            for change in changes {
                // Each names the record that it is about, where it stands, and comes in its turn.
                let now = match &change {
                    LiveChange::Leave { index, id } => {
                        prop_assert_eq!(&ids.remove(*index), id);
                        0
                    }
                    LiveChange::Enter { index, id, .. } => {
                        prop_assert!(!ids.contains(id) && *index <= ids.len());
                        ids.insert(*index, id.clone());
                        1
                    }
                    LiveChange::Move { from, to, id } => {
                        prop_assert!(from != to, "a move moves");
                        let moved = ids.remove(*from);
                        prop_assert_eq!(&moved, id);
                        ids.insert(*to, moved);
                        moves += 1;
                        1
                    }
                    LiveChange::Change { index, id, record } => {
                        prop_assert_eq!(&ids[*index], id);
                        prop_assert!(&view[*index] != record, "a change changes");
                        2
                    }
                };
                prop_assert!(now >= phase);
                phase = now;
                change.apply(&mut view);
            }
            prop_assert_eq!(view, bodies(&new));
            prop_assert_eq!(ids, new.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>());
            let places = Places::of(&new);
            let stayed: Vec<usize> = old.iter().filter_map(|entry| places.find(&entry.id)).collect();
            prop_assert_eq!(moves, stayed.len() - longest(&stayed));
        }

        #[test]
        fn any_change_can_be_applied_to_any_list(size in 0usize..4, a in any::<usize>(), b in any::<usize>(), kind in 0..4) {
            let mut list: Vec<usize> = (0..size).collect();
            let id = String::new();
            let (change, grown) = match kind {
                0 => (LiveChange::Enter { index: a, id, record: 9 }, 1),
                1 => (LiveChange::Change { index: a % 5, id, record: 9 }, 0),
                2 => (LiveChange::Leave { index: a % 5, id }, if a % 5 < size { -1 } else { 0 }),
                _ => (LiveChange::Move { from: a % 5, to: b, id }, 0),
            };
            change.apply(&mut list);
            prop_assert_eq!(list.len().cast_signed(), size.cast_signed() + grown);
        }
    }

    #[test]
    fn what_stays_is_no_change() {
        let old = list(&[(1, 0), (2, 0), (3, 0)]);
        assert!(changes(&old, &old).is_empty());
        let moved = changes(&old, &list(&[(2, 0), (3, 0), (1, 0)]));
        assert_eq!(moved, [LiveChange::Move { from: 0, to: 2, id: "r1".to_string() }]);
    }
}
