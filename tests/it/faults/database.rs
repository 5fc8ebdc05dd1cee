//! A wire to PostgreSQL that goes wrong once: between Chartseal and a real server, message by message.

use std::sync::Arc;
use std::time::Duration;

use chartseal::store::{NoWitness, Store, StoreError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::plan::Trigger;
use crate::support::{postgres, wait};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The server never hears it.
    Cut,
    /// The server does it, and its answer is lost: nobody knows whether it was committed.
    CutAfter,
    /// The server never hears it, and nobody says so.
    Silent,
    /// The server does it, and says nothing.
    SilentAfter,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Cut, Self::CutAfter, Self::Silent, Self::SilentAfter];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::CutAfter => "cut-after",
            Self::Silent => "hang",
            Self::SilentAfter => "hang-after",
        }
    }
}

/// A running wire; it stops when dropped.
pub struct Wire {
    /// The database's address through the wire.
    pub url: String,
    served: AbortHandle,
}

impl Wire {
    /// # Panics
    /// When `url` is no database on loopback.
    pub async fn start(url: &str, fault: Option<(Kind, Arc<Trigger>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let mut through = url::Url::parse(url).expect("the tests' own address");
        let server = through.port().expect("the tests' server has a port of its own");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        through.set_port(Some(port)).expect("it takes a port");
        // A wire that hangs is not waited for as long as a clinic would.
        through.query_pairs_mut().append_pair("connect_timeout", "2");
        let served = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                // Whoever hangs up ends the talk.
                tokio::spawn(Talk { client, server, fault: fault.clone() }.hold());
            }
        });
        Self { url: through.into(), served: served.abort_handle() }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.served.abort();
    }
}

struct Talk {
    client: TcpStream,
    server: TcpStream,
    fault: Option<(Kind, Arc<Trigger>)>,
}

impl Talk {
    /// Question by question: what a client sends up to the message after which it waits, then the whole answer.
    /// Protocol 3.0, "Message Flow".
    async fn hold(mut self) -> Option<()> {
        const TLS_WISH: u32 = 80_877_103;
        loop {
            let hello = startup(&mut self.client).await?;
            if hello.get(4..8)? == TLS_WISH.to_be_bytes() {
                self.client.write_all(b"N").await.ok()?;
                continue;
            }
            self.pass("a connection", &hello).await?;
            break;
        }
        loop {
            let (mut question, mut what) = (Vec::new(), String::new());
            loop {
                let (kind, message) = message(&mut self.client).await?;
                question.extend_from_slice(&message);
                match kind {
                    b'Q' | b'P' => what = words_of(&message),
                    // It goes without waiting for anything.
                    b'X' => return self.server.write_all(&question).await.ok(),
                    _ => {}
                }
                if matches!(kind, b'Q' | b'S') {
                    break;
                }
            }
            self.pass(&what, &question).await?;
        }
    }

    async fn pass(&mut self, what: &str, question: &[u8]) -> Option<()> {
        let kind = self.fault.as_ref().filter(|(_, trigger)| trigger.pulled(|| what.to_owned())).map(|(kind, _)| *kind);
        match kind {
            Some(Kind::Cut) => return None,
            Some(Kind::Silent) => return std::future::pending().await,
            None | Some(Kind::CutAfter | Kind::SilentAfter) => {}
        }
        self.server.write_all(question).await.ok()?;
        let mut answer = Vec::new();
        loop {
            let (kind, message) = message(&mut self.server).await?;
            answer.extend_from_slice(&message);
            if kind == b'Z' {
                break;
            }
        }
        match kind {
            Some(Kind::CutAfter) => None,
            Some(Kind::SilentAfter) => std::future::pending().await,
            None | Some(Kind::Cut | Kind::Silent) => self.client.write_all(&answer).await.ok(),
        }
    }
}

/// The first message of a connection has no kind.
async fn startup(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.resize(usize::try_from(length).ok()?, 0);
    stream.read_exact(&mut bytes[4..]).await.ok()?;
    Some(bytes)
}

/// A kind, and the whole message with it.
async fn message(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await.ok()?;
    let length = stream.read_u32().await.ok()?;
    let mut bytes = vec![kind];
    bytes.extend(length.to_be_bytes());
    bytes.resize(1 + usize::try_from(length).ok()?, 0);
    stream.read_exact(&mut bytes[5..]).await.ok()?;
    Some((kind, bytes))
}

/// The beginning of the statement: it has no values in it.
fn words_of(message: &[u8]) -> String {
    let text: String =
        message[5..].iter().map(|byte| char::from(*byte)).filter(|c| c.is_ascii() && *c != '\0').collect();
    text.chars().take(60).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_says_nothing_is_given_up_on_and_asked_again_on_another_connection() {
    let url = tokio::task::spawn_blocking(postgres::fresh_database).await.unwrap();
    // The pool opens connections whenever it likes: they are not meant.
    let trigger = Trigger::at_words("clock_timestamp");
    let wire = Wire::start(&url, Some((Kind::Silent, Arc::clone(&trigger)))).await;
    let through = wire.url.clone();
    let store = tokio::task::spawn_blocking(move || {
        Store::migrate(&through).unwrap();
        Store::open(&through, Arc::new(NoWitness)).unwrap().answering_within(Duration::from_secs(2))
    })
    .await
    .unwrap();
    store.now().await.unwrap();
    trigger.arm();
    let silent = store.now().await;
    assert!(matches!(silent, Err(StoreError::Unavailable { .. })) && trigger.met().is_some(), "{silent:?}");
    wait::until_async("another connection", async || store.now().await.ok()).await;
}
