//! clamd's own protocol over its socket: `INSTREAM` for a file, `VERSION` for whether it is there (clamd(8), "COMMANDS").
//!
//! Must stay true: bytes are handed on as they come, a piece at a time, never collected.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{Place, ScanFault, Signature, Verdict};
use crate::base::{minutes, seconds};

/// Longest answer, in bytes: the name of a finding and a few words.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;
/// The most in one piece, in bytes.
const PIECE_BYTES_MAX: usize = 256 * 1024;

/// A clamd.
#[derive(Clone, Debug)]
pub struct Clamd {
    at: Place,
    patience: Patience,
}

/// How long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To connect, or to say that it is there.
    pub(super) hello: Duration,
    /// For a piece.
    pub(super) piece: Duration,
    /// To think about a file that it has wholly. Its own limit (`MaxScanTime`) is two minutes.
    pub(super) answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { hello: seconds(10), piece: seconds(30), answer: minutes(3) }
    }
}

/// A file that it is being told.
pub struct Scanning {
    course: Course,
    patience: Patience,
}

enum Course {
    Told(Box<dyn Line>),
    /// It spoke, or hung up, before it had all.
    Ended(Result<Verdict, ScanFault>),
}

trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

impl Clamd {
    #[must_use]
    pub fn new(at: Place) -> Self {
        Self { at, patience: Patience::default() }
    }

    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.at
    }

    /// Begins a file. A scanner that is not there is told of when it is finished, like any other fault.
    pub async fn begin(&self) -> Scanning {
        let course = match self.call(b"zINSTREAM\0").await {
            Ok(line) => Course::Told(line),
            Err(fault) => Course::Ended(Err(fault)),
        };
        Scanning { course, patience: self.patience }
    }

    /// What it calls itself and its signatures, in its own words.
    ///
    /// # Errors
    /// [`ScanFault`].
    pub async fn version(&self) -> Result<String, ScanFault> {
        let mut line = self.call(b"zVERSION\0").await?;
        let said = answer(&mut line, self.patience.hello).await?;
        let is_plain = said.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if said.starts_with("ClamAV ") && is_plain { Ok(said) } else { Err(ScanFault::NotOne) }
    }

    async fn call(&self, command: &[u8]) -> Result<Box<dyn Line>, ScanFault> {
        let connected = match &self.at {
            Place::Socket(path) => {
                let line = timeout(self.patience.hello, UnixStream::connect(path)).await;
                line.map(|line| line.map(|line| Box::new(line) as Box<dyn Line>))
            }
            Place::Port { host, port } => {
                let line = timeout(self.patience.hello, TcpStream::connect((host.as_str(), *port))).await;
                line.map(|line| line.map(|line| Box::new(line) as Box<dyn Line>))
            }
        };
        let mut line = connected.map_err(|_| ScanFault::NotReached)?.map_err(|_| ScanFault::NotReached)?;
        match timeout(self.patience.piece, line.write_all(command)).await {
            Ok(Ok(())) => Ok(line),
            Ok(Err(_)) => Err(ScanFault::HungUp),
            Err(_) => Err(ScanFault::TooSlow),
        }
    }
}

impl Scanning {
    /// Hands on the next bytes.
    pub async fn give(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            let Course::Told(line) = &mut self.course else { return };
            if let Err(fault) = tell(line, piece, self.patience.piece).await {
                let ended = match fault {
                    // It says why before it hangs up.
                    ScanFault::HungUp => answer(line, self.patience.hello).await.and_then(|said| read(&said)),
                    ScanFault::NotReached
                    | ScanFault::TooSlow
                    | ScanFault::TooLarge
                    | ScanFault::Failed
                    | ScanFault::NotOne => Err(fault),
                };
                // Of a file that it did not have whole, "clean" says nothing.
                let ended = ended.and_then(|verdict| match verdict {
                    Verdict::Clean => Err(ScanFault::HungUp),
                    Verdict::Found(what) => Ok(Verdict::Found(what)),
                });
                self.course = Course::Ended(ended);
            }
        }
    }

    /// What it says of all that it was given.
    ///
    /// # Errors
    /// [`ScanFault`].
    pub async fn finish(self) -> Result<Verdict, ScanFault> {
        match self.course {
            Course::Ended(ended) => ended,
            Course::Told(mut line) => match tell(&mut line, &[], self.patience.piece).await {
                Ok(()) | Err(ScanFault::HungUp) => {
                    answer(&mut line, self.patience.answer).await.and_then(|said| read(&said))
                }
                Err(other) => Err(other),
            },
        }
    }
}

/// A piece behind its length; an empty one ends the file.
async fn tell(line: &mut Box<dyn Line>, piece: &[u8], wait_max: Duration) -> Result<(), ScanFault> {
    let length = u32::try_from(piece.len()).map_err(|_| ScanFault::TooLarge)?.to_be_bytes();
    let telling = async {
        line.write_all(&length).await?;
        line.write_all(piece).await?;
        line.flush().await
    };
    match timeout(wait_max, telling).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(ScanFault::HungUp),
        Err(_) => Err(ScanFault::TooSlow),
    }
}

async fn answer(line: &mut Box<dyn Line>, wait_max: Duration) -> Result<String, ScanFault> {
    let mut said = Vec::new();
    let mut bounded = line.take(ANSWER_BYTES_MAX);
    // What it said before it hung up rudely counts: it ends with the zero byte.
    if timeout(wait_max, bounded.read_to_end(&mut said)).await.is_err() {
        return Err(ScanFault::TooSlow);
    }
    let said = said.strip_suffix(b"\0").ok_or(ScanFault::HungUp)?;
    String::from_utf8(said.to_vec()).map_err(|_| ScanFault::NotOne)
}

/// `stream: OK`, `stream: NAME FOUND`, `… ERROR`.
fn read(said: &str) -> Result<Verdict, ScanFault> {
    if said == "stream: OK" {
        return Ok(Verdict::Clean);
    }
    let found = said.strip_prefix("stream: ").and_then(|rest| rest.strip_suffix(" FOUND"));
    if let Some(found) = found {
        return Ok(Verdict::Found(Signature::said(found)));
    }
    if said.contains("size limit exceeded") {
        return Err(ScanFault::TooLarge);
    }
    Err(if said.ends_with("ERROR") { ScanFault::Failed } else { ScanFault::NotOne })
}
