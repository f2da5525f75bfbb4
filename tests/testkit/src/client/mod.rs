//! The client: one file for each noun of the control port.

mod kit;
mod mail;
mod process;
mod proxy;
mod route;
mod server;

pub use kit::Testkit;
pub use mail::Mail;
pub use process::{Info, OAuthInfo, Superuser};
pub use proxy::{Cut, LoggedRequest, Proxy, Stats};
pub use server::{AdminAnswer, Server, ServerStatus};

/// Ends a test with a reason.
#[expect(clippy::panic, reason = "this client stands in tests, where a panic is how they fail")]
#[track_caller]
fn fail(why: &str) -> ! {
    panic!("testkit: {why}")
}
