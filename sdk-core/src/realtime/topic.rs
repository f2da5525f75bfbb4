//! Topics: what they are called on the wire, and what can be fetched for them.

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use crate::{
    error::Error,
    json::Json,
    transport::Headers,
    url::{Query, has, push_encoded},
};

/// How many topics a stream may have.
pub(crate) const TOPICS_MAX: usize = 1000;
/// How long a topic may be with its options, in characters.
const TOPIC_MAX: usize = 2500;

/// A topic with its options.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    /// As it stands on the wire: the name and the options. Subscriptions with the same key share a topic.
    pub(crate) key: Arc<str>,
    /// As it was asked for: `posts/*`.
    pub(crate) name: Arc<str>,
    pub(crate) target: Target,
    /// Query parameters and header fields for rules, filter, expand and fields.
    pub(crate) query: Query,
    pub(crate) headers: Headers,
}

/// Whose events a topic brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Those of all records that may be listed.
    All { collection: String },
    /// Those of one record.
    One { collection: String, id: String },
    /// Messages of one's own.
    Custom,
}

impl Topic {
    /// # Errors
    /// Kind `Validation` where the server would refuse it.
    pub(crate) fn new(name: &str, mut query: Query, headers: Headers) -> Result<Topic, Error> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Error::validation("this is no topic")
                .with_fix("Name a collection (`posts`), a record (`posts/RECORD_ID`), or a topic of your own."));
        }
        query.check()?;
        crate::call::check_headers(&headers)?;
        let target = Target::of(name);
        if target != Target::Custom {
            add_guard_fields(&mut query);
        }
        let key = key(name, &query, &headers);
        if key.chars().count() > TOPIC_MAX {
            return Err(Error::validation("the topic is longer than 2,500 characters with its options")
                .with_fix("Shorten the filter, or filter the events yourself."));
        }
        Ok(Topic { key: key.into(), name: name.into(), target, query, headers })
    }

    /// Of one record, which the view rule is for?
    pub(crate) fn is_one(&self) -> bool {
        matches!(self.target, Target::One { .. })
    }

    /// Does the server put the members of records into any order, another one each time? So it does where it picks
    /// fields.
    pub(crate) fn shuffles(&self) -> bool {
        self.query.get("fields").is_some()
    }

    /// Can several of these be fetched in one request?
    pub(crate) fn fetches_with(&self, other: &Topic) -> bool {
        self.is_one()
            && other.is_one()
            && self.target.collection() == other.target.collection()
            && self.query.pairs().eq(other.query.pairs())
            && self.headers == other.headers
    }
}

impl Target {
    /// A bare name is a collection as well as `name/*`: the server takes it for both.
    fn of(name: &str) -> Target {
        let (collection, record) = name.split_once('/').unwrap_or((name, "*"));
        if collection.is_empty() || collection.starts_with('@') || record.is_empty() || has(record, "/") {
            return Target::Custom;
        }
        let collection = collection.to_string();
        match record {
            "*" => Target::All { collection },
            id => Target::One { collection, id: id.to_string() },
        }
    }

    pub(crate) fn collection(&self) -> &str {
        match self {
            Target::All { collection } | Target::One { collection, .. } => collection,
            Target::Custom => "",
        }
    }
}

/// Order and gaps are told by `id` and `updated`, so they come along where `fields` would leave them out.
fn add_guard_fields(query: &mut Query) {
    // Nothing picked means everything.
    let Some(fields) = query.get("fields").filter(|fields| !fields.trim().is_empty()) else { return };
    let mut all = fields.to_string();
    let has = |name: &str| fields.split(',').any(|field| field.trim() == name || field.trim() == "*");
    for name in ["id", "updated"] {
        if !has(name) {
            all.push(',');
            all.push_str(name);
        }
    }
    query.set("fields", all);
}

/// `name?options={…}`, as the server reads it.
fn key(name: &str, query: &Query, headers: &Headers) -> String {
    let object = |pairs: Vec<(&str, &str)>| Json::object(pairs.into_iter().map(|(k, v)| (k, Json::string(v))));
    let (query, headers): (Vec<_>, Vec<_>) = (query.pairs().collect(), headers.iter().collect());
    let mut members = Vec::new();
    if !query.is_empty() {
        members.push(("query", object(query)));
    }
    if !headers.is_empty() {
        members.push(("headers", object(headers)));
    }
    let mut key = String::from(name);
    if !members.is_empty() {
        key.push_str("?options=");
        push_encoded(&mut key, Json::object(members).as_text());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_can_be_fetched() {
        let all = |c: &str| Target::All { collection: c.to_string() };
        assert_eq!(Target::of("posts"), all("posts"));
        assert_eq!(Target::of("posts/*"), all("posts"));
        assert_eq!(Target::of("posts/abc"), Target::One { collection: "posts".into(), id: "abc".into() });
        for custom in ["@oauth2", "a/b/c", "/x", "x/"] {
            assert_eq!(Target::of(custom), Target::Custom, "{custom}");
        }
    }

    #[test]
    fn options_are_part_of_the_key() {
        let (mut query, mut headers) = (Query::new(), Headers::new());
        query.set("filter", "a = \"é\"").set("fields", "title");
        headers.set("X-A", "1");
        let topic = Topic::new("posts/*", query, headers).unwrap();
        assert_eq!(
            &*topic.key,
            "posts/*?options=%7B%22query%22%3A%7B%22filter%22%3A%22a%20%3D%20%5C%22%C3%A9%5C%22%22%2C%22fields%22%3A\
             %22title%2Cid%2Cupdated%22%7D%2C%22headers%22%3A%7B%22X-A%22%3A%221%22%7D%7D"
        );
        assert_eq!((&*topic.name, topic.target.collection()), ("posts/*", "posts"));
        let mut query = Query::new();
        query.set("fields", "");
        assert_eq!(Topic::new("posts", query, Headers::new()).unwrap().query.get("fields"), Some(""));
        assert!(Topic::new("", Query::new(), Headers::new()).is_err());
        assert!(Topic::new(&"x".repeat(2501), Query::new(), Headers::new()).is_err());
        assert_eq!(&*Topic::new(&"x".repeat(2500), Query::new(), Headers::new()).unwrap().key, "x".repeat(2500));
    }
}
