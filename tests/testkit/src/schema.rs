//! The collections, settings and users that every server starts with.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;

/// The superuser's e-mail.
pub(crate) const SUPERUSER: &str = "root@example.com";
/// The password of the superuser and of every seeded user.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// Rule for whoever is signed in.
const SIGNED_IN: &str = "@request.auth.id != \"\"";
/// Rule for the record of the caller.
const SELF: &str = "id = @request.auth.id";
/// Id of the collection that the server brings.
const USERS: &str = "_pb_users_auth_";

/// The seeded users by collection, with what differs from e-mail and password.
pub(crate) fn seeded_users() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("users", "alice@example.com", json!({"name": "Alice", "verified": true})),
        ("users", "bob@example.com", json!({"name": "Bob", "verified": true})),
        ("members", "member@example.com", json!({"role": "member", "verified": true})),
        ("members", "manager@example.com", json!({"role": "manager", "verified": true})),
        ("members", "unverified@example.com", json!({"role": "member", "verified": false})),
        ("secured", "secured@example.com", json!({"verified": true})),
        ("shortlived", "shortlived@example.com", json!({"verified": true})),
    ]
}

/// Brings a fresh server into the state that tests start from.
pub(crate) async fn apply(api: &Api, smtp_port: u16, oidc: &Value) -> Result<()> {
    api.ok(Method::PATCH, "/api/settings", Some(&settings(smtp_port))).await.context("settings")?;
    let users = json!({
        "oauth2": {"enabled": true, "mappedFields": {"name": "name"}, "providers": [oidc]},
        "otp": {"enabled": false},
        "mfa": {"enabled": false},
        "authAlert": {"enabled": false},
    });
    api.ok(Method::PATCH, "/api/collections/users", Some(&users)).await.context("users")?;
    for collection in auth_collections().into_iter().chain(base_collections()) {
        create(api, &collection).await?;
    }
    add_self_relation(api).await?;
    create(api, &posts_view()).await?;
    for (collection, email, extra) in seeded_users() {
        let mut record = json!({"email": email, "password": PASSWORD, "passwordConfirm": PASSWORD});
        merge(&mut record, &extra);
        api.ok(Method::POST, &format!("/api/collections/{collection}/records"), Some(&record)).await.context(email)?;
    }
    Ok(())
}

async fn create(api: &Api, collection: &Value) -> Result<()> {
    let name = collection.get("name").map(ToString::to_string).unwrap_or_default();
    api.ok(Method::POST, "/api/collections", Some(collection)).await.context(name)?;
    Ok(())
}

/// `related` points to its own collection, so it can only come once that exists.
async fn add_self_relation(api: &Api) -> Result<()> {
    let mut posts = api.ok(Method::GET, "/api/collections/posts", None).await?;
    let id = posts.get("id").cloned().context("posts has no id")?;
    let related = json!({"type": "relation", "name": "related", "collectionId": id, "maxSelect": 100});
    let fields = posts.get_mut("fields").and_then(Value::as_array_mut).context("posts has no fields")?;
    let before_dates = fields.len().saturating_sub(2);
    fields.insert(before_dates, related);
    let patch = json!({"fields": posts.get("fields")});
    api.ok(Method::PATCH, "/api/collections/posts", Some(&patch)).await.context("posts.related")?;
    Ok(())
}

fn settings(smtp_port: u16) -> Value {
    json!({
        "meta": {"appName": "Testkit", "senderName": "Testkit", "senderAddress": "testkit@example.com"},
        // By itself the server gives a batch three seconds, which is short on a slow machine.
        "batch": {"enabled": true, "maxRequests": 50, "timeout": 60},
        "smtp": {"enabled": true, "host": "127.0.0.1", "port": smtp_port, "username": "", "tls": false},
        "rateLimits": {"enabled": false},
        "logs": {"maxDays": 5, "minLevel": 0, "logIP": true, "logAuthId": true},
    })
}

fn auth_collections() -> Vec<Value> {
    let own = json!({
        "type": "auth", "listRule": SELF, "viewRule": SELF, "createRule": "", "updateRule": SELF, "deleteRule": SELF,
        "authAlert": {"enabled": false},
    });
    let with = |extra: Value| {
        let mut collection = own.clone();
        merge(&mut collection, &extra);
        collection
    };
    let manager = "@request.auth.collectionName = \"members\" && @request.auth.role = \"manager\"";
    let own_or_manager = format!("{SELF} || ({manager})");
    vec![
        with(json!({
            "name": "members", "authRule": "verified = true", "manageRule": manager,
            "listRule": own_or_manager, "viewRule": own_or_manager, "updateRule": own_or_manager,
            "fields": [{"type": "select", "name": "role", "values": ["member", "manager"], "maxSelect": 1}],
        })),
        with(json!({
            "name": "secured", "otp": {"enabled": true, "duration": 180, "length": 8},
            "mfa": {"enabled": true, "duration": 1800, "rule": ""},
        })),
        with(json!({"name": "shortlived", "authToken": {"duration": 20}})),
    ]
}

