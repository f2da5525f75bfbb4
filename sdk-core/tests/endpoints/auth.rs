//! Sign-up, sign-in by every way, and what happens to the session.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, future::join_all};
use picobase::{
    Client, ErrorKind, Record,
    auth::{AuthListener, Credentials},
};
use serde_json::{Value, json};

use crate::common::{PATIENCE, address, builder, calls, client, kit, new_user, password, superuser, user_id, within};

/// Gathers the names of a client's auth events.
fn events(client: &Client) -> (AuthListener, Arc<Mutex<Vec<&'static str>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let listener = client.auth().on_change(move |change| sink.lock().unwrap().push(change.event.as_str()));
    (listener, seen)
}

/// Whom the server takes the client for: the owner of a note that it just wrote.
async fn acts_as_itself(client: &Client) -> bool {
    let note = json!({"owner": user_id(client), "body": "x"});
    client.collection("private_notes").create(&note).await.is_ok()
}

#[tokio::test]
async fn sign_up_in_out_and_in_again() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let (_listener, seen) = events(&client);
        let email = address("signup");
        let data = json!({"name": "Ada"});
        let session = client.auth().sign_up(&email, password()).data(&data).await.unwrap().unwrap();
        assert_eq!(session.record::<Record>().unwrap().get_str("name"), Some("Ada"));
        assert!(session.expires_at().unwrap() > 1_700_000_000_000);
        assert_eq!(client.auth().get_user().unwrap().get_str("email"), Some(email.as_str()));
        assert!(acts_as_itself(&client).await);

        client.auth().sign_out().await.unwrap();
        assert!(client.auth().session().is_none() && client.auth().get_user().is_none());
        assert_eq!(client.collection("private_notes").get_list(1, 1).await.unwrap().total_items, 0);

        let wrong = client.auth().sign_in(&email, "wrong-password").await.unwrap_err();
        assert_eq!((wrong.kind(), wrong.status()), (ErrorKind::Validation, 400));
        assert!(wrong.fix().contains("credentials"), "{}", wrong.fix());
        let switched_off = client.auth().request_otp(&email).await.unwrap_err();
        assert_eq!(switched_off.kind(), ErrorKind::Forbidden);
        assert!(switched_off.fix().contains("collection's options"), "{}", switched_off.fix());
        client.auth().sign_in(&email, password()).identity_field("email").await.unwrap();
        assert_eq!(client.collection("private_notes").get_list(1, 1).await.unwrap().total_items, 1);
        assert_eq!(*seen.lock().unwrap(), ["INITIAL_SESSION", "SIGNED_IN", "SIGNED_OUT", "SIGNED_IN"]);
    })
    .await;
}

#[tokio::test]
async fn sign_up_where_verification_must_come_first() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let members = client.collection("members").auth();
        let email = address("member");
        assert!(members.sign_up(&email, password()).await.unwrap().is_none());
        assert!(client.auth().session().is_none());
        let unverified = members.sign_in(&email, password()).await.unwrap_err();
        assert_eq!(unverified.kind(), ErrorKind::Forbidden);
        assert!(unverified.fix().contains("auth rule"), "{}", unverified.fix());

        members.request_verification(&email).await.unwrap();
        let token = kit().mail(&email).await.token.unwrap();
        members.confirm_verification(&token).await.unwrap();
        let session = members.sign_in(&email, password()).await.unwrap();
        assert_eq!(session.record::<Record>().unwrap().get_bool("verified"), Some(true));
    })
    .await;
}

#[tokio::test]
async fn verification_of_the_signed_in_user_shows_in_the_session() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, email) = new_user(&proxy.url).await;
        client.auth().request_verification(&email).await.unwrap();
        let token = kit().mail(&email).await.token.unwrap();
        client.auth().confirm_verification(&token).await.unwrap();
        assert_eq!(client.auth().get_user().unwrap().get_bool("verified"), Some(true));
        assert!(acts_as_itself(&client).await);
        let again = client.auth().confirm_verification("no-token").await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Validation);
    })
    .await;
}

