//! Mails that the server sent.

use serde::Deserialize;

/// A mail as it was caught.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Mail {
    /// The sender's address.
    pub from: String,
    /// The recipients' addresses.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// What the links in the HTML point to.
    pub links: Vec<String>,
    /// The token of verification, password reset and e-mail change.
    pub token: Option<String>,
    /// The one-time password.
    pub otp: Option<String>,
}
