//! Loopback ports for things that go away and come back on the same port.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

use anyhow::{Result, bail};

/// Below the range that the system gives to outgoing connections, so that nobody takes a port while its owner is down.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// The ports that this process has handed out.
#[derive(Default)]
pub(crate) struct Ports {
    taken: Mutex<HashSet<u16>>,
}

impl Ports {
    /// A port on which nothing listens now, handed out once.
    pub(crate) fn pick(&self) -> Result<u16> {
        for _ in 0..1000 {
            let port = fastrand::u16(RANGE);
            if crate::lock(&self.taken).insert(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
        bail!("no free loopback port in {RANGE:?}")
    }
}
