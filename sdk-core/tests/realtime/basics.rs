//! Subscribing, events, unsubscribing.

use std::time::Duration;

use futures_util::StreamExt;
use picobase::realtime::{Event, EventAction, Origin, RealtimeState};
use serde_json::json;

use crate::common::{client, kit};

#[tokio::test]
async fn events_of_a_collection_arrive_in_order() {
    let proxy = kit().proxy().await;
    let client = client(&proxy.url);
    let posts = client.collection("posts");
    let mut events = posts.subscribe("*").await.unwrap();
    assert_eq!(client.realtime().state(), RealtimeState::Connected);
    let post = posts.create(&json!({"title": "one"})).await.unwrap();
    posts.update(post.id(), &json!({"title": "two"})).await.unwrap();
    posts.delete(post.id()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = tokio::time::timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap().unwrap();
        let Event::Record(change) = event else { panic!("{event:?}") };
        if change.id == post.id() {
            assert_eq!((change.origin, &*change.topic), (Origin::Live, "posts/*"));
            seen.push((change.action, change.record().unwrap().get_str("title").unwrap().to_string()));
        }
    }
    let expected = [(EventAction::Create, "one"), (EventAction::Update, "two"), (EventAction::Delete, "two")];
    assert_eq!(seen, expected.map(|(action, title)| (action, title.to_string())));
    drop(events);
    let mut states = client.realtime().states();
    while states.next().await != Some(RealtimeState::Disconnected) {}
}
