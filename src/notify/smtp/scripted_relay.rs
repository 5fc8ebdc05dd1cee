//! `ScriptedRelay`: a double of an SMTP relay on a loopback port that does one scripted thing wrong.
//!
//! A double, because no real server refuses, cuts, stalls or lies at a named moment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What it does; each answer is a whole reply line without its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Accept,
    Greet(&'static str),
    SilentAtGreeting,
    AnswerSender(&'static str),
    AnswerRecipient(&'static str),
    AnswerData(&'static str),
    AnswerContent(&'static str),
    CutInContent,
    CutAfterContent,
    StallAfterContent,
    TalkWithoutEndAtGreeting,
    TalkWithoutEndAfterContent,
    StallAtRecipient,
    /// Says goodbye to each connection after one message, as relays with a limit do.
    CutWhenReused,
    /// Accepts STARTTLS and adds a plain reply behind its answer, as someone on the way could.
    InjectAfterStartTls,
    RefuseStartTls,
    RefuseLogin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Plain,
    StartTls,
    TlsAtOnce,
}

pub(super) struct ScriptedRelay {
    pub port: u16,
    pub authority_pem: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// A second handle to each socket that is served, by its number.
    open: Mutex<BTreeMap<usize, std::net::TcpStream>>,
    open_most: AtomicUsize,
    connections: AtomicUsize,
    came_to_its_part: AtomicBool,
    lines: Mutex<Vec<String>>,
    messages: Mutex<Vec<Vec<u8>>>,
}

impl ScriptedRelay {
    pub(super) async fn start(script: Script, offer: Offer) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let socket = socket.into_std().unwrap();
                let number = shared.count(socket.try_clone().unwrap());
                let socket = TcpStream::from_std(socket).unwrap();
                let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    let _ = shared.serve(socket, script, offer, acceptor).await;
                    shared.open.lock().unwrap().remove(&number);
                });
            }
        });
        Self { port, authority_pem: cert.pem(), seen }
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(super) fn open_most(&self) -> usize {
        self.seen.open_most.load(Ordering::SeqCst)
    }

    pub(super) fn messages(&self) -> Vec<Vec<u8>> {
        self.seen.messages.lock().unwrap().clone()
    }

    /// Whether the dialogue has come to where the script differs from a good relay's: silence, cut, or endless talk.
    pub(super) fn came_to_its_part(&self) -> bool {
        self.seen.came_to_its_part.load(Ordering::SeqCst)
    }

    /// The commands, whichever connection they came on.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen.lines.lock().unwrap().clone()
    }
}

/// How a conversation, or a part of it, ended.
enum End {
    Answered,
    Closed,
    StartTls,
}

impl Seen {
    /// Counts a new socket among those that its sender has not closed, whether or not their end has been served yet.
    fn count(&self, socket: std::net::TcpStream) -> usize {
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.lock().unwrap();
        open.insert(number, socket);
        let held = open.values().filter(|socket| is_held_by_its_sender(socket)).count();
        self.open_most.fetch_max(held, Ordering::SeqCst);
        number
    }

    fn come_to_its_part(&self) {
        self.came_to_its_part.store(true, Ordering::SeqCst);
    }

