//! The mail catcher: a small SMTP receiver of ours (RFC 5321) that keeps what it is given and sends nothing on.
//!
//! Must stay true: whatever it is sent, it holds no more than its limits allow; a message goes to nobody but the page.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::now_outside;
use crate::base::{UtcMillis, minutes};

/// Of commands (RFC 5321 §4.5.3.1.4 asks for 512) and of a message's lines (1000).
const LINE_BYTES_MAX: u64 = 1024;
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The oldest is forgotten first.
const MESSAGES_MAX: usize = 200;
const CONNECTIONS_MAX: usize = 10;
/// RFC 5321 §4.5.3.2.7.
const IDLE_MAX: Duration = minutes(5);

/// One message as it came. Holds a link: no `Debug`.
#[derive(Clone)]
pub(super) struct Mail {
    /// Counted from 1.
    pub(super) n: u32,
    pub(super) at: UtcMillis,
    /// Of the envelope.
    pub(super) to: String,
    pub(super) bytes: Arc<[u8]>,
}

/// What was caught so far, in the order of arrival.
#[derive(Clone, Default)]
pub(super) struct Caught(Arc<Mutex<Vec<Mail>>>);

impl Caught {
    pub(super) fn all(&self) -> Vec<Mail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, to: String, bytes: Vec<u8>) {
        let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if mails.len() >= MESSAGES_MAX {
            mails.remove(0);
        }
        let n = mails.last().map_or(1, |mail| mail.n.saturating_add(1));
        mails.push(Mail { n, at: now_outside(), to, bytes: bytes.into() });
    }
}

/// A running catcher; it stops when dropped.
pub(super) struct MailCatcher {
    pub(super) addr: SocketAddr,
    caught: Caught,
    _accepting: AbortOnDropHandle<()>,
}

impl MailCatcher {
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (addr, caught) = (listener.local_addr()?, Caught::default());
        let accepting = tokio::spawn(accept(listener, caught.clone()));
        Ok(Self { addr, caught, _accepting: AbortOnDropHandle::new(accepting) })
    }

    pub(super) fn caught(&self) -> Caught {
        self.caught.clone()
    }
}

async fn accept(listener: TcpListener, caught: Caught) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let caught = caught.clone();
        tokio::spawn(async move {
            // A client that breaks off has its own reasons.
            let _ = converse(stream, &caught).await;
            drop(seat);
        });
    }
}

/// The envelope so far.
#[derive(Default)]
struct Envelope {
    has_sender: bool,
    to: Option<String>,
}

async fn converse(stream: TcpStream, caught: &Caught) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut envelope = Envelope::default();
    stream.write_all(b"220 localhost Chartseal demo: mail catcher\r\n").await?;
    while let Some(line) = line(&mut stream).await? {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let (verb, rest) = text.split_once([' ', ':']).unwrap_or((&text, ""));
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => {
                envelope = Envelope::default();
                "250 localhost"
            }
            "MAIL" => {
                envelope = Envelope { has_sender: true, to: None };
                "250 2.1.0 sender noted"
            }
            "RCPT" if envelope.has_sender && envelope.to.is_none() => match address(rest) {
                Some(to) => {
                    envelope.to = Some(to);
                    "250 2.1.5 recipient noted"
                }
                None => "501 5.1.3 no address",
            },
            "RCPT" => "452 4.5.3 one recipient at a time, after MAIL",
            "DATA" => match envelope.to.take() {
                Some(to) => {
                    stream.write_all(b"354 go ahead\r\n").await?;
                    match message(&mut stream).await? {
                        Received::Whole(bytes) => {
                            caught.keep(to, bytes);
                            "250 2.0.0 caught"
                        }
                        Received::TooLong => "552 5.3.4 too long",
                        Received::Cut => return Ok(()),
                    }
                }
                None => "503 5.5.1 RCPT comes first",
            },
            "RSET" => {
                envelope = Envelope::default();
                "250 2.0.0 forgotten"
            }
            "NOOP" => "250 2.0.0 yes",
            "QUIT" => {
                stream.write_all(b"221 2.0.0 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 5.5.1 not here",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// `TO:<ada@example.org>`.
fn address(rest: &str) -> Option<String> {
    let (_, from_bracket) = rest.split_once('<')?;
    let (address, _) = from_bracket.split_once('>')?;
    (!address.is_empty()).then(|| address.to_owned())
}

enum Received {
    Whole(Vec<u8>),
    TooLong,
    Cut,
}

/// Up to the dot alone, with doubled dots made single (RFC 5321 §4.5.2).
async fn message(stream: &mut BufReader<TcpStream>) -> std::io::Result<Received> {
    let (mut bytes, mut fits) = (Vec::new(), true);
    while let Some(line) = line(stream).await? {
        if line == b".\r\n" {
            return Ok(if fits { Received::Whole(bytes) } else { Received::TooLong });
        }
        let line = line.strip_prefix(b".").unwrap_or(&line);
        fits = fits && bytes.len() + line.len() <= MESSAGE_BYTES_MAX;
        if fits {
            bytes.extend_from_slice(line);
        }
    }
    Ok(Received::Cut)
}

/// The next line with its end; `None` at the end of the connection, at a line that is too long, and after long silence.
async fn line(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut limited = stream.take(LINE_BYTES_MAX);
    match tokio::time::timeout(IDLE_MAX, limited.read_until(b'\n', &mut line)).await {
        Ok(read) => drop(read?),
        Err(_) => return Ok(None),
    }
    Ok(line.ends_with(b"\n").then_some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says everything at once, and hears all until the catcher hangs up.
    async fn talk(catcher: &MailCatcher, said: &[u8]) -> String {
        let mut stream = TcpStream::connect(catcher.addr).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        // What is cut off in the middle of a line may end in a reset.
        let _ = stream.read_to_end(&mut heard).await;
        String::from_utf8(heard).unwrap()
    }

    fn mail(body: &str) -> Vec<u8> {
        format!("EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n{body}\r\n.\r\nQUIT\r\n").into()
    }

    #[tokio::test]
    async fn a_message_is_caught_whole_with_its_doubled_dots_made_single() {
        let catcher = MailCatcher::start().await.unwrap();
        let heard = talk(&catcher, &mail("Subject: x\r\n\r\n..dot")).await;
        assert!(heard.contains("250 2.0.0 caught\r\n221"), "{heard}");
        let caught = catcher.caught().all();
        assert_eq!((caught.len(), caught[0].to.as_str()), (1, "c@d.example"));
        assert_eq!(&*caught[0].bytes, b"Subject: x\r\n\r\n.dot\r\n");
    }

    #[tokio::test]
    async fn what_is_too_long_or_out_of_order_is_not_kept() {
        let catcher = MailCatcher::start().await.unwrap();
        let line = "x".repeat(900) + "\r\n";
        let long = talk(&catcher, &mail(&line.repeat(MESSAGE_BYTES_MAX / 900))).await;
        assert!(long.contains("552 5.3.4"), "{long}");
        let odd = talk(
            &catcher,
            b"DATA\r\nRCPT TO:<c@d.example>\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:c\r\nVRFY x\r\nQUIT\r\n",
        )
        .await;
        let codes: Vec<&str> = odd.lines().filter_map(|line| line.get(..3)).collect();
        assert_eq!(codes, ["220", "503", "452", "250", "501", "502", "221"]);
        let endless = talk(&catcher, "y".repeat(4000).as_bytes()).await;
        assert!(endless.lines().count() <= 1, "{endless}");
        assert!(catcher.caught().all().is_empty());
    }
}
