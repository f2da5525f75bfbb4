//! Filters on the real server: each value finds exactly its record.

use std::time::{Duration, SystemTime};

use picobase::{Client, ErrorKind, Record, params, records::Collection, url::QueryValue};
use serde_json::json;

use crate::common::{client, kit, server_has, superuser, unique, within};

const NASTY: &[&str] = &[
    "plain",
    "it's",
    "say \"hi\"",
    "both \" and '",
    "back\\slash",
    "two\\\\of them",
    "\\\"",
    "\\n is no newline",
    "new\nline",
    "tab\tand\rreturn",
    "\u{1}control\u{8}\u{c}",
    "$& $1 $$ $`",
    "{:b} {:t} {x}",
    "100% _under_",
    "emoji 🦀 ключ \u{2028}",
    "// no comment",
    "a && b || c",
    "@everyone",
    "%22%27",
    "null",
    "true",
    "-1",
];

async fn found(posts: &Collection, filter: &str) -> Vec<String> {
    let page = posts.get_list(1, 50).filter(filter).await.unwrap_or_else(|e| panic!("{filter}: {e}"));
    page.items.iter().map(|r| r.id().to_string()).collect()
}

/// Makes a record for each of the values and checks that each is found by its own.
async fn each_finds_its_own(client: &Client, field: &str, values: Vec<(serde_json::Value, QueryValue)>) {
    let posts = client.collection("posts");
    let title = unique("filter");
    let mut made = Vec::new();
    for (stored, value) in values {
        let record: Record = posts.create(&json!({"title": title, field: stored})).await.unwrap();
        made.push((record.id().to_string(), value));
    }
    for (id, value) in made {
        let template = format!("title = {{:title}} && {field} = {{:value}}");
        let params = [("title", QueryValue::from(title.as_str())), ("value", value.clone())];
        let filter = client.filter(&template, params).unwrap();
        assert_eq!(found(&posts, &filter).await, [id], "{filter}");
    }
}

#[tokio::test]
async fn text_of_every_kind() {
    within(60, async {
        let proxy = kit().proxy().await;
        let values = NASTY.iter().map(|text| (json!(text), QueryValue::from(*text))).collect();
        each_finds_its_own(&client(&proxy.url), "slug", own_slugs(values)).await;
    })
    .await;
}

/// Slugs are unique in the whole collection, so each gets a mark in front.
fn own_slugs(values: Vec<(serde_json::Value, QueryValue)>) -> Vec<(serde_json::Value, QueryValue)> {
    let mark = unique("s");
    let text = |value: &serde_json::Value| format!("{mark}{}", value.as_str().unwrap());
    values.iter().map(|(stored, _)| (json!(text(stored)), QueryValue::from(text(stored)))).collect()
}

#[tokio::test]
async fn text_that_ends_in_a_backslash() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let text = unique("end") + "\\";
        let built = client.filter("slug = {:s}", params! { "s" => text.as_str() });
        if !server_has("0.39.9") {
            assert_eq!(built.unwrap_err().kind(), ErrorKind::Validation);
            return;
        }
        let made = client.collection("posts").create(&json!({"title": "x", "slug": text})).await.unwrap();
        assert_eq!(found(&client.collection("posts"), &built.unwrap()).await, [made.id()]);
    })
    .await;
}

#[tokio::test]
async fn numbers() {
    within(60, async {
        let proxy = kit().proxy().await;
        let numbers = [0.1 + 0.2, 1e-7, -0.5, 123_456_789.0, 1e21, -3.0, 5e-324, 1.797_693_134_862_315_7e308];
        let mut values: Vec<_> = numbers.map(|n| (json!(n), QueryValue::from(n))).into();
        values.push((json!(i32::MIN), QueryValue::from(i32::MIN)));
        values.push((json!(9_007_199_254_740_991_i64), QueryValue::from(9_007_199_254_740_991_i64)));
        each_finds_its_own(&client(&proxy.url), "n", values).await;
        assert!(picobase::filter("n = {:n}", params! { "n" => f64::NAN }).is_err());
    })
    .await;
}

#[tokio::test]
async fn dates_flags_and_nothing() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_785_000_000_123);
        let later = at + Duration::from_millis(1);
        let stored = ["2026-07-25 17:20:00.123Z", "2026-07-25 17:20:00.124Z"];
        let mut values = vec![(json!(stored[0]), at.into()), (json!(stored[1]), later.into())];
        values.push((json!(null), QueryValue::Null));
        each_finds_its_own(&client, "when", values).await;
        each_finds_its_own(&client, "flag", vec![(json!(true), true.into()), (json!(false), false.into())]).await;
    })
    .await;
}

#[tokio::test]
async fn values_are_never_reinterpreted() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let mark = unique("inject");
        let made =
            client.collection("posts").create(&json!({"title": mark, "slug": format!("{mark}{{:b}}")})).await.unwrap();
        let a = format!("{mark}{{:b}}");
        let filter =
            client.filter("slug = {:a} && title = {:b}", params! { "a" => a.as_str(), "b" => mark.as_str() }).unwrap();
        assert_eq!(found(&client.collection("posts"), &filter).await, [made.id()]);
        let attack = "x\" || id != \"";
        let filter = client.filter("title = {:t}", params! { "t" => attack }).unwrap();
        assert!(found(&client.collection("posts"), &filter).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn text_that_names_the_request_is_for_superusers() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (guest, root) = (client(&proxy.url), superuser(&proxy.url).await);
        let text = unique("x") + "@request.auth.id";
        let made = guest.collection("posts").create(&json!({"title": "x", "slug": text})).await.unwrap();
        let filter = guest.filter("slug = {:s}", params! { "s" => text.as_str() }).unwrap();
        assert_eq!(found(&root.collection("posts"), &filter).await, [made.id()]);
        // The server looks for the name in the whole filter, its values included.
        let refused = guest.collection("posts").get_list(1, 1).filter(filter).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
    })
    .await;
}