#[tokio::test]
async fn password_reset_by_mail() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, email) = new_user(&proxy.url).await;
        client.auth().sign_out().await.unwrap();
        client.auth().request_password_reset(&email).await.unwrap();
        let token = kit().mail(&email).await.token.unwrap();
        client.auth().confirm_password_reset(&token, "another-password").await.unwrap();
        assert!(client.auth().session().is_none(), "nobody was signed in");
        assert_eq!(client.auth().sign_in(&email, password()).await.unwrap_err().kind(), ErrorKind::Validation);
        client.auth().sign_in(&email, "another-password").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn password_reset_of_the_signed_in_user_keeps_one_signed_in() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, email) = new_user(&proxy.url).await;
        client.auth().request_password_reset(&email).await.unwrap();
        let token = kit().mail(&email).await.token.unwrap();
        client.auth().confirm_password_reset(&token, "another-password").await.unwrap();
        assert!(acts_as_itself(&client).await);
    })
    .await;
}

#[tokio::test]
async fn email_change_by_mail_ends_the_session() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let (_listener, seen) = events(&client);
        let new = address("changed");
        client.auth().request_email_change(&new).await.unwrap();
        let token = kit().mail(&new).await.token.unwrap();
        client.auth().confirm_email_change(&token, password()).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), ["INITIAL_SESSION", "SESSION_EXPIRED"]);
        let over = client.collection("posts").get_list(1, 1).await.unwrap_err();
        assert_eq!((over.kind(), over.attempts()), (ErrorKind::SessionExpired, 0));
        client.auth().sign_in(&new, password()).await.unwrap();
        client.collection("posts").get_list(1, 1).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn changing_the_own_password_keeps_one_signed_in() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, email) = new_user(&proxy.url).await;
        let old = client.auth().session().unwrap().token().to_string();
        let (_listener, seen) = events(&client);
        let body =
            json!({"oldPassword": password(), "password": "changed-password", "passwordConfirm": "changed-password"});
        client.collection("users").update(&user_id(&client), &body).await.unwrap();
        assert_ne!(client.auth().session().unwrap().token(), old);
        assert!(acts_as_itself(&client).await);
        assert_eq!(*seen.lock().unwrap(), ["INITIAL_SESSION", "USER_UPDATED"]);
        client.auth().sign_in(&email, "changed-password").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn changing_the_own_email_by_an_update_ends_the_session() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_manager(&proxy.url).await;
        let (_listener, seen) = events(&client);
        let body = json!({"email": address("renamed")});
        client.collection("members").update(&user_id(&client), &body).await.unwrap();
        assert!(client.auth().session().is_none());
        assert_eq!(seen.lock().unwrap().last(), Some(&"SESSION_EXPIRED"));
        let over = client.collection("posts").get_list(1, 1).await.unwrap_err();
        assert_eq!(over.kind(), ErrorKind::SessionExpired);
    })
    .await;
}

#[tokio::test]
async fn changing_the_own_email_in_a_batch_ends_the_session() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_manager(&proxy.url).await;
        let mut batch = client.batch();
        batch.collection("posts").create(&json!({"title": "beside"}));
        batch.collection("members").update(&user_id(&client), &json!({"email": address("renamed")}));
        assert_eq!(batch.send().await.unwrap().len(), 2);
        assert!(client.auth().session().is_none());
        let over = client.collection("posts").get_list(1, 1).await.unwrap_err();
        assert_eq!(over.kind(), ErrorKind::SessionExpired);
    })
    .await;
}

/// A client signed in as a new manager of `members`, who may change e-mail addresses.
async fn new_manager(url: &str) -> (Client, String) {
    let email = address("manager");
    let body = json!({
        "email": email, "password": password(), "passwordConfirm": password(), "verified": true, "role": "manager",
    });
    superuser(url).await.collection("members").create(&body).await.unwrap();
    let client = client(url);
    client.collection("members").auth().sign_in(&email, password()).await.unwrap();
    (client, email)
}

