//! A double of a mail relay, for speed: it accepts everything and keeps nothing but who was written to when, and the last
//! message. Beside it a plain client that speaks the same dialogue to it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// One message, at the moment of its acceptance.
#[derive(Clone, Copy)]
pub struct Arrival {
    /// The number of the patient written to; `None` for the plain client's.
    pub patient: Option<u32>,
    pub at: Instant,
}

/// A running double; it stops when dropped.
pub struct Sink {
    pub port: u16,
    kept: Arc<Mutex<Kept>>,
    served: AbortHandle,
}

#[derive(Default)]
struct Kept {
    arrivals: Vec<Arrival>,
    last: Vec<u8>,
}

impl Sink {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let shared = Arc::clone(&kept);
        let served = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&shared);
                // Whoever hangs up has nothing more to say.
                tokio::spawn(async move { converse(stream, &kept).await.ok() });
            }
        });
        Self { port, kept, served: served.abort_handle() }
    }

    /// All messages of patients so far, in the order of acceptance.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.kept().arrivals.iter().filter(|arrival| arrival.patient.is_some()).copied().collect()
    }

    /// The text of the last message.
    pub fn last(&self) -> Vec<u8> {
        self.kept().last.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics here")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn converse(stream: TcpStream, kept: &Mutex<Kept>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    stream.write_all(b"220 sink ESMTP\r\n").await?;
    let (mut patient, mut line) = (None, Vec::new());
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match line.get(..4).unwrap_or_default() {
            b"EHLO" => b"250-sink\r\n250 8BITMIME\r\n",
            b"RCPT" => {
                patient = patient_in(&line);
                b"250 ok\r\n"
            }
            b"DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let message = read_message(&mut stream).await?;
                let mut kept = kept.lock().expect("nothing panics here");
                kept.arrivals.push(Arrival { patient, at: Instant::now() });
                kept.last = message;
                b"250 kept\r\n"
            }
            b"QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        stream.write_all(reply).await?;
    }
}

fn patient_in(line: &[u8]) -> Option<u32> {
    let (_, address) = std::str::from_utf8(line).ok()?.split_once("<p")?;
    address.split_once('@')?.0.parse().ok()
}

async fn read_message(stream: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    const END: &[u8] = b"\r\n.\r\n";
    let mut message = Vec::with_capacity(4096);
    while !message.ends_with(END) {
        if stream.read_until(b'\n', &mut message).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    message.truncate(message.len() - 3);
    Ok(message)
}

/// Sends `count` copies of `message` over so many connections, one dialogue after the other on each, with the commands
/// that the service uses. Messages each second.
pub async fn plain_client(port: u16, connections: usize, count: usize, message: &[u8]) -> f64 {
    let mut data = message.to_vec();
    data.extend(b".\r\n");
    let data = Arc::new(data);
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the sink listens");
        stream.set_nodelay(true).expect("sockets can be told");
        let mut stream = BufReader::new(stream);
        reply(&mut stream).await;
        ask(&mut stream, b"EHLO plain\r\n").await;
        streams.push(stream);
    }
    let since = Instant::now();
    let clients = streams.into_iter().map(|mut stream| {
        let data = Arc::clone(&data);
        tokio::spawn(async move {
            for _ in 0..count / connections {
                ask(&mut stream, b"MAIL FROM:<results@riverside.example>\r\n").await;
                ask(&mut stream, b"RCPT TO:<plain@patients.example>\r\n").await;
                ask(&mut stream, b"DATA\r\n").await;
                ask(&mut stream, &data).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("the sink takes everything");
    }
    crate::measure::number(count / connections * connections) / since.elapsed().as_secs_f64()
}

async fn ask(stream: &mut BufReader<TcpStream>, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("the sink listens");
    reply(stream).await;
}

async fn reply(stream: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    while line.as_bytes().get(3) != Some(&b' ') {
        line.clear();
        assert!(stream.read_line(&mut line).await.expect("the sink answers") > 0, "the sink hung up");
    }
}
