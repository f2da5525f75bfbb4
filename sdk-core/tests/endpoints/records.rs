//! Records: create, read, change, delete, and what the server refuses.

use picobase::ErrorKind;
use serde_json::json;

use crate::common::{calls, client, kit, new_post, new_user, record_id, server_has, superuser, unique, within};

#[derive(Debug, serde::Deserialize)]
struct Post {
    id: String,
    title: String,
    n: f64,
    tags: Vec<String>,
}

#[tokio::test]
async fn a_record_from_create_to_delete() {
    within(60, async {
        let proxy = kit().proxy().await;
        let posts = client(&proxy.url).collection("posts").typed::<Post>();
        let title = unique("life");
        let made = posts.create(&json!({"title": title, "n": 1, "tags": ["a"]})).await.unwrap();
        assert_eq!((made.title.as_str(), made.n, made.id.len()), (title.as_str(), 1.0, 15));

        let changed = posts.update(&made.id, &json!({"n+": 2.5, "tags+": ["b", "c"]})).await.unwrap();
        assert_eq!((changed.n, changed.tags.join("")), (3.5, "abc".to_string()));
        let changed = posts.update(&made.id, &json!({"n-": 1, "tags-": "b", "+tags": "d"})).await.unwrap();
        assert_eq!((changed.n, changed.tags.join("")), (2.5, "dac".to_string()));

        assert_eq!(posts.get_one(&made.id).await.unwrap().n, 2.5);
        posts.delete(&made.id).await.unwrap();
        let gone = posts.get_one(&made.id).await.unwrap_err();
        assert_eq!((gone.kind(), gone.status(), gone.attempts()), (ErrorKind::NotFound, 404, 1));
        assert_eq!(posts.delete(&made.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn expand_and_fields() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let user = client.auth().get_user().unwrap();
        let posts = client.collection("posts");
        let first = new_post(&client, "first").await;
        let body = json!({"title": "second", "author": user.id(), "related": [first.id()]});
        let made = posts.create(&body).expand("author,related").await.unwrap();
        assert_eq!(made.expand("author")[0].id(), user.id());
        assert_eq!(made.expand("related")[0].get_str("title"), Some("first"));
        assert_eq!((made.collection_name(), made.get_list("related")), ("posts", vec![first.id()]));

        let part = posts.get_one(made.id()).fields("id,title,expand.author.id").expand("author").await.unwrap();
        assert_eq!(part.fields().keys().collect::<Vec<_>>().len(), 3);
        assert_eq!(part.expand("author")[0].id(), user.id());
        let part = posts.update(made.id(), &json!({"n": 7})).fields("n").await.unwrap();
        assert_eq!(serde_json::to_value(part.fields()).unwrap(), json!({"n": 7}));
    })
    .await;
}

#[tokio::test]
async fn what_the_server_refuses() {
    within(60, async {
        let proxy = kit().proxy().await;
        let guest = client(&proxy.url);
        let posts = guest.collection("posts");

        let empty = posts.create(&json!({})).await.unwrap_err();
        assert_eq!((empty.kind(), empty.status()), (ErrorKind::Validation, 400));
        assert_eq!(empty.field("title").unwrap().code, "validation_required");
        assert!(empty.fix().contains("fields"), "{}", empty.fix());

        let slug = unique("slug");
        posts.create(&json!({"title": "one", "slug": slug})).await.unwrap();
        let twice = posts.create(&json!({"title": "two", "slug": slug})).await.unwrap_err();
        assert_eq!((twice.kind(), twice.status()), (ErrorKind::Conflict, 400));
        assert_eq!(twice.field("slug").unwrap().code, "validation_not_unique");

        let hidden = guest.collection("noaccess").create(&json!({"title": "x"})).await.unwrap_err();
        assert_eq!((hidden.kind(), hidden.status()), (ErrorKind::Forbidden, 403));
        let unknown = guest.collection("nothing").get_list(1, 1).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        let wrong = posts.get_list(1, 1).filter("nosuchfield = 1").await.unwrap_err();
        assert_eq!((wrong.kind(), wrong.status()), (ErrorKind::Validation, 400));
        let view = guest.collection("posts_view").create(&json!({"title": "x"})).await.unwrap_err();
        assert!(view.status() == 400 || view.status() == 403, "{view}");
        let body = posts.create(&json!([1])).await.unwrap_err();
        assert_eq!((body.kind(), body.attempts()), (ErrorKind::Validation, 0));
    })
    .await;
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_made_once() {
    within(60, async {
        let proxy = kit().proxy().await;
        let posts = client(&proxy.url).collection("posts");
        let title = unique("lost");
        let rule = json!([{"method": "POST", "times": 1, "action": {"type": "lose_answer"}}]);
        proxy.faults(rule.clone()).await;
        let made = posts.create(&json!({"title": title})).safe_retry().await.unwrap();
        assert_eq!(made.get_str("title"), Some(title.as_str()));

        proxy.faults(rule).await;
        let lost = posts.create(&json!({"title": title})).await.unwrap_err();
        assert_eq!((lost.kind(), lost.attempts()), (ErrorKind::Network, 1));
        let filter = picobase::filter("title = {:t}", picobase::params! { "t" => title.as_str() }).unwrap();
        assert_eq!(posts.get_list(1, 10).filter(filter).await.unwrap().total_items, 2);
    })
    .await;
}

#[tokio::test]
async fn superusers_see_and_do_all() {
    within(60, async {
        let proxy = kit().proxy().await;
        let root = superuser(&proxy.url).await;
        let made = root.collection("noaccess").create(&json!({"title": "x"})).await.unwrap();
        let guest = client(&proxy.url);
        assert_eq!(guest.collection("noaccess").get_list(1, 1).await.unwrap_err().kind(), ErrorKind::Forbidden);
        assert_eq!(root.collection("noaccess").get_one(made.id()).await.unwrap().get_str("title"), Some("x"));
        let token = root.auth().session().unwrap().token().to_string();
        let log = proxy.requests().await;
        assert_eq!(log[0].headers["authorization"], token);
        assert!(!log[1].headers.contains_key("authorization"));
    })
    .await;
}

#[tokio::test]
async fn odd_ids_reach_nothing_else() {
    within(60, async {
        let proxy = kit().proxy().await;
        let posts = client(&proxy.url).collection("posts");
        for id in ["", ".", ".."] {
            let error = posts.delete(id).await.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotFound, 0), "{id:?}");
        }
        assert!(proxy.requests().await.is_empty());
        let odd = ["../../../health", "a/b", "a?fields=id", "a#b", "ключ", "%2e%2e", "a b", "x;y", "...", "\\"];
        for id in odd {
            let error = posts.get_one(id).await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (ErrorKind::NotFound, 404), "{id:?}: {error}");
            let error = posts.delete(id).await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (ErrorKind::NotFound, 404), "{id:?}: {error}");
        }
        let log = proxy.requests().await;
        assert_eq!(log.len(), odd.len() * 2, "no redirects");
        for request in &log {
            let rest = request.path.strip_prefix("/api/collections/posts/records/").unwrap();
            assert!(!rest.contains('/') && request.query.is_empty(), "{} {}", request.path, request.query);
        }
        let name = client(&proxy.url).collection("../settings").get_list(1, 1).await.unwrap_err();
        assert_eq!(name.status(), 404, "{name}");
        assert_eq!(calls(&proxy.requests().await, "%2Fsettings").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_record_with_an_id_of_ones_own() {
    within(60, async {
        let proxy = kit().proxy().await;
        let posts = client(&proxy.url).collection("posts");
        let id = record_id();
        assert_eq!(posts.create(&json!({"id": id, "title": "own"})).await.unwrap().id(), id);
        let again = posts.create(&json!({"id": id, "title": "own"})).await.unwrap_err();
        assert_eq!(again.kind(), if server_has("0.23.0") { ErrorKind::Conflict } else { ErrorKind::Validation });
    })
    .await;
}
