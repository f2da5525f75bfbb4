//! The fault proxy: a listener in front of a server that passes everything on, except what its rules say.

mod body;
mod connection;
mod exchange;
mod log;
mod rules;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::lock;
use crate::server::{Server, State};
use connection::Handle;
use log::Log;
use rules::Rules;
pub(crate) use rules::{How, Rule};

/// One listener with its own rules, log and connections.
pub(crate) struct Proxy {
    pub(crate) id: String,
    pub(crate) server: Arc<Server>,
    port: u16,
    tls: Option<TlsAcceptor>,
    rules: Mutex<Rules>,
    rules_changed: Notify,
    log: Arc<Log>,
    connections: Mutex<BTreeMap<u64, Arc<Handle>>>,
    listener: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Opens a proxy, which listens while its server does.
    pub(crate) async fn open(
        id: String,
        server: Arc<Server>,
        port: u16,
        tls: Option<TlsAcceptor>,
    ) -> Result<Arc<Self>> {
        let proxy = Arc::new(Self {
            id,
            server,
            port,
            tls,
            rules: Mutex::default(),
            rules_changed: Notify::new(),
            log: Arc::default(),
            connections: Mutex::default(),
            listener: tokio::sync::Mutex::default(),
            watcher: Mutex::default(),
        });
        proxy.sync_listener().await?;
        *lock(&proxy.watcher) = Some(tokio::spawn(watch(proxy.clone())));
        Ok(proxy)
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    fn server_port(&self) -> u16 {
        self.server.port
    }

    /// Replaces or appends rules; they are in force when this returns.
    pub(crate) async fn set_rules(self: &Arc<Self>, rules: Vec<Rule>, keep: bool) -> Result<()> {
        {
            let mut current = lock(&self.rules);
            if !keep {
                current.clear();
            }
            current.append(rules);
        }
        self.rules_changed.notify_one();
        self.sync_listener().await
    }

    pub(crate) fn show_rules(&self) -> Vec<Value> {
        lock(&self.rules).show()
    }

    pub(crate) fn requests(&self) -> Value {
        self.log.show()
    }

    pub(crate) fn clear_requests(&self) {
        self.log.clear();
    }

    pub(crate) fn stats(&self) -> Value {
        self.log.stats()
    }

    /// Cuts the live connections, or those that serve such a path, and says how many.
    pub(crate) fn cut(&self, how: How, path_contains: Option<&str>) -> usize {
        let connections = lock(&self.connections);
        let chosen = connections.values().filter(|connection| path_contains.is_none_or(|part| connection.serves(part)));
        chosen.map(|connection| connection.cut(how)).count()
    }

    /// Opens or closes the listener, as the rules and the server's state want it.
    pub(crate) async fn sync_listener(self: &Arc<Self>) -> Result<()> {
        let mut listener = self.listener.lock().await;
        let refusing = lock(&self.rules).refusing();
        let open = refusing.is_none() && matches!(self.server.state(), State::Ready(_));
        if open == listener.is_some() {
            return Ok(());
        }
        if let Some(task) = listener.take() {
            task.abort();
            let _ = task.await;
            self.close_behind(refusing);
            return Ok(());
        }
        *listener = Some(tokio::spawn(accept(self.clone(), bind(self.port).await?)));
        Ok(())
    }

    /// Ends the connections that a closed listener leaves: all of them, or only idle ones where the server went down
    /// (it ended the others itself).
    fn close_behind(&self, refusing: Option<bool>) {
        if refusing == Some(true) {
            return;
        }
        for connection in lock(&self.connections).values() {
            if refusing.is_some() || connection.is_idle() {
                connection.cut(How::Close);
            }
        }
    }

    /// Ends everything.
    pub(crate) async fn close(&self) {
        if let Some(watcher) = lock(&self.watcher).take() {
            watcher.abort();
        }
        if let Some(task) = self.listener.lock().await.take() {
            task.abort();
            let _ = task.await;
        }
        self.cut(How::Reset, None);
    }
}

/// Binds a port that may still be in the hands of one who leaves.
async fn bind(port: u16) -> Result<TcpListener> {
    let mut tries = 0;
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if tries == 100 => return Err(error).context("the proxy's port"),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn accept(proxy: Arc<Proxy>, listener: TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection::serve(proxy.clone(), stream));
        }
    }
}

/// Opens and closes the listener when rules run out and when the server comes and goes.
async fn watch(proxy: Arc<Proxy>) {
    let mut server = proxy.server.watch();
    loop {
        let wait = lock(&proxy.rules).refusal_ends_in().unwrap_or(Duration::from_secs(86_400));
        tokio::select! {
            () = proxy.rules_changed.notified() => {}
            changed = server.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
        if let Err(error) = proxy.sync_listener().await {
            tracing::error!(%error, proxy = proxy.id, "the listener");
        }
    }
}
