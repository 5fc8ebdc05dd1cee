//! The commands of one mail transaction and the meaning of what comes back.

use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::response::Severity;

use crate::base::EmailAddress;
use crate::notify::letter::Outgoing;
use crate::notify::outcome::{EnhancedStatus, Reply, SendOutcome, Why};

/// Where a dialogue stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Greeting,
    StartTls,
    Login,
    Sender,
    Recipient,
    Data,
    Content,
}

/// Names the sender of `mail`: the last moment at which nothing is under way.
pub(super) async fn offer(connection: &mut AsyncSmtpConnection, mail: &Outgoing) -> Result<(), Error> {
    connection.command(Mail::new(Some(wire_address(mail.return_path())), Vec::new())).await.map(drop)
}

/// Ends a transaction that was refused half-way.
pub(super) async fn reset(connection: &mut AsyncSmtpConnection) -> Result<(), Error> {
    connection.command(Rset).await.map(drop)
}

/// Names the recipient and hands over the message, after [`offer`]. `end_reached` is set before the first byte of the end of
/// the message is written.
///
/// Gives the relay's code of acceptance, or where it stopped and how; no error means an answer out of place.
pub(super) async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    mail: &Outgoing,
    end_reached: &AtomicBool,
) -> Result<u16, (Stage, Option<Error>)> {
    connection
        .command(Rcpt::new(wire_address(mail.to()), Vec::new()))
        .await
        .map_err(|e| (Stage::Recipient, Some(e)))?;
    let go_ahead = connection.command(Data).await.map_err(|e| (Stage::Data, Some(e)))?;
    if !go_ahead.has_code(354) {
        return Err((Stage::Data, None));
    }
    // lettre asks for the next part only when all before it is written, and writes the end once there is none.
    let mut parts = iter::once(mail.expose());
    let parts = iter::from_fn(|| {
        let part = parts.next();
        if part.is_none() {
            end_reached.store(true, Ordering::Relaxed);
        }
        part
    });
    let response = connection.message_iter(parts).await.map_err(|e| (Stage::Content, Some(e)))?;
    if response.code().severity != Severity::PositiveCompletion {
        return Err((Stage::Content, None));
    }
    Ok(u16::from(response.code()))
}

/// What a failure at `stage` means for the message.
pub(super) fn judge(stage: Stage, error: Option<&Error>, end_reached: &AtomicBool) -> SendOutcome {
    let Some((error, code)) = error.and_then(|error| Some((error, error.status()?))) else {
        return if end_reached.load(Ordering::Relaxed) {
            SendOutcome::Ambiguous { why: Why::ours("the relay gave no clear answer after the whole message") }
        } else {
            SendOutcome::Transient { why: Why::ours("the connection broke before the end of the message") }
        };
    };
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let reply = Reply { code: code.into(), enhanced: EnhancedStatus::leading(&text) };
    if code.severity == Severity::TransientNegativeCompletion {
        return SendOutcome::Transient { why: Why::answered(stage.deferred(), reply) };
    }
    let why = Why::answered(stage.refused(), reply);
    // 530: a login or STARTTLS is required (RFC 4954 §6, RFC 3207 §4). All mail would fare the same.
    if reply.code == 530 {
        return SendOutcome::Misconfigured { why };
    }
    match stage {
        // Nobody has been named yet: it is not about this recipient.
        Stage::Greeting | Stage::StartTls | Stage::Login | Stage::Sender => SendOutcome::Misconfigured { why },
        Stage::Recipient | Stage::Data | Stage::Content => SendOutcome::Permanent { why },
    }
}

impl Stage {
    const fn refused(self) -> &'static str {
        match self {
            Self::Greeting => "the relay refuses to talk to us",
            Self::StartTls => "the relay refused STARTTLS",
            Self::Login => "the relay refused the user name or password",
            Self::Sender => "the relay refused the sender",
            Self::Recipient => "the relay refused the recipient",
            Self::Data | Self::Content => "the relay refused the message",
        }
    }

    const fn deferred(self) -> &'static str {
        match self {
            Self::Greeting => "the relay is not ready",
            Self::StartTls => "the relay cannot start TLS at the moment",
            Self::Login => "the relay cannot check the login at the moment",
            Self::Sender => "the relay put off the sender",
            Self::Recipient => "the relay put off the recipient",
            Self::Data | Self::Content => "the relay put off the message",
        }
    }
}

/// Our addresses are narrower than lettre's, so its own check has nothing to add.
fn wire_address(address: &EmailAddress) -> Address {
    let (local, domain) = address.expose().rsplit_once('@').unwrap_or_default();
    Address::new_dangerous(local, domain)
}
