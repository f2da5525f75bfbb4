//! The main job on a real server: sign up, sign in, write, filter, upload, download, and a cold start.
//!
//! `cargo xtask demo` runs it. It starts a PocketBase server of its own with the testkit, and prints what it does.
#![expect(clippy::print_stdout, reason = "a demo shows what it does")]

use std::{error::Error, time::Duration};

use picobase::{Client, ErrorKind, files::FileSource, filter, params};
use picobase_testkit::Testkit;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Serialize, Deserialize)]
struct Post {
    id: String,
    title: String,
    status: String,
    cover: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let kit = Testkit::spawn();
    let server = kit.default_proxy();
    println!("a real server answers at {}", server.url);

    let client = Client::builder().url(&server.url).on_state(|state| println!("  instance: {state:?}")).build()?;
    println!("health: {}", client.health().await?.message);

    sign_in(&client).await?;
    let post = write_and_read(&client).await?;
    move_files(&client, &post).await?;
    refused(&client, &post).await?;
    cold_start(&client, &kit).await?;

    client.auth().sign_out().await?;
    println!("signed out; done");
    Ok(())
}

async fn sign_in(client: &Client) -> Result<(), picobase::Error> {
    let session = client.auth().sign_up("ada@example.com", "correct horse battery").await?;
    println!("signed up as {}", session.map(|s| s.user_id()).unwrap_or_default());
    client.auth().sign_out().await?;
    let session = client.auth().sign_in("ada@example.com", "correct horse battery").await?;
    println!("signed in again as {}", session.user_id());
    Ok(())
}

async fn write_and_read(client: &Client) -> Result<Post, picobase::Error> {
    let posts = client.collection("posts").typed::<Post>();
    let mut batch = client.batch();
    for n in 1..=20 {
        batch.collection("posts").create(&json!({"title": format!("note {n}"), "status": "draft", "n": n}));
    }
    println!("a batch created {} posts", batch.send().await?.len());

    let title = r#"A "quoted" title && more"#;
    let post = posts.create(&json!({"title": title, "status": "published"})).await?;
    let wanted =
        filter("title = {:title} && status = {:status}", params! { "title" => title, "status" => "published" })?;
    let found = posts.get_list(1, 10).filter(wanted).sort("-created").await?;
    println!("the filter finds {} of {}: {:?}", found.items.len(), posts.get_full_list().await?.len(), title);
    Ok(post)
}

async fn move_files(client: &Client, post: &Post) -> Result<(), Box<dyn Error>> {
    let bytes: Vec<u8> = (0..5_000_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let updated = client
        .collection("posts")
        .update(&post.id, &json!({}))
        .file("attachments", FileSource::bytes("numbers.bin", bytes.clone()))
        .await?;
    let name = updated.get_list("attachments").first().copied().unwrap_or_default().to_string();
    println!("uploaded {} bytes as {name}", bytes.len());
    let back = client.files().download(&updated, &name).bytes().await?;
    println!("downloaded {} bytes, {}", back.len(), if back == bytes { "all the same" } else { "BUT NOT THE SAME" });
    println!("its URL: {}", client.files().url(&updated, &name).build()?);
    Ok(())
}

async fn refused(client: &Client, post: &Post) -> Result<(), picobase::Error> {
    match client.collection("posts").update(&post.id, &json!({"title": "", "email": "nobody"})).await {
        Err(e) if e.kind() == ErrorKind::Validation => {
            for (name, field) in e.fields() {
                println!("refused: {name}: {} ({})", field.message, field.code);
            }
            Ok(())
        }
        other => other.map(|_| println!("the server took an empty title")),
    }
}

async fn cold_start(client: &Client, kit: &Testkit) -> Result<(), picobase::Error> {
    println!("the instance falls asleep for 3 seconds, while 20 calls are made:");
    let server = kit.default_server();
    server.kill().await;
    let started = std::time::Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..20 {
        let posts = client.collection("posts");
        calls.spawn(async move { posts.create(&json!({"title": format!("written while asleep {n}")})).await });
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.start().await;
    let results = calls.join_all().await;
    let done = results.iter().filter(|result| result.is_ok()).count();
    println!("{done} of 20 succeeded after {:.1} s", started.elapsed().as_secs_f64());
    results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let wanted = filter("title ~ {:t}", params! { "t" => "written while asleep" })?;
    println!("the server has {} of them", client.collection("posts").get_full_list().filter(wanted).await?.len());
    Ok(())
}
