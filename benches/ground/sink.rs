//! A mail server that takes everything at once and keeps only the links: the cheapest there can be, so that what is
//! measured is ours.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use mail_parser::MessageParser;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Running; it ends when dropped.
pub struct Sink {
    pub port: u16,
    taken: Arc<Mutex<Vec<(Instant, Vec<u8>)>>>,
    served: AbortHandle,
}

impl Sink {
    /// # Panics
    /// When loopback has no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let taken: Arc<Mutex<Vec<(Instant, Vec<u8>)>>> = Arc::default();
        let kept = Arc::clone(&taken);
        let served = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                // A client that goes away ends its own conversation.
                tokio::spawn(async move { drop(converse(stream, &kept).await) });
            }
        });
        Self { port, taken, served: served.abort_handle() }
    }

    /// # Panics
    /// Never: nobody panics while holding the messages.
    pub fn count(&self) -> usize {
        self.taken.lock().expect("nobody panics here").len()
    }

    /// Everything taken so far: when, and the link in its text.
    ///
    /// # Panics
    /// When a message carries none.
    pub fn links(&self) -> Vec<(Instant, String)> {
        let taken = self.taken.lock().expect("nobody panics here");
        taken.iter().map(|(at, mail)| (*at, link_of(mail))).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.served.abort();
    }
}

fn link_of(mail: &[u8]) -> String {
    let message = MessageParser::default().parse(mail).expect("a mail");
    let text = message.body_text(0).expect("a mail has a text");
    let link = text.split_whitespace().find(|word| word.contains("/r/") && word.contains('#'));
    link.expect("a mail carries a link").to_owned()
}

async fn converse(stream: TcpStream, kept: &Mutex<Vec<(Instant, Vec<u8>)>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink\r\n").await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let answer: &[u8] = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mail = receive(&mut stream).await?;
                kept.lock().expect("nobody panics here").push((Instant::now(), mail));
                b"250 taken\r\n"
            }
            b"QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"250 fine\r\n",
        };
        stream.write_all(answer).await?;
    }
}

async fn receive(stream: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    while stream.read_until(b'\n', &mut mail).await? > 0 {
        if mail.ends_with(b"\r\n.\r\n") {
            mail.truncate(mail.len() - 3);
            return Ok(mail);
        }
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}
