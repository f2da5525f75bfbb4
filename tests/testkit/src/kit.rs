//! Everything that runs in one testkit: servers, proxies, mailbox, OAuth2 provider.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Api;
use crate::lock;
use crate::mail::Mailbox;
use crate::oauth::Provider;
use crate::ports::Ports;
use crate::proxy::Proxy;
use crate::schema::{self, PASSWORD, SUPERUSER};
use crate::server::{End, Launcher, Server};
use crate::tls::Tls;

/// Name of the server and of the proxy that are there from the start.
pub(crate) const DEFAULT: &str = "default";

/// What a test may want of a new server.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerOptions {
    rate_limits: bool,
    settings: Option<Value>,
}

/// A server with the proxy that was made for it.
pub(crate) struct NewServer {
    pub(crate) server: Arc<Server>,
    pub(crate) proxy: Arc<Proxy>,
}

/// One testkit.
pub(crate) struct Kit {
    dir: PathBuf,
    launcher: Arc<Launcher>,
    http: reqwest::Client,
    token: String,
    ports: Ports,
    servers: Mutex<BTreeMap<String, Arc<Server>>>,
    proxies: Mutex<BTreeMap<String, Arc<Proxy>>>,
    last_id: AtomicU64,
    control_port: u16,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) provider: Provider,
    pub(crate) tls: Tls,
}

impl Kit {
    /// Makes the data that all servers start from. No server runs yet.
    pub(crate) async fn new(binary: PathBuf, dir: PathBuf, control_port: u16) -> Result<Self> {
        let mut kit = Self {
            launcher: Arc::new(Launcher::new(binary)),
            http: reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build()?,
            token: String::new(),
            ports: Ports::default(),
            servers: Mutex::default(),
            proxies: Mutex::default(),
            last_id: AtomicU64::new(1),
            control_port,
            mailbox: Mailbox::open().await?,
            provider: Provider::new(control_port),
            tls: Tls::new(&dir)?,
            dir,
        };
        kit.token = kit.make_template().await.context("preparing the server's data")?;
        Ok(kit)
    }

    fn template_dir(&self) -> PathBuf {
        self.dir.join("template")
    }

    /// Returns the superuser's token, which every copy of the template knows.
    async fn make_template(&self) -> Result<String> {
        let dir = self.template_dir();
        std::fs::create_dir_all(&dir)?;
        self.launcher.upsert_superuser(&dir, SUPERUSER, PASSWORD).await?;
        let server = Server::new("template".into(), self.ports.pick()?, dir, self.launcher.clone());
        server.start().await?;
        let api = Api::sign_in(self.http.clone(), server.url(), SUPERUSER, PASSWORD).await?;
        let applied = schema::apply(&api, self.mailbox.port, &self.provider.settings()).await;
        server.end(End::Terminate).await;
        applied?;
        Ok(api.token().to_owned())
    }

