//! A real mail server on loopback (`aiosmtpd`) that keeps what it accepts and fails on request.
//!
//! The recipient's local part picks the fault; `tests/testbed/faultsmtp.py` lists them.

use std::process::Command;

use mail_parser::MessageParser;
use serde::Deserialize;

use super::part::{EndWith, Part, Recipe};
use super::place::Place;
use super::{python, wait};

/// How the server speaks.
#[derive(Clone, Copy, Default)]
pub enum Manner {
    #[default]
    Plain,
    /// Offers STARTTLS with the certificate of [`Mailbox::certificate_pem`] and takes no mail without it.
    StartTls,
    /// Accepts connections and never says a word.
    Silent,
    /// Greets with this line and says nothing more.
    Greets(&'static str),
    /// Takes mail only after a login as `chartseal` with the planted password.
    Login,
}

/// A running mail server; it ends when dropped or when the test process dies.
pub struct Mailbox {
    pub port: u16,
    part: Part,
}

/// One mail as a patient's mail program shows it.
pub struct Mail {
    pub envelope_from: String,
    pub envelope_to: Vec<String>,
    pub came_over_tls: bool,
    pub subject: String,
    pub message_id: String,
    /// The decoded text part; empty when there is none.
    pub text: String,
    /// The decoded HTML part; empty when there is none.
    pub html: String,
    /// The whole message as it came over the wire.
    pub raw: String,
}

#[derive(Deserialize)]
struct Kept {
    mail_from: String,
    rcpt: Vec<String>,
    tls: bool,
    data: String,
}

impl Mailbox {
    /// Starts a server of one's own, within a second.
    ///
    /// # Panics
    /// When the Python environment is not installed or the server does not start.
    pub async fn start(manner: Manner) -> Self {
        let folder = Place::new("mailbox");
        let mut command = vec![python::program("python").into(), python::script("faultsmtp.py").into()];
        command.extend(["--port", "0", "--out", "kept.jsonl"].map(Into::into));
        match manner {
            Manner::Plain => {}
            Manner::Silent => command.push("--silent".into()),
            Manner::Greets(line) => command.extend(["--greeting", line].map(Into::into)),
            Manner::Login => {
                command.extend(["--login", "chartseal", super::planted::SMTP_PASSWORD.value].map(Into::into));
            }
            Manner::StartTls => {
                make_certificate(&folder);
                command.extend(["--starttls", "cert.pem", "key.pem"].map(Into::into));
            }
        }
        let recipe = Recipe { name: "faultsmtp", command, environment: vec![], end_with: EndWith::Terminate };
        let program = Part::start(recipe, folder);
        let port = wait::until("the mail server", || {
            program.assert_running();
            program.log().lines().find_map(|line| line.strip_prefix("listening ")?.parse().ok())
        })
        .await;
        Self { port, part: program }
    }

    /// The certificate to trust after [`Manner::StartTls`], good for `localhost` and `127.0.0.1`.
    ///
    /// # Panics
    /// In any other manner.
    pub fn certificate_pem(&self) -> Vec<u8> {
        std::fs::read(self.part.folder().join("cert.pem")).expect("the server speaks STARTTLS")
    }

    /// All mails accepted so far, in the order of acceptance.
    pub fn mails(&self) -> Vec<Mail> {
        let kept = std::fs::read_to_string(self.part.folder().join("kept.jsonl")).unwrap_or_default();
        // The last line may still be in writing.
        let whole = kept.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| Mail::read(serde_json::from_str(line).expect("the server writes JSON"))).collect()
    }

    /// To whom mails were accepted so far, in that order: quicker than reading them.
    pub fn recipients(&self) -> Vec<String> {
        let kept = std::fs::read_to_string(self.part.folder().join("kept.jsonl")).unwrap_or_default();
        let whole = kept.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .flat_map(|line| serde_json::from_str::<Kept>(line).expect("the server writes JSON").rcpt)
            .collect()
    }

    /// The newest mail to `address`, once there are at least `count` to it.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn wait_for(&self, address: &str, count: usize) -> Mail {
        wait::until("a mail", || {
            let mut mails: Vec<_> =
                self.mails().into_iter().filter(|mail| mail.envelope_to.iter().any(|to| to == address)).collect();
            if mails.len() < count { None } else { mails.pop() }
        })
        .await
    }
}

impl Mail {
    /// The one link that the mail carries, whole with its secret.
    ///
    /// # Panics
    /// When the mail has none or several, or when its text and its HTML disagree.
    pub fn link(&self) -> String {
        let mut links = links_in(&self.text);
        links.extend(links_in(&self.html));
        links.sort();
        links.dedup();
        assert_eq!(links.len(), 1, "a mail carries exactly one link");
        links.remove(0)
    }

    /// A message that a relay of our own took.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn taken(envelope_to: String, data: String) -> Self {
        Self::read(Kept { mail_from: String::new(), rcpt: vec![envelope_to], tls: false, data })
    }

    fn read(kept: Kept) -> Self {
        let message = MessageParser::default().parse(&kept.data).expect("the mail can be read");
        let part = |text: Option<std::borrow::Cow<'_, str>>| text.map(Into::into).unwrap_or_default();
        let has_text = message.parts.iter().any(|p| matches!(p.body, mail_parser::PartType::Text(_)));
        let has_html = message.parts.iter().any(|p| matches!(p.body, mail_parser::PartType::Html(_)));
        Self {
            subject: message.subject().unwrap_or_default().to_owned(),
            message_id: message.message_id().unwrap_or_default().to_owned(),
            // The parser makes a missing part up from the other one; what was not sent must stay missing.
            text: if has_text { part(message.body_text(0)) } else { String::new() },
            html: if has_html { part(message.body_html(0)) } else { String::new() },
            envelope_from: kept.mail_from,
            envelope_to: kept.rcpt,
            came_over_tls: kept.tls,
            raw: kept.data,
        }
    }
}

/// Every `http(s)://…/r/…` in a text or in HTML.
fn links_in(body: &str) -> Vec<String> {
    let ends_link = |c: char| c.is_whitespace() || "\"'<>)".contains(c);
    body.match_indices("http")
        .filter_map(|(at, _)| body[at..].split(ends_link).next())
        .filter(|link| link.contains("://") && link.contains("/r/"))
        .map(|link| link.replace("&amp;", "&").replace("&#x2F;", "/").replace("&#x23;", "#"))
        .collect()
}

/// Writes `cert.pem` and `key.pem`, good for `localhost` and `127.0.0.1`.
///
/// # Panics
/// When the Python environment is not installed.
pub fn make_certificate(folder: &std::path::Path) {
    let made = Command::new(python::program("python")).arg(python::script("certificate.py")).arg(folder).status();
    assert!(made.is_ok_and(|status| status.success()), "a certificate can be made");
}
