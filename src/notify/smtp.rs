//! Handing one message to one relay over SMTP (RFC 5321, RFC 3207, RFC 8314).
//!
//! Must stay true: a slot is taken before a connection is used, so the sockets never outnumber the slots; every attempt
//! ends in time, whatever the relay does; from the moment the end of the message may have been written, only an
//! answer of the relay's can say that it was not sent.
//! Must not know: what is in the message.

mod connect;
mod dialogue;
mod settings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::letter::Outgoing;
use super::outcome::{SendOutcome, Why};
use connect::Door;
use dialogue::{Stage, judge};
pub use settings::{Login, MailRelay, RelayError, RelayUrl, TlsMode};

/// A kept connection that was idle for longer is not used again: relays hang up after one to five minutes.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Share of an attempt's time that a kept connection gets to show that it still lives.
const REVIVAL_SHARE: u32 = 4;

/// A relay and the connections kept open to it.
pub struct SmtpRelay {
    door: Door,
    attempt_timeout: Duration,
    /// One per socket that may be open.
    slots: Semaphore,
    idle: Mutex<Vec<Kept>>,
}

struct Kept {
    connection: AsyncSmtpConnection,
    since: Instant,
    left: Left,
}

/// How the last message left a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Clean,
    /// In the middle of a mail transaction, which RSET ends.
    Midway,
}

impl SmtpRelay {
    /// Checks the settings; connects to nothing.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub fn new(relay: MailRelay) -> Result<Self, RelayError> {
        Ok(Self {
            attempt_timeout: relay.attempt_timeout,
            slots: Semaphore::new(usize::from(relay.connections_max.get())),
            idle: Mutex::new(Vec::new()),
            door: Door::new(relay)?,
        })
    }

    /// The longest that [`Self::send`] can take: the wait for a slot, then the attempt.
    #[must_use]
    pub fn longest_send(&self) -> Duration {
        self.attempt_timeout * 2
    }

    /// Connects, encrypts and logs in as a message would, and hangs up.
    ///
    /// # Errors
    /// What a message would have met with.
    pub async fn reach(&self) -> Result<(), Why> {
        let Ok(Ok(_slot)) = timeout(self.attempt_timeout, self.slots.acquire()).await else {
            return Err(Why::ours("all connections to the relay were busy for too long"));
        };
        let opened = timeout(self.attempt_timeout, async {
            let mut connection = self.door.open().await?;
            // It has shown all that was asked of it; how it says good-bye is its affair.
            let _ = connection.quit().await;
            Ok(())
        });
        match opened.await {
            Ok(opened) => opened.map_err(SendOutcome::why),
            Err(_) => Err(Why::ours("the relay did not answer in time")),
        }
    }

    /// Makes one attempt to hand over `mail`.
    pub async fn send(&self, mail: &Outgoing) -> SendOutcome {
        let Ok(Ok(_slot)) = timeout(self.attempt_timeout, self.slots.acquire()).await else {
            return SendOutcome::Transient { why: Why::ours("all connections to the relay were busy for too long") };
        };
        let end_reached = AtomicBool::new(false);
        match timeout(self.attempt_timeout, self.attempt(mail, &end_reached)).await {
            Ok(outcome) => outcome,
            Err(_) if end_reached.load(Ordering::Relaxed) => {
                SendOutcome::Ambiguous { why: Why::ours("the relay did not answer in time after the whole message") }
            }
            Err(_) => SendOutcome::Transient { why: Why::ours("the relay did not answer in time") },
        }
    }

    async fn attempt(&self, mail: &Outgoing, end_reached: &AtomicBool) -> SendOutcome {
        let mut connection = match self.connection_for(mail).await {
            Ok(connection) => connection,
            Err(outcome) => return outcome,
        };
        let (outcome, left) = match dialogue::hand_over(&mut connection, mail, end_reached).await {
            Ok(response_code) => (SendOutcome::Accepted { response_code }, Some(Left::Clean)),
            Err((stage, error)) => {
                let status = error.as_ref().and_then(lettre::transport::smtp::Error::status);
                let refused = status.is_some_and(|code| u16::from(code) != 421);
                (judge(stage, error.as_ref(), end_reached), refused.then_some(Left::Midway))
            }
        };
        if let Some(left) = left {
            self.idle().push(Kept { connection, since: Instant::now(), left });
        }
        outcome
    }

    /// A connection on which the relay has accepted the sender. Nothing is lost when a kept one proves dead before that.
    async fn connection_for(&self, mail: &Outgoing) -> Result<AsyncSmtpConnection, SendOutcome> {
        let kept = self.take_idle();
        if let Some(kept) = kept
            && let Ok(Some(connection)) = timeout(self.attempt_timeout / REVIVAL_SHARE, revive(kept, mail)).await
        {
            return Ok(connection);
        }
        let mut connection = self.door.open().await?;
        let never = AtomicBool::new(false);
        match dialogue::offer(&mut connection, mail).await {
            Ok(()) => Ok(connection),
            Err(error) => Err(judge(Stage::Sender, Some(&error), &never)),
        }
    }

    /// The connection used last, so that the others grow old and are dropped.
    fn take_idle(&self) -> Option<Kept> {
        let mut idle = self.idle();
        idle.retain(|kept| kept.since.elapsed() <= IDLE_MAX);
        idle.pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn revive(mut kept: Kept, mail: &Outgoing) -> Option<AsyncSmtpConnection> {
    if kept.left == Left::Midway {
        dialogue::reset(&mut kept.connection).await.ok()?;
    }
    dialogue::offer(&mut kept.connection, mail).await.ok()?;
    Some(kept.connection)
}

#[cfg(test)]
mod scripted_relay;
#[cfg(test)]
mod tests;
