//! An SMTP server that keeps what it gets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use mail_parser::MessageParser;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::lock;

/// One mail as it came.
#[derive(Clone, Debug)]
struct Mail {
    from: String,
    to: Vec<String>,
    raw: Vec<u8>,
}

/// All mails that came.
pub(crate) struct Mailbox {
    pub(crate) port: u16,
    mails: Mutex<Vec<Mail>>,
    arrived: Notify,
}

/// Which mail a test looks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    to: Option<String>,
    subject_contains: Option<String>,
    wait_ms: u64,
}

impl Mailbox {
    /// Starts to listen.
    pub(crate) async fn open() -> Result<Arc<Self>> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let mailbox = Arc::new(Self { port, mails: Mutex::default(), arrived: Notify::new() });
        tokio::spawn(accept(mailbox.clone(), listener));
        Ok(mailbox)
    }

    /// The newest mail that fits, for which it waits as long as wanted.
    pub(crate) async fn newest(&self, wanted: &Wanted) -> Option<Value> {
        let end = tokio::time::Instant::now() + Duration::from_millis(wanted.wait_ms);
        loop {
            let arrival = self.arrived.notified();
            tokio::pin!(arrival);
            arrival.as_mut().enable();
            let found = lock(&self.mails).iter().rev().find_map(|mail| mail.read(wanted));
            if found.is_some() || tokio::time::timeout_at(end, arrival).await.is_err() {
                return found;
            }
        }
    }

    pub(crate) fn clear(&self) {
        lock(&self.mails).clear();
    }
}

impl Mail {
    /// The mail's parts, where it fits.
    fn read(&self, wanted: &Wanted) -> Option<Value> {
        let fits = wanted.to.as_ref().is_none_or(|to| self.to.iter().any(|one| one.eq_ignore_ascii_case(to)));
        if !fits {
            return None;
        }
        let message = MessageParser::default().parse(&self.raw)?;
        let subject = message.subject().unwrap_or_default();
        if wanted.subject_contains.as_ref().is_some_and(|part| !subject.contains(part.as_str())) {
            return None;
        }
        let text = message.body_text(0).unwrap_or_default();
        let html = message.body_html(0).unwrap_or_default();
        let links = links(&html);
        let token = links.iter().find_map(|link| find_token(link)).or_else(|| find_token(&text));
        Some(json!({
            "from": self.from, "to": self.to, "subject": subject, "text": text, "html": html,
            "links": links, "token": token, "otp": find_code(&text),
        }))
    }
}

/// What `href`s of the HTML point to.
fn links(html: &str) -> Vec<String> {
    let targets = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    targets.map(|link| link.replace("&amp;", "&")).collect()
}

/// The first JSON web token in a text.
fn find_token(text: &str) -> Option<String> {
    let of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut words = text.split(|c| !of_token(c));
    words.find(|word| word.starts_with("eyJ") && word.matches('.').count() == 2).map(ToOwned::to_owned)
}

/// The first number of 4 to 10 digits that stands alone.
fn find_code(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '/' | ':'));
    let is_code = |word: &str| (4..=10).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    words.map(|word| word.trim_end_matches('.')).find(|word| is_code(word)).map(ToOwned::to_owned)
}

async fn accept(mailbox: Arc<Mailbox>, listener: TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let mailbox = mailbox.clone();
            tokio::spawn(async move {
                if let Err(error) = converse(&mailbox, stream).await {
                    tracing::debug!(%error, "smtp");
                }
            });
        }
    }
}

/// Speaks as much SMTP as a sender on the same machine needs.
async fn converse(mailbox: &Mailbox, stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut from, mut to) = (String::new(), Vec::new());
    stream.write_all(b"220 picobase-testkit\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let command = line.trim_end().to_owned();
        let verb = command.get(..4).unwrap_or_default().to_ascii_uppercase();
        line.clear();
        let answer = match verb.as_str() {
            "QUIT" => break,
            "MAIL" => {
                from = address(&command);
                "250 ok"
            }
            "RCPT" => {
                to.push(address(&command));
                "250 ok"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let raw = read_data(&mut stream).await?;
                lock(&mailbox.mails).push(Mail { from: from.clone(), to: std::mem::take(&mut to), raw });
                mailbox.arrived.notify_waiters();
                "250 kept"
            }
            "RSET" => {
                to.clear();
                "250 ok"
            }
            "EHLO" | "HELO" | "NOOP" => "250 ok",
            _ => "502 unknown",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    stream.write_all(b"221 bye\r\n").await?;
    Ok(())
}

/// Reads a message up to the line with a single dot.
async fn read_data(stream: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let mut raw = Vec::new();
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await? > 0 && line != b".\r\n" {
        raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        line.clear();
    }
    Ok(raw)
}

/// What stands between the angle brackets of a command.
fn address(command: &str) -> String {
    let inside = command.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map(|(address, _)| address.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{find_code, find_token, links};

    #[test]
    fn codes_stand_alone() {
        assert_eq!(find_code("Your password is: 00606160 \r\nBye.").as_deref(), Some("00606160"));
        assert_eq!(find_code("Ends with 123456.").as_deref(), Some("123456"));
        for text in ["", "in 3 minutes", "http://127.0.0.1:26352/x", "eyJ1234.5678.9012", "12345678901"] {
            assert_eq!(find_code(text), None, "{text}");
        }
    }

    #[test]
    fn tokens_are_found_in_links() {
        let html = "<a href=\"http://h/_/#/auth/confirm/eyJh.b_c-d.e\">x</a> <a href=\"/?a=1&amp;b=2\">";
        let links = links(html);
        assert_eq!(links, ["http://h/_/#/auth/confirm/eyJh.b_c-d.e", "/?a=1&b=2"]);
        assert_eq!(find_token(&links[0]).as_deref(), Some("eyJh.b_c-d.e"));
        assert_eq!(find_token("eyJonly.two"), None);
    }
}