#[tokio::test]
async fn updating_the_own_record_updates_the_session() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let (_listener, seen) = events(&client);
        client.collection("users").update(&user_id(&client), &json!({"name": "Grace"})).fields("name").await.unwrap();
        let user = client.auth().get_user().unwrap();
        assert_eq!(user.get_str("name"), Some("Grace"));
        assert!(user.get_str("email").is_some(), "an answer cut by `fields` takes nothing away");
        assert_eq!(*seen.lock().unwrap(), ["INITIAL_SESSION", "USER_UPDATED"]);
    })
    .await;
}

#[tokio::test]
async fn deleting_the_own_record_signs_out() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let (_listener, seen) = events(&client);
        client.collection("users").delete(&user_id(&client)).await.unwrap();
        assert!(client.auth().session().is_none());
        assert_eq!(*seen.lock().unwrap(), ["INITIAL_SESSION", "SIGNED_OUT"]);
        client.collection("posts").get_list(1, 1).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_own_record_in_a_batch() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let (_listener, seen) = events(&client);
        let mut batch = client.batch();
        batch.collection("users").update(&user_id(&client), &json!({"name": "Batch"}));
        batch.send().await.unwrap();
        assert_eq!(client.auth().get_user().unwrap().get_str("name"), Some("Batch"));

        let mut batch = client.batch();
        let change =
            json!({"oldPassword": password(), "password": "batch-password", "passwordConfirm": "batch-password"});
        batch.collection("users").update(&user_id(&client), &change);
        batch.send().await.unwrap();
        assert!(acts_as_itself(&client).await);

        let mut batch = client.batch();
        batch.collection("users").delete(&user_id(&client));
        batch.send().await.unwrap();
        assert!(client.auth().session().is_none());
        assert_eq!(*seen.lock().unwrap(), ["INITIAL_SESSION", "USER_UPDATED", "USER_UPDATED", "SIGNED_OUT"]);
    })
    .await;
}

#[tokio::test]
async fn refresh_brings_a_new_token() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, _) = new_user(&proxy.url).await;
        let (_listener, seen) = events(&client);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let before = client.auth().session().unwrap().expires_at().unwrap();
        let session = client.auth().refresh().await.unwrap();
        assert!(session.expires_at().unwrap() > before);
        assert_eq!(*seen.lock().unwrap(), ["INITIAL_SESSION", "TOKEN_REFRESHED"]);
        let guest = client.with_session("");
        assert_eq!(guest.auth().refresh().await.unwrap_err().kind(), ErrorKind::SessionExpired);
    })
    .await;
}

#[tokio::test]
async fn auth_methods_and_providers() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let methods: Value = client.auth().methods().await.unwrap();
        assert_eq!(methods["password"]["enabled"], true);
        let providers = client.auth().oauth2_providers().await.unwrap();
        assert_eq!(providers.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["oidc"]);
        let secured: Value = client.collection("secured").auth().methods().await.unwrap();
        assert_eq!((&secured["otp"]["enabled"], &secured["mfa"]["enabled"]), (&json!(true), &json!(true)));
    })
    .await;
}

/// A new user of `secured`, who needs two factors.
async fn new_secured(client: &Client) -> String {
    let email = address("secured");
    let body = json!({"email": email, "password": password(), "passwordConfirm": password()});
    client.collection("secured").create(&body).await.unwrap();
    email
}

#[tokio::test]
async fn two_factors_password_first() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let auth = client.collection("secured").auth();
        let email = new_secured(&client).await;
        let first = auth.sign_in(&email, password()).await.unwrap_err();
        assert_eq!((first.kind(), first.status()), (ErrorKind::MfaRequired, 401));
        assert!(
            first.message().contains("second factor") && first.fix().contains("MFA id"),
            "{first}: {}",
            first.fix()
        );
        assert!(client.auth().session().is_none());
        let request = auth.request_otp(&email).await.unwrap();
        let code = kit().mail(&email).await.otp.unwrap();
        let session = auth.sign_in_with_otp(&request.otp_id, &code).mfa_id(first.mfa_id().unwrap()).await.unwrap();
        assert_eq!(session.record::<Record>().unwrap().get_str("email"), Some(email.as_str()));
    })
    .await;
}

