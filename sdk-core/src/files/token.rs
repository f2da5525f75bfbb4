//! The token that opens protected files, kept until shortly before it expires.

use alloc::{
    boxed::Box,
    string::{String, ToString},
};
use core::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    auth::token::Claims,
    call::{Call, execute},
    client::Client,
    endpoints,
    error::Error,
    runtime::{BoxFuture, Lock, THREADS},
    sync::SingleFlight,
};

/// File tokens live three minutes, unless the instance is set up otherwise.
const LIFE: Duration = Duration::from_secs(180);
/// A token is not handed out in its last half minute: whoever gets it needs time to use it.
const RESERVE: Duration = Duration::from_secs(30);

pub(crate) struct FileToken {
    cached: Lock<Option<Cached>>,
    asking: SingleFlight<Result<SecretString, Error>>,
}

struct Cached {
    token: SecretString,
    /// On the runtime's `uptime` clock.
    until: Duration,
}

impl FileToken {
    pub(crate) fn new() -> Self {
        FileToken { cached: Lock::new(None), asking: SingleFlight::new() }
    }

    /// The token that is cached, or a new one; callers that come together share one request.
    pub(crate) async fn get(&self, client: &Client) -> Result<String, Error> {
        let token = match self.at_hand(client) {
            Some(token) => token,
            None => self.asking.join_or_start(|| fetch(client.clone())).await?,
        };
        Ok(token.expose_secret().to_string())
    }

    fn at_hand(&self, client: &Client) -> Option<SecretString> {
        let now = client.shared.runtime.uptime();
        self.cached.with(|slot| slot.as_ref().filter(|cached| now < cached.until).map(|cached| cached.token.clone()))
    }

    /// Forgets the token, and does not keep one that is being asked for: it belongs to an earlier session.
    pub(crate) fn forget(&self) {
        self.asking.forget();
        self.cached.with(|slot| *slot = None);
    }
}

fn fetch(client: Client) -> BoxFuture<'static, Result<SecretString, Error>> {
    Box::pin(async move {
        // Since its caller looked, the run of another thread may have ended.
        if THREADS && let Some(token) = client.session.file_token.at_hand(&client) {
            return Ok(token);
        }
        let generation = client.session.generation();
        let answer = execute(&client, Call::new(&endpoints::FILES_TOKEN, &[])).await?;
        let token = answer.read(|json| {
            let token = json.get_str("token").filter(|token| !token.is_empty());
            token.ok_or_else(|| Error::decode("the answer has no file token", ""))
        })?;
        let until = client.shared.runtime.uptime().saturating_add(usable_for(&client, &token));
        let token = SecretString::from(token);
        if client.session.generation() == generation {
            client.session.file_token.cached.with(|slot| *slot = Some(Cached { token: token.clone(), until }));
        }
        Ok(token)
    })
}

/// How long the token may be handed out. A wrong local clock can only shorten that.
fn usable_for(client: &Client, token: &str) -> Duration {
    let exp = Claims::read(token).and_then(|claims| claims.exp).and_then(|exp| u64::try_from(exp).ok());
    let life = match exp.map(|exp| exp.saturating_mul(1000).saturating_sub(client.shared.runtime.now())) {
        Some(ms) if ms > 0 => Duration::from_millis(ms).min(LIFE),
        _ => LIFE,
    };
    life.saturating_sub(RESERVE)
}