fn base_collections() -> Vec<Value> {
    let note_rule = format!("{SIGNED_IN} && owner = @request.auth.id");
    let owner = json!({
        "type": "relation", "name": "owner", "collectionId": USERS, "maxSelect": 1, "required": true,
        "cascadeDelete": true,
    });
    let role_rule = format!("public = true || {SIGNED_IN}");
    vec![
        json!({
            "name": "posts", "fields": post_fields(), "listRule": "", "viewRule": "", "createRule": "",
            "updateRule": "", "deleteRule": "",
            "indexes": ["CREATE UNIQUE INDEX idx_posts_slug ON posts (slug) WHERE slug != ''"],
        }),
        base("private_notes", &note_rule, &[owner, text("body")], true),
        {
            let mut rules = base("published_only", SIGNED_IN, &[text("title"), flag("public")], true);
            merge(&mut rules, &json!({"listRule": role_rule, "viewRule": role_rule}));
            rules
        },
        base("noupdated", "", &[text("title"), number("n")], false),
        json!({"name": "noaccess", "fields": [text("title")]}),
        base(
            "docs",
            SIGNED_IN,
            &[
                text("title"),
                json!({"type": "file", "name": "doc", "maxSelect": 1, "maxSize": 10_485_760, "protected": true}),
            ],
            true,
        ),
        base("bulk", "", &[number("n"), text("text")], true),
    ]
}

fn post_fields() -> Value {
    let mut fields = vec![
        json!({"type": "text", "name": "title", "required": true, "min": 1}),
        text("slug"),
        json!({"type": "editor", "name": "body"}),
        number("n"),
        flag("flag"),
        json!({"type": "email", "name": "email"}),
        json!({"type": "url", "name": "url"}),
        json!({"type": "date", "name": "when"}),
        json!({"type": "select", "name": "status", "values": ["draft", "published"], "maxSelect": 1}),
        json!({"type": "select", "name": "tags", "values": ["a", "b", "c", "d"], "maxSelect": 4}),
        json!({"type": "json", "name": "meta"}),
        json!({
            "type": "file", "name": "cover", "maxSelect": 1, "maxSize": 10_485_760, "thumbs": ["100x100"],
            "mimeTypes": ["image/jpeg", "image/png", "image/gif", "image/webp"],
        }),
        json!({"type": "file", "name": "attachments", "maxSelect": 10, "maxSize": 104_857_600}),
        json!({"type": "relation", "name": "author", "collectionId": USERS, "maxSelect": 1}),
        json!({"type": "geoPoint", "name": "place"}),
        json!({"type": "password", "name": "secret", "hidden": true}),
    ];
    fields.extend(dates());
    Value::Array(fields)
}

fn posts_view() -> Value {
    json!({
        "name": "posts_view", "type": "view", "listRule": "", "viewRule": "",
        "viewQuery": "SELECT id, title, status, author, created FROM posts",
    })
}

/// A base collection with the same rule for everything.
fn base(name: &str, rule: &str, fields: &[Value], with_dates: bool) -> Value {
    let mut fields = fields.to_vec();
    if with_dates {
        fields.extend(dates());
    }
    json!({
        "name": name, "fields": fields,
        "listRule": rule, "viewRule": rule, "createRule": rule, "updateRule": rule, "deleteRule": rule,
    })
}

fn text(name: &str) -> Value {
    json!({"type": "text", "name": name})
}

fn number(name: &str) -> Value {
    json!({"type": "number", "name": name})
}

fn flag(name: &str) -> Value {
    json!({"type": "bool", "name": name})
}

fn dates() -> [Value; 2] {
    [
        json!({"type": "autodate", "name": "created", "onCreate": true}),
        json!({"type": "autodate", "name": "updated", "onCreate": true, "onUpdate": true}),
    ]
}

/// Puts the members of `extra` into `object`.
fn merge(object: &mut Value, extra: &Value) {
    if let (Some(object), Some(extra)) = (object.as_object_mut(), extra.as_object()) {
        object.extend(extra.clone());
    }
}