#[tokio::test]
async fn two_factors_code_first() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let auth = client.collection("secured").auth();
        let email = new_secured(&client).await;
        let request = auth.request_otp(&email).await.unwrap();
        let code = kit().mail(&email).await.otp.unwrap();
        let wrong = auth.sign_in_with_otp(&request.otp_id, "00000000").await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Validation);
        assert!(wrong.fix().contains("credentials"), "{}", wrong.fix());
        let first = auth.sign_in_with_otp(&request.otp_id, &code).await.unwrap_err();
        assert_eq!(first.kind(), ErrorKind::MfaRequired);
        auth.sign_in(&email, password()).mfa_id(first.mfa_id().unwrap()).await.unwrap();
        assert!(client.auth().session().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_one_time_password_alone() {
    within(60, async {
        let server = kit().server().await;
        let root = superuser(&server.url).await;
        root.collections().update::<Value>("users", &json!({"otp": {"enabled": true}})).await.unwrap();
        let (client, email) = new_user(&server.url).await;
        client.auth().sign_out().await.unwrap();
        let request = client.auth().request_otp(&email).await.unwrap();
        let code = kit().mail(&email).await.otp.unwrap();
        client.auth().sign_in_with_otp(&request.otp_id, &code).await.unwrap();
        assert!(acts_as_itself(&client).await);
        let again = client.auth().sign_in_with_otp(&request.otp_id, &code).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Validation, "it opens once");
    })
    .await;
}

#[tokio::test]
async fn impersonation_is_a_client_of_its_own() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (user, _) = new_user(&proxy.url).await;
        assert!(acts_as_itself(&user).await);
        let root = superuser(&proxy.url).await;
        let as_user = root.collection("users").auth().impersonate(&user_id(&user)).duration(Duration::from_secs(600));
        let as_user = as_user.await.unwrap();
        assert_eq!(user_id(&as_user), user_id(&user));
        assert_eq!(as_user.collection("private_notes").get_list(1, 5).await.unwrap().total_items, 1);
        assert_ne!(user_id(&root), user_id(&user));
        let refused = user.collection("users").auth().impersonate(&user_id(&user)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
    })
    .await;
}

/// Lets the provider approve for this address; answers the callback's URL.
async fn approve(url: &str, email: &str) -> String {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = http.get(format!("{url}&login_hint={email}")).send().await.unwrap();
    assert_eq!(answer.status(), 302, "{url}");
    answer.headers()["location"].to_str().unwrap().to_string()
}

fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap().to_string()
}

const CALLBACK: &str = "http://127.0.0.1:9/callback";

#[tokio::test]
async fn oauth2_by_code() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let email = address("oauth");
        let start = client.auth().begin_oauth2("oidc", CALLBACK).await.unwrap();
        assert!(start.url.contains("code_challenge_method=S256"), "{}", start.url);
        let callback = approve(&start.url, &email).await;
        let (code, state) = (parameter(&callback, "code"), parameter(&callback, "state"));
        assert_eq!(state, start.state);

        let forged = client.auth().finish_oauth2(&code, "forged").await.unwrap_err();
        assert_eq!((forged.kind(), forged.attempts()), (ErrorKind::Validation, 0));
        let session = client.auth().finish_oauth2(&code, &state).create_data(&json!({"name": "Eve"})).await.unwrap();
        assert_eq!(session.record::<Record>().unwrap().get_str("email"), Some(email.as_str()));
        let is_new = session.meta().and_then(|meta| meta.get("isNew")).and_then(|new| new.as_bool());
        assert_eq!((is_new, client.auth().refresh().await.unwrap().meta()), (Some(true), None));
        let replayed = client.auth().finish_oauth2(&code, &state).await.unwrap_err();
        assert_eq!((replayed.kind(), replayed.attempts()), (ErrorKind::Validation, 0));
        assert_eq!(calls(&proxy.requests().await, "auth-with-oauth2").len(), 1);
        links_of(&client).await;
    })
    .await;
}

