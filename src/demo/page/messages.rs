//! Caught messages, read as a patient's mail program reads them.

use mail_parser::{MessageParser, PartType};
use serde::Serialize;

use crate::demo::mail_catcher::Mail;

/// A line of the mailbox. Patient data, if only of invented people: no `Debug`.
#[derive(Serialize)]
pub(super) struct Envelope {
    n: u32,
    at: String,
    from: String,
    to: String,
    subject: String,
    /// The notice that it was, from its Message-ID.
    #[serde(skip)]
    pub(super) notice: String,
}

impl Envelope {
    pub(super) const fn n(&self) -> u32 {
        self.n
    }

    pub(super) fn of(mail: &Mail) -> Self {
        let message = MessageParser::default().parse(&*mail.bytes);
        let read = message.as_ref();
        let from = read.and_then(|message| message.from()?.first());
        let id = read.and_then(|message| message.message_id()).unwrap_or_default();
        Self {
            n: mail.n,
            at: mail.at.to_rfc3339(),
            from: from.and_then(|from| from.name().or(from.address())).unwrap_or_default().to_owned(),
            to: mail.to.clone(),
            subject: read.and_then(|message| message.subject()).unwrap_or_default().to_owned(),
            notice: id.split('@').next().unwrap_or_default().to_owned(),
        }
    }
}

/// The HTML part; its links open in a window of their own, as mail programs do it. `None`: there is none.
pub(super) fn as_shown(mail: &Mail) -> Option<String> {
    let message = MessageParser::default().parse(&*mail.bytes)?;
    let html = message.parts.iter().find_map(|part| match &part.body {
        PartType::Html(html) => Some(html.as_ref()),
        PartType::Text(_)
        | PartType::Binary(_)
        | PartType::InlineBinary(_)
        | PartType::Message(_)
        | PartType::Multipart(_) => None,
    })?;
    Some(html.replacen("<head>", "<head><base target=\"_blank\">", 1))
}