    async fn serve(&self, socket: TcpStream, script: Script, offer: Offer, tls: TlsAcceptor) -> std::io::Result<()> {
        if script == Script::SilentAtGreeting {
            self.come_to_its_part();
            let mut socket = socket;
            socket.read_to_end(&mut Vec::new()).await?;
            return Ok(());
        }
        let greeting = if let Script::Greet(line) = script { line } else { "220 scripted.test ESMTP" };
        if offer == Offer::TlsAtOnce {
            let mut encrypted = BufReader::new(tls.accept(socket).await?);
            self.talk(&mut encrypted, script, Offer::Plain, Some(greeting)).await?;
            return Ok(());
        }
        let mut plain = BufReader::new(socket);
        if let End::StartTls = self.talk(&mut plain, script, offer, Some(greeting)).await? {
            let mut encrypted = BufReader::new(tls.accept(plain.into_inner()).await?);
            self.talk(&mut encrypted, script, Offer::Plain, None).await?;
        }
        Ok(())
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: &mut BufReader<S>,
        script: Script,
        offer: Offer,
        greeting: Option<&str>,
    ) -> std::io::Result<End> {
        if script == Script::TalkWithoutEndAtGreeting {
            self.come_to_its_part();
            talk_without_end(wire, "220-").await?;
        }
        if let Some(greeting) = greeting {
            say(wire, greeting).await?;
        }
        let mut messages = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if wire.read_line(&mut line).await? == 0 {
                return Ok(End::Closed);
            }
            self.lines.lock().unwrap().push(line.trim_end().to_owned());
            match line.split([' ', ':', '\r']).next().unwrap_or_default() {
                "EHLO" => {
                    let tls = if offer == Offer::StartTls { "250-STARTTLS\r\n" } else { "" };
                    say(wire, &format!("250-scripted.test\r\n{tls}250-AUTH PLAIN LOGIN\r\n250 8BITMIME")).await?;
                }
                "STARTTLS" if script == Script::RefuseStartTls => say(wire, "502 5.5.1 no").await?,
                "STARTTLS" => {
                    let added =
                        if script == Script::InjectAfterStartTls { "\r\n250-evil.test\r\n250 AUTH PLAIN" } else { "" };
                    say(wire, &format!("220 go on{added}")).await?;
                    return Ok(End::StartTls);
                }
                "AUTH" => {
                    say(wire, if script == Script::RefuseLogin { "535 5.7.8 wrong" } else { "235 2.7.0 hello" })
                        .await?;
                }
                "MAIL" if script == Script::CutWhenReused && messages > 0 => return Ok(End::Closed),
                "MAIL" => {
                    say(wire, if let Script::AnswerSender(reply) = script { reply } else { "250 2.1.0 OK" }).await?;
                }
                "RCPT" if script == Script::StallAtRecipient => {
                    self.come_to_its_part();
                    stall(wire).await?;
                }
                "RCPT" => {
                    say(wire, if let Script::AnswerRecipient(reply) = script { reply } else { "250 2.1.5 OK" }).await?;
                }
                "DATA" => {
                    messages += 1;
                    if let End::Closed = self.take_message(wire, script).await? {
                        return Ok(End::Closed);
                    }
                }
                "RSET" => say(wire, "250 2.0.0 OK").await?,
                "QUIT" => {
                    say(wire, "221 2.0.0 bye").await?;
                    return Ok(End::Closed);
                }
                _ => say(wire, "500 5.5.2 what?").await?,
            }
        }
    }

    async fn take_message<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: &mut BufReader<S>,
        script: Script,
    ) -> std::io::Result<End> {
        if let Script::AnswerData(reply) = script {
            say(wire, reply).await?;
            return Ok(End::Answered);
        }
        say(wire, "354 go on").await?;
        if script == Script::CutInContent {
            wire.read_u8().await?;
            self.come_to_its_part();
            return Ok(End::Closed);
        }
        let message = content(wire).await?;
        self.come_to_its_part();
        self.messages.lock().unwrap().push(message);
        if script == Script::CutAfterContent {
            return Ok(End::Closed);
        }
        if script == Script::TalkWithoutEndAfterContent {
            talk_without_end(wire, "250-").await?;
        }
        if script == Script::StallAfterContent {
            stall(wire).await?;
        }
        say(wire, if let Script::AnswerContent(reply) = script { reply } else { "250 2.0.0 OK queued" }).await?;
        Ok(End::Answered)
    }
}

fn is_held_by_its_sender(socket: &std::net::TcpStream) -> bool {
    match socket.peek(&mut [0]) {
        Ok(waiting) => waiting > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

/// Reads up to the line that holds a single dot.
async fn content<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut BufReader<S>) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n.\r\n") {
        if wire.read_until(b'\n', &mut message).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(message)
}

/// Says nothing until the other side gives up.
async fn stall<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut BufReader<S>) -> std::io::Result<()> {
    wire.read_to_end(&mut Vec::new()).await.map(drop)
}

/// One reply of ever more lines, until the other side hangs up.
async fn talk_without_end<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut BufReader<S>,
    line: &str,
) -> std::io::Result<()> {
    loop {
        say(wire, line).await?;
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut BufReader<S>, line: &str) -> std::io::Result<()> {
    wire.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
    wire.get_mut().flush().await
}