/// Lists and unlinks the provider of the signed-in user.
async fn links_of(client: &Client) {
    let id = user_id(client);
    let links = client.auth().external_auths(&id).unwrap().await.unwrap();
    assert_eq!(links.iter().map(|l| l.get_str("provider").unwrap()).collect::<Vec<_>>(), ["oidc"]);
    client.auth().unlink_external_auth(&id, "oidc").await.unwrap();
    assert!(client.auth().external_auths(&id).unwrap().await.unwrap().is_empty());
    let gone = client.auth().unlink_external_auth(&id, "oidc").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn oauth2_by_the_callback_url() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let email = address("oauth");
        let start = client.auth().begin_oauth2("oidc", CALLBACK).await.unwrap();
        let callback = approve(&start.url, &email).await;
        let other = builder(&proxy.url).build().unwrap();
        let foreign = other.auth().finish_oauth2_url(&callback).await.unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::Validation, "another client's state");
        let damaged = other.auth().resume_oauth2("[\"\"]").unwrap_err();
        assert_eq!(damaged.kind(), ErrorKind::Validation);
        // What was saved carries over, also to a client that was not there yet.
        other.auth().resume_oauth2(&start.saved).unwrap();
        other.auth().finish_oauth2_url(&callback).await.unwrap();
        assert_eq!(other.auth().get_user().unwrap().get_str("email"), Some(email.as_str()));
        let start = client.auth().begin_oauth2("oidc", CALLBACK).await.unwrap();
        let callback = approve(&start.url, &email).await;
        client.auth().finish_oauth2_url(&callback).await.unwrap();
        assert_eq!(client.auth().get_user().unwrap().get_str("email"), Some(email.as_str()));

        let unknown = client.auth().begin_oauth2("github", CALLBACK).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        assert!(unknown.fix().contains("oidc"), "{}", unknown.fix());
        let start = client.auth().begin_oauth2("oidc", CALLBACK).await.unwrap();
        let denied = format!("{CALLBACK}?error=access_denied&state={}", start.state);
        let denied = client.auth().finish_oauth2_url(&denied).await.unwrap_err();
        assert!(denied.message().contains("access_denied"), "{denied}");
    })
    .await;
}

#[tokio::test]
async fn events_as_a_stream_in_order() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let mut changes = client.auth().changes();
        let first = changes.next().await.unwrap();
        assert_eq!((first.event.as_str(), first.session.is_none()), ("INITIAL_SESSION", true));
        let email = address("stream");
        client.auth().sign_up(&email, password()).await.unwrap();
        client.auth().refresh().await.unwrap();
        client.collection("users").update(&user_id(&client), &json!({"name": "x"})).await.unwrap();
        client.auth().sign_out().await.unwrap();
        client.auth().sign_out().await.unwrap();
        let rest: Vec<_> =
            changes.take(4).map(|change| (change.event.as_str(), change.session.is_some())).collect().await;
        let expected = [("SIGNED_IN", true), ("TOKEN_REFRESHED", true), ("USER_UPDATED", true), ("SIGNED_OUT", false)];
        assert_eq!(rest, expected);
    })
    .await;
}

