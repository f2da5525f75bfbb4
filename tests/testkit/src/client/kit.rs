//! The testkit as a test holds it.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::fail;
use super::mail::Mail;
use super::process::{Info, Process};
use super::proxy::Proxy;
use super::route::{self, Control};
use super::server::Server;

/// How long [`Testkit::mail`] waits.
const MAIL_WAIT: Duration = Duration::from_secs(5);

/// A running testkit. It ends when this is dropped, or when the process that holds it ends in whatever way.
#[derive(Debug)]
pub struct Testkit {
    info: Info,
    control: Control,
    process: Process,
}

impl Testkit {
    /// Starts a testkit of one's own. It blocks for the second or two that this takes.
    ///
    /// The binary is `PICOBASE_TESTKIT_BIN`, or `picobase-testkit` in a folder above the running executable
    /// (`target/debug` for tests); the server is `PICOBASE_TEST_SERVER_BINARY`.
    #[must_use]
    pub fn spawn() -> Self {
        Self::spawn_with(&[])
    }

    /// The same with arguments for the binary, as `--server-binary PATH`.
    #[must_use]
    pub fn spawn_with(arguments: &[&str]) -> Self {
        let (process, info) = Process::start(arguments);
        Self { control: Control::new(&info.control), info, process }
    }

    /// The testkit that all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Testkit> = OnceLock::new();
        SHARED.get_or_init(Self::spawn)
    }

    /// Addresses, users and passwords.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The process id of the testkit.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The proxy that all share; set faults on one of your own ([`Testkit::proxy`]).
    #[must_use]
    pub fn default_proxy(&self) -> Proxy {
        Proxy::borrowed(self.control.clone(), &self.info.proxy_id, &self.info.url)
    }

    /// The server that all share; stop and change one of your own ([`Testkit::server`]).
    #[must_use]
    pub fn default_server(&self) -> Server {
        Server::borrowed(self.control.clone(), &self.info)
    }

    /// A new proxy in front of the default server. It closes when it is dropped.
    pub async fn proxy(&self) -> Proxy {
        Proxy::open(&self.control, &json!({})).await
    }

    /// A new proxy that speaks TLS, with a certificate that [`Info::tls_ca`] signed.
    pub async fn tls_proxy(&self) -> Proxy {
        Proxy::open(&self.control, &json!({"tls": true})).await
    }

    /// A new server with its own data, and a proxy before it. Both end when it is dropped.
    pub async fn server(&self) -> Server {
        self.server_with(json!({})).await
    }

    /// The same with options: `{"rate_limits": true, "settings": {...}}`.
    pub async fn server_with(&self, options: Value) -> Server {
        Server::open(&self.control, &options).await
    }

    /// The newest mail to that address; waits 5 s for it.
    pub async fn mail(&self, to: &str) -> Mail {
        match self.find_mail(to, "", MAIL_WAIT).await {
            Some(mail) => mail,
            None => fail(&format!("no mail to {to} within {MAIL_WAIT:?}")),
        }
    }

    /// The newest mail to that address whose subject contains that, if it comes in time.
    pub async fn find_mail(&self, to: &str, subject_contains: &str, wait: Duration) -> Option<Mail> {
        let mut path = url::form_urlencoded::Serializer::new("/mail?".to_owned());
        path.append_pair("to", to).append_pair("subject_contains", subject_contains);
        path.append_pair("wait_ms", &wait.as_millis().to_string());
        let (status, mail) = self.control.send(Method::GET, &path.finish(), None).await;
        (status != 404).then(|| route::decode(mail))
    }

    /// Forgets all mails.
    pub async fn clear_mail(&self) {
        self.control.call(Method::DELETE, "/mail", None).await;
    }

    /// A superuser's token, which every server of this testkit takes.
    pub async fn superuser_token(&self) -> String {
        let answer = self.control.call(Method::GET, "/superuser-token", None).await;
        answer.get("token").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Who signs in next at the OAuth2 provider: `{"sub", "email", "name"}`, or with `"deny": true` nobody.
    pub async fn oauth_user(&self, user: Value) {
        self.control.call(Method::PUT, "/oauth/user", Some(&user)).await;
    }

    /// What the OAuth2 provider was asked, as `{"endpoint", "parameters"}`.
    pub async fn oauth_requests(&self) -> Vec<Value> {
        route::decode(self.control.call(Method::GET, "/oauth/requests", None).await)
    }

    /// Any call of the control port, for what has no method here.
    pub async fn control(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { fail(&format!("{method:?} is no method")) };
        self.control.call(method, path, body.as_ref()).await
    }
}