    fn next_id(&self, prefix: char) -> String {
        format!("{prefix}{}", self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Starts the server and the proxy that tests use when they ask for none.
    pub(crate) async fn open_default(&self) -> Result<NewServer> {
        self.open(DEFAULT.into(), DEFAULT.into(), &ServerOptions::default()).await
    }

    /// Starts one more server with its own data.
    pub(crate) async fn open_server(&self, options: &ServerOptions) -> Result<NewServer> {
        self.open(self.next_id('s'), self.next_id('p'), options).await
    }

    async fn open(&self, id: String, proxy_id: String, options: &ServerOptions) -> Result<NewServer> {
        let server = self.start_copy(&id).await?;
        lock(&self.servers).insert(id, server.clone());
        let proxy = self.add_proxy(proxy_id, server.clone(), false).await?;
        let settings = json!({
            "meta": {"appURL": proxy.url()}, "rateLimits": {"enabled": options.rate_limits},
        });
        let api = self.api(&server);
        api.ok(Method::PATCH, "/api/settings", Some(&settings)).await?;
        if let Some(settings) = &options.settings {
            api.ok(Method::PATCH, "/api/settings", Some(settings)).await?;
        }
        Ok(NewServer { server, proxy })
    }

    /// Starts a server on a copy of the template; another process may take the port first, so it tries again.
    async fn start_copy(&self, id: &str) -> Result<Arc<Server>> {
        let dir = self.dir.join(id);
        let (from, to) = (self.template_dir(), dir.clone());
        tokio::task::spawn_blocking(move || copy_dir(&from, &to)).await??;
        let mut tries = 0;
        loop {
            let server = Server::new(id.to_owned(), self.ports.pick()?, dir.clone(), self.launcher.clone());
            match server.start().await {
                Ok(()) => return Ok(Arc::new(server)),
                Err(error) if tries == 3 => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    /// Opens one more proxy.
    pub(crate) async fn open_proxy(&self, server: Arc<Server>, tls: bool) -> Result<Arc<Proxy>> {
        self.add_proxy(self.next_id('p'), server, tls).await
    }

    async fn add_proxy(&self, id: String, server: Arc<Server>, tls: bool) -> Result<Arc<Proxy>> {
        let acceptor = tls.then(|| self.tls.acceptor.clone());
        let proxy = Proxy::open(id.clone(), server, self.ports.pick()?, acceptor).await?;
        lock(&self.proxies).insert(id, proxy.clone());
        Ok(proxy)
    }

    pub(crate) fn server(&self, id: &str) -> Option<Arc<Server>> {
        lock(&self.servers).get(id).cloned()
    }

    pub(crate) fn proxy(&self, id: &str) -> Option<Arc<Proxy>> {
        lock(&self.proxies).get(id).cloned()
    }

    /// Opens or closes the proxies of a server that has come or gone.
    pub(crate) async fn sync_proxies(&self, server: &Server) -> Result<()> {
        let all: Vec<_> = lock(&self.proxies).values().cloned().collect();
        for proxy in all.iter().filter(|proxy| proxy.server.id == server.id) {
            proxy.sync_listener().await?;
        }
        Ok(())
    }

    pub(crate) async fn remove_proxy(&self, id: &str) -> bool {
        let removed = lock(&self.proxies).remove(id);
        if let Some(proxy) = &removed {
            proxy.close().await;
        }
        removed.is_some()
    }

    /// Ends a server and its proxies, and deletes its data.
    pub(crate) async fn remove_server(&self, id: &str) -> bool {
        let Some(server) = lock(&self.servers).remove(id) else { return false };
        let ids: Vec<_> =
            lock(&self.proxies).values().filter(|proxy| proxy.server.id == id).map(|proxy| proxy.id.clone()).collect();
        for proxy in ids {
            self.remove_proxy(&proxy).await;
        }
        server.remove().await;
        true
    }

    /// Kills all servers.
    pub(crate) async fn shut_down(&self) {
        let servers: Vec<_> = lock(&self.servers).values().cloned().collect();
        for server in servers {
            server.end(End::Kill).await;
        }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// A server's API as its superuser.
    pub(crate) fn api(&self, server: &Server) -> Api {
        Api::new(self.http.clone(), server.url(), self.token.clone())
    }

    /// What is printed when all is ready.
    pub(crate) fn info(&self, default: &NewServer) -> Value {
        let seeded = schema::seeded_users();
        let mut accounts = BTreeMap::<&str, Vec<&str>>::new();
        for (collection, email, _) in &seeded {
            accounts.entry(collection).or_default().push(email);
        }
        json!({
            "url": default.proxy.url(),
            "direct_url": default.server.url(),
            "control": format!("http://127.0.0.1:{}", self.control_port),
            "server_id": default.server.id,
            "proxy_id": default.proxy.id,
            "superuser": {"email": SUPERUSER, "password": PASSWORD},
            "password": PASSWORD,
            "users": seeded.iter().map(|(_, email, _)| *email).collect::<Vec<_>>(),
            "accounts": accounts,
            "oauth": self.provider.info(),
            "smtp_port": self.mailbox.port,
            "tls_ca": self.tls.authority,
        })
    }
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