#[tokio::test]
async fn a_service_signs_in_by_itself_once() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (_, email) = new_user(&proxy.url).await;
        let service = builder(&proxy.url).credentials(Credentials::new(&email, password())).build().unwrap();
        proxy.clear_requests().await;
        let lists = (0..20).map(|_| service.collection("posts").get_list(1, 1).into_future());
        assert!(join_all(lists).await.iter().all(Result::is_ok));
        let log = proxy.requests().await;
        assert_eq!(calls(&log, "auth-with-password").len(), 1);
        let token = service.auth().session().unwrap().token().to_string();
        let lists: Vec<_> = log.iter().filter(|r| r.path.ends_with("/posts/records")).collect();
        assert_eq!(lists.len(), 20);
        assert!(lists.iter().all(|r| r.headers["authorization"] == token), "never a guest");

        kill_sessions(&proxy.url, &user_id(&service)).await;
        assert_eq!(service.auth().refresh().await.unwrap_err().kind(), ErrorKind::SessionExpired);
        proxy.clear_requests().await;
        let lists = (0..20).map(|_| service.collection("posts").get_list(1, 1).into_future());
        assert!(join_all(lists).await.iter().all(Result::is_ok));
        assert_eq!(calls(&proxy.requests().await, "auth-with-password").len(), 1);
        assert!(acts_as_itself(&service).await);
    })
    .await;
}

/// Makes all tokens of a user invalid.
async fn kill_sessions(url: &str, id: &str) {
    let key = json!({"tokenKey": "k".repeat(25) + id});
    superuser(url).await.collection("users").update(id, &key).await.unwrap();
}

#[tokio::test]
async fn credentials_that_are_wrong_fail_the_call() {
    within(60, async {
        let proxy = kit().proxy().await;
        let service = builder(&proxy.url).credentials(Credentials::new("nobody@example.com", "wrong")).build().unwrap();
        let lists = (0..10).map(|_| service.collection("posts").get_list(1, 1).into_future());
        let kinds: Vec<_> = join_all(lists).await.into_iter().map(|list| list.unwrap_err().kind()).collect();
        assert_eq!(kinds, [ErrorKind::Validation; 10]);
        let log = proxy.requests().await;
        assert_eq!((calls(&log, "/posts/").len(), calls(&log, "auth-with-password").len()), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_a_superuser() {
    within(60, async {
        let proxy = kit().proxy().await;
        let root = &kit().info().superuser;
        let credentials = Credentials::new(&root.email, &root.password).collection("_superusers");
        let service = builder(&proxy.url).credentials(credentials).build().unwrap();
        assert!(!service.crons().get_full_list().await.unwrap().is_empty());
        assert_eq!(calls(&proxy.requests().await, "_superusers/auth-with-password").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn sign_up_where_two_factors_are_needed() {
    within(60, async {
        let proxy = kit().proxy().await;
        let client = client(&proxy.url);
        let auth = client.collection("secured").auth();
        let email = address("secured");
        let first = auth.sign_up(&email, password()).await.unwrap_err();
        assert_eq!(first.kind(), ErrorKind::MfaRequired);
        let request = auth.request_otp(&email).await.unwrap();
        let code = kit().mail(&email).await.otp.unwrap();
        auth.sign_in_with_otp(&request.otp_id, &code).mfa_id(first.mfa_id().unwrap()).await.unwrap();
        assert!(client.auth().session().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_refresh_that_comes_back_after_the_sign_out_is_dropped() {
    within(60, async {
        let proxy = kit().proxy().await;
        let (client, email) = new_user(&proxy.url).await;
        proxy.faults(json!([{"path_contains": "auth-refresh", "action": {"type": "delay", "ms": 4000}}])).await;
        let refreshing = client.auth();
        let leaving = client.auth();
        let (refreshed, left) = tokio::join!(refreshing.refresh(), async {
            proxy.wait_for(1, PATIENCE, |r| r.path.contains("auth-refresh")).await;
            leaving.sign_out().await
        });
        left.unwrap();
        assert!(refreshed.is_err(), "the answer belongs to the session that was");
        assert!(client.auth().session().is_none());
        client.auth().sign_in(&email, password()).await.unwrap();
        assert!(acts_as_itself(&client).await);
    })
    .await;
}
