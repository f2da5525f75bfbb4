//! Addresses: base URL, paths, queries, filters, file URLs, and what of them may be shown.

use serde_json::{Value, json};

use super::text;
use crate::{
    client::Client,
    error::Error,
    filter::{FilterDialect, filter_for},
    json::Json,
    url::{BaseUrl, Query, QueryValue, fill_path},
};

pub(super) fn base_url(given: &Value, _: &Value) -> Result<Value, Error> {
    let base = BaseUrl::parse(text(given, "url"))?;
    let joined = given["path"].as_str().map(|path| base.join(path, &Query::new()));
    Ok(json!({"base": base.as_str(), "origin": base.origin(), "joined": joined}))
}

pub(super) fn path(given: &Value, _: &Value) -> Result<Value, Error> {
    let params = given["params"].as_object().unwrap();
    let params: Vec<(&str, &str)> =
        params.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    Ok(json!({"path": fill_path(text(given, "template"), &params)?}))
}

pub(super) fn query(given: &Value, _: &Value) -> Result<Value, Error> {
    let query = query_of(&given["params"]);
    query.check()?;
    Ok(json!({"query": query.to_string()}))
}

/// `[[name, value], …]` as a query.
pub(super) fn query_of(params: &Value) -> Query {
    let mut query = Query::new();
    for pair in params.as_array().into_iter().flatten() {
        query.append(pair[0].as_str().unwrap(), value(&pair[1]));
    }
    query
}

pub(super) fn filter(given: &Value, _: &Value) -> Result<Value, Error> {
    let dialect = match text(given, "server") {
        "new" => FilterDialect::Backslash,
        "old" => FilterDialect::Plain,
        other => panic!("{other}"),
    };
    let params: Vec<(&str, QueryValue)> = match given["params"].as_object() {
        Some(params) => params.iter().map(|(name, given)| (name.as_str(), value(given))).collect(),
        None => Vec::new(),
    };
    Ok(json!({"filter": filter_for(dialect, text(given, "template"), params)?}))
}

/// A value of a query or a filter, as a Rust user would pass it.
fn value(given: &Value) -> QueryValue {
    match given {
        Value::Null => QueryValue::Null,
        Value::Bool(value) => QueryValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => QueryValue::Int(whole),
            None => QueryValue::Float(number.as_f64().unwrap()),
        },
        Value::String(text) => QueryValue::Text(text.clone()),
        Value::Object(object) if object.len() == 1 && object.contains_key("$date") => {
            QueryValue::Date(object["$date"].as_i64().unwrap())
        }
        Value::Object(object) if object.len() == 1 && object.contains_key("$float") => {
            QueryValue::Float(object["$float"].as_str().unwrap().parse().unwrap())
        }
        other => QueryValue::Json(Json::encode(other).unwrap()),
    }
}

pub(super) fn file_urls(given: &Value, _: &Value) -> Result<Value, Error> {
    let client = Client::builder().url(text(given, "base")).api_key("pbk_abc123").build()?;
    let record = Json::encode(&given["record"])?;
    let mut url = client.files().url(&record, text(given, "filename"));
    if let Some(thumb) = given["thumb"].as_str() {
        url = url.thumb(thumb);
    }
    if given["download"].as_bool() == Some(true) {
        url = url.download();
    }
    if let Some(token) = given["token"].as_str() {
        url = url.token(token);
    }
    Ok(json!({"url": url.build()?}))
}

pub(super) fn redact(given: &Value, _: &Value) -> Result<Value, Error> {
    Ok(json!({"url": crate::url::redact(text(given, "url"))}))
}

mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::url::decode_percent;

    /// Reads a string literal as the server does; none where it is not one from end to end.
    fn read_literal(literal: &str, dialect: FilterDialect) -> Option<String> {
        let inside = literal.strip_prefix('"')?.strip_suffix('"')?;
        let mut out = String::new();
        let mut chars = inside.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, dialect) {
                ('\\', FilterDialect::Backslash) => out.push(chars.next()?),
                ('\\', FilterDialect::Plain) if chars.peek() == Some(&'"') => out.push(chars.next()?),
                ('"', _) => return None,
                _ => out.push(c),
            }
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn a_text_in_a_filter_stays_that_text(text in "[^\0]*", tricky in "[\"'\\\\{}:/a]{0,12}") {
            for text in [text, tricky] {
                let params = || [("v", QueryValue::Text(text.clone()))];
                let new = filter_for(FilterDialect::Backslash, "{:v}", params()).unwrap();
                prop_assert_eq!(read_literal(&new, FilterDialect::Backslash), Some(text.clone()));
                match filter_for(FilterDialect::Plain, "{:v}", params()) {
                    Ok(old) => prop_assert_eq!(read_literal(&old, FilterDialect::Plain), Some(text)),
                    Err(_) => prop_assert!(text.ends_with('\\')),
                }
            }
        }

        #[test]
        fn a_number_in_a_filter_stays_that_number(number: f64) {
            match filter_for(FilterDialect::Backslash, "{:v}", [("v", QueryValue::Float(number))]) {
                Ok(text) => {
                    prop_assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'.'));
                    prop_assert_eq!(text.parse::<f64>().unwrap(), number);
                }
                Err(_) => prop_assert!(!number.is_finite()),
            }
        }

        #[test]
        fn a_number_of_json_is_written_as_the_number_itself(number in proptest::num::f64::NORMAL, whole: i64) {
            let json = |text: String| QueryValue::Json(Json::parse(text).unwrap());
            let written = |value: QueryValue| filter_for(FilterDialect::Plain, "{:v}", [("v", value)]).unwrap();
            prop_assert_eq!(written(json(format!("{number:e}"))), written(QueryValue::Float(number)));
            prop_assert_eq!(written(json(whole.to_string())), written(QueryValue::Int(whole)));
        }

        #[test]
        fn a_path_segment_stays_that_segment(segment in ".*") {
            let Ok(path) = fill_path("/a/{id}/b", &[("id", &segment)]) else {
                prop_assert!(["", ".", ".."].contains(&segment.as_str()));
                return Ok(());
            };
            let parts: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(parts.len(), 4);
            prop_assert_eq!(decode_percent(parts[2]), Some(segment));
        }

        #[test]
        fn a_query_value_stays_that_value(name in ".+", value in ".*") {
            let mut query = Query::new();
            query.set(&name, value.as_str());
            let text = query.to_string();
            let (key, came) = text.split_once('=').unwrap();
            prop_assert_eq!((decode_percent(key), decode_percent(came)), (Some(name), Some(value)));
        }

        #[test]
        fn addresses_never_panic(text in ".*", odd in "https?://[a-z0-9:.\\[\\]@/%?#]*") {
            for text in [text, odd] {
                let _ = crate::url::redact(&text);
                if let Ok(base) = BaseUrl::parse(&text) {
                    // What was normalised once stays as it is.
                    prop_assert_eq!(BaseUrl::parse(base.as_str()).unwrap(), base);
                }
            }
        }
    }
}
