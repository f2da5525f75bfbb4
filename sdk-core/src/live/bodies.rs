//! Which records may have changed, and what events say of them.

use alloc::{string::String, vec::Vec};

use super::view::Entry;
use crate::{json::Json, realtime::EventAction};

/// A record of which events have come.
pub(super) struct Touched {
    id: String,
    /// The latest `updated` of an event, as the server wrote it; empty where none had one.
    updated: String,
    body: Option<Json>,
    /// Several bodies came with this `updated`: which of them is the last cannot be told.
    doubtful: bool,
    /// An event has come since the last check began.
    fresh: bool,
}

/// The records of which events have come since the last check.
#[derive(Default)]
pub(super) struct Dirty {
    /// Sorted by id.
    records: Vec<Touched>,
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn clear(&mut self) {
        self.records = Vec::new();
    }

    /// A check begins: what comes from now on may be later than what it sees.
    pub(super) fn begin(&mut self) {
        self.records.iter_mut().for_each(|touched| touched.fresh = false);
    }

    /// The check has succeeded.
    pub(super) fn end(&mut self) {
        self.records.retain(|touched| touched.fresh);
    }

    /// An event has come.
    pub(super) fn mark(&mut self, action: EventAction, id: String, json: Json) {
        // What a record was when it was deleted says nothing of the one that has come in its place.
        let body = (action != EventAction::Delete).then_some(json);
        let updated = body.as_ref().and_then(|body| body.get_str("updated")).unwrap_or_default();
        match self.records.binary_search_by(|touched| touched.id.cmp(&id)) {
            Ok(at) => {
                if let Some(touched) = self.records.get_mut(at) {
                    touched.hear(updated, body);
                }
            }
            Err(at) => self.records.insert(at, Touched { id, updated, body, doubtful: false, fresh: true }),
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Touched> {
        self.records.get(self.records.binary_search_by(|touched| (*touched.id).cmp(id)).ok()?)
    }
}

impl Touched {
    fn hear(&mut self, updated: String, body: Option<Json>) {
        self.fresh = true;
        if updated > self.updated || self.body.is_none() {
            (self.updated, self.body, self.doubtful) = (updated, body, false);
        } else if updated == self.updated && body.is_some() {
            self.doubtful |= self.body != body;
        }
    }
}

/// The body of a record that the server lists with this `updated`; none where it must be fetched. `held` is what the
/// list had of it.
pub(super) fn known<'a>(updated: &str, held: Option<&'a Entry>, touched: Option<&'a Touched>) -> Option<&'a Json> {
    let held = held.filter(|held| held.updated == updated).map(|held| &held.body);
    let Some(touched) = touched else { return held };
    if updated.is_empty() || *touched.updated > *updated {
        return None;
    }
    let told = touched.body.as_ref().filter(|_| touched.updated == updated);
    match (held, told) {
        (Some(held), None) => Some(held),
        (None, Some(told)) if !touched.doubtful => Some(told),
        (Some(held), Some(told)) if !touched.doubtful && held == told => Some(held),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "2026-01-01 00:00:00.001Z";
    const B: &str = "2026-01-01 00:00:00.002Z";

    fn body(updated: &str, n: u8) -> Json {
        Json::object([("id", Json::string("r")), ("updated", Json::string(updated)), ("n", Json::int(n.into()))])
    }

    fn held(updated: &str, n: u8) -> Entry {
        Entry::read(body(updated, n)).unwrap()
    }

    /// What is known of a record that is listed with `updated`, after these events.
    fn after(updated: &str, held: Option<Entry>, events: &[(EventAction, &str, u8)]) -> Option<Json> {
        let mut dirty = Dirty::default();
        for (action, updated, n) in events {
            dirty.mark(*action, "r".to_string(), body(updated, *n));
        }
        known(updated, held.as_ref(), dirty.get("r")).cloned()
    }

    use EventAction::{Create, Delete, Update};

    #[test]
    fn what_is_held_stays_as_long_as_nothing_speaks_against_it() {
        assert_eq!(after(A, Some(held(A, 1)), &[]), Some(body(A, 1)));
        assert_eq!(after(B, Some(held(A, 1)), &[]), None, "it has changed and no event told");
        assert_eq!(after(A, None, &[]), None);
        assert_eq!(after(B, Some(held(B, 1)), &[(Update, A, 2)]), Some(body(B, 1)), "an event came late");
        assert_eq!(after(B, Some(held(B, 1)), &[(Delete, B, 1)]), Some(body(B, 1)));
        assert_eq!(after(B, Some(held(B, 1)), &[(Update, B, 1)]), Some(body(B, 1)), "a double");
    }

    #[test]
    fn an_event_brings_the_body_where_it_is_the_one_listed() {
        assert_eq!(after(B, Some(held(A, 1)), &[(Update, B, 2)]), Some(body(B, 2)));
        assert_eq!(after(B, None, &[(Create, B, 2)]), Some(body(B, 2)));
        assert_eq!(after(B, None, &[(Update, B, 2), (Create, A, 1)]), Some(body(B, 2)), "in whatever order they come");
        assert_eq!(after(B, None, &[(Update, B, 2)]), Some(body(B, 2)), "it overtook the creation, which never comes");
        assert_eq!(after(B, None, &[(Update, B, 2), (Update, B, 2)]), Some(body(B, 2)), "doubles");
        assert_eq!(after(B, None, &[(Delete, A, 1), (Create, B, 2)]), Some(body(B, 2)), "one in its place");
        assert_eq!(after(A, Some(held(A, 1)), &[(Update, B, 2)]), None, "the listing is older than the event");
    }

    #[test]
    fn what_cannot_be_told_is_fetched() {
        assert_eq!(after(B, None, &[(Update, B, 2), (Update, B, 3)]), None);
        assert_eq!(after(B, None, &[(Update, B, 2), (Update, B, 3), (Update, B, 2)]), None);
        assert_eq!(after(B, Some(held(B, 1)), &[(Update, B, 2)]), None, "the same moment, another body");
        assert_eq!(after(B, Some(held(B, 1)), &[(Update, B, 2), (Update, B, 1)]), None);
    }

    #[test]
    fn without_updated_whatever_an_event_named_is_fetched() {
        let plain = |n: u8| Json::object([("id", Json::string("r")), ("n", Json::int(n.into()))]);
        let held = Entry::read(plain(1)).unwrap();
        assert_eq!(known("", Some(&held), None), Some(&plain(1)));
        let mut dirty = Dirty::default();
        dirty.mark(Update, "r".to_string(), plain(2));
        assert_eq!(known("", Some(&held), dirty.get("r")), None);
    }

    #[test]
    fn what_comes_during_a_check_is_left_for_the_next() {
        let mut dirty = Dirty::default();
        dirty.mark(Create, "r".to_string(), body(A, 1));
        dirty.mark(Create, "s".to_string(), body(A, 1));
        dirty.begin();
        dirty.mark(Update, "s".to_string(), body(B, 2));
        dirty.end();
        assert_eq!((dirty.len(), dirty.get("r").is_some(), dirty.get("s").is_some()), (1, false, true));
        dirty.begin();
        dirty.end();
        assert!(dirty.is_empty());
    }
}
