//! A double of a mail relay: keeps what it takes, and goes wrong once.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::mail::Kind;
use super::plan::Trigger;
use crate::support::mailbox::Mail;

/// A running relay; it stops when dropped.
pub struct Relay {
    pub port: u16,
    kept: Arc<Mutex<Vec<(String, String)>>>,
    served: AbortHandle,
}

/// How one answer went.
#[derive(Clone, Copy)]
enum Said {
    AsUsual,
    SomethingElse,
}

impl Relay {
    pub async fn start(fault: Option<(Kind, Arc<Trigger>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let shelf = Arc::clone(&kept);
        let served = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let talk = Talk { stream: BufReader::new(stream), fault: fault.clone(), kept: Arc::clone(&shelf) };
                // Whoever hangs up ends the talk.
                tokio::spawn(talk.hold());
            }
        });
        Self { port, kept, served: served.abort_handle() }
    }

    /// What was taken for one address, in order.
    pub fn mails_to(&self, address: &str) -> Vec<Mail> {
        let kept = self.kept.lock().expect("no test panics here").clone();
        kept.into_iter().filter(|(to, _)| to == address).map(|(to, data)| Mail::taken(to, data)).collect()
    }

    pub fn addresses(&self) -> Vec<String> {
        self.kept.lock().expect("no test panics here").iter().map(|(to, _)| to.clone()).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.served.abort();
    }
}

struct Talk {
    stream: BufReader<TcpStream>,
    fault: Option<(Kind, Arc<Trigger>)>,
    kept: Arc<Mutex<Vec<(String, String)>>>,
}

impl Talk {
    /// RFC 5321, as much as a submission needs.
    async fn hold(mut self) -> Option<()> {
        let mut to = String::new();
        self.answer("a connection", "220 relay.test ESMTP\r\n", || {}).await?;
        loop {
            let line = self.line().await?;
            let verb = line.split([' ', ':', '\r']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.answer(&verb, "250-relay.test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n", || {}).await?,
                "HELO" | "MAIL" | "RSET" | "NOOP" => self.answer(&verb, "250 2.0.0 OK\r\n", || {}).await?,
                "RCPT" => {
                    let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    self.answer(&verb, "250 2.1.5 OK\r\n", || to = address).await?
                }
                "DATA" => match self.answer(&verb, "354 Go on\r\n", || {}).await? {
                    Said::AsUsual => self.take_message(to.clone()).await?,
                    Said::SomethingElse => Said::SomethingElse,
                },
                "QUIT" => {
                    self.answer(&verb, "221 2.0.0 Bye\r\n", || {}).await?;
                    return Some(());
                }
                _ => self.answer("nonsense", "500 5.5.1 What?\r\n", || {}).await?,
            };
        }
    }

    async fn take_message(&mut self, to: String) -> Option<Said> {
        let mut data = String::new();
        loop {
            match self.line().await?.as_str() {
                ".\r\n" => break,
                line => data.push_str(line.strip_prefix('.').unwrap_or(line)),
            }
        }
        let kept = Arc::clone(&self.kept);
        let keep = move || kept.lock().expect("no test panics here").push((to, data));
        self.answer("the end of a message", "250 2.0.0 Taken\r\n", keep).await
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line).await.ok()?;
        (count > 0).then_some(line)
    }

    /// Does `deed` and says `usual`, unless this is the use that goes wrong.
    async fn answer(&mut self, what: &str, usual: &str, deed: impl FnOnce()) -> Option<Said> {
        let kind = self.fault.as_ref().filter(|(_, trigger)| trigger.pulled(|| what.to_owned())).map(|(kind, _)| *kind);
        let said = match kind {
            None => {
                deed();
                usual
            }
            Some(Kind::Later) => "451 4.3.0 Come later\r\n",
            Some(Kind::Never) => "550 5.7.1 Never\r\n",
            Some(Kind::Garbage) => "\u{fffd}\u{0} this is no relay\r\n",
            Some(Kind::Silent) => return std::future::pending().await,
            Some(Kind::SilentAfter) => {
                deed();
                return std::future::pending().await;
            }
            Some(Kind::CutBefore) => return None,
            Some(Kind::CutAfter) => {
                deed();
                return None;
            }
        };
        self.stream.write_all(said.as_bytes()).await.ok()?;
        Some(if kind.is_none() { Said::AsUsual } else { Said::SomethingElse })
    }
}
