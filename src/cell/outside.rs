//! The side that starts a confined process, feeds it, and doubts what it says.
//!
//! Must stay true: whoever drops a [`Reading`] ends its process; a document that did not arrive whole is never answered; at most
//! so many processes work at the same time as the machine bears, and one that waits for a slow download is not among them.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::answer::{ANSWER_BYTES_MAX, Answer, Errand, INPUT_BYTES_MAX, MAGIC, Trial, unframed};
use super::inside::{COMMAND, OTHER_VERSION, UNCONFINED, VERSION};
use crate::base::seconds;

/// This program, also when its file was replaced meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The small program beside it.
const SMALL_PROGRAM: &str = "chartseal-reader";
/// Pieces on their way to the process.
const PIECES_IN_FLIGHT: usize = 2;

/// What is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// Nothing: whoever runs is not `chartseal`, and starting it again would do something else.
    #[default]
    Unsaid,
    /// The running program: it is `chartseal`.
    Itself,
    At(PathBuf),
}

impl Program {
    /// For whoever is `chartseal`: the small program, where it was installed beside this one, else this one.
    #[must_use]
    pub fn installed() -> Self {
        let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(SMALL_PROGRAM)));
        beside.filter(|path| path.is_file()).map_or(Self::Itself, Self::At)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct CellLimits {
    /// Processes that work at the same time.
    pub at_once: usize,
    /// For the process to swallow one piece of the document.
    pub swallow_max: Duration,
    /// From the document's end to the answer's end.
    pub work_max: Duration,
}

impl Default for CellLimits {
    fn default() -> Self {
        Self { at_once: 4, swallow_max: seconds(20), work_max: seconds(30) }
    }
}

/// Starts processes that read documents.
#[derive(Clone)]
pub struct Reader {
    program: Program,
    limits: CellLimits,
    working: Arc<Semaphore>,
}

/// How a process failed. Holds no word of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CellFault {
    /// The machine.
    #[error("the process that reads documents cannot be started")]
    NotStarted,
    /// The machine.
    #[error("this machine cannot confine the process that reads documents (it needs Linux with seccomp)")]
    Unconfined,
    /// The machine.
    #[error("the program that reads documents is of another version than this one: install both of one build")]
    OtherVersion,
    #[error("the process that read it was ended, or used more memory or time than it may")]
    Died,
    #[error("reading it took too long")]
    TooSlow,
    #[error("the process that read it gave no proper answer")]
    Lied,
    /// The document.
    #[error("it is larger than Chartseal reads")]
    TooLarge,
    /// Us.
    #[error("the document was not handed over whole")]
    Abandoned,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(Program::default(), CellLimits::default())
    }
}

impl Reader {
    #[must_use]
    pub fn new(program: Program, limits: CellLimits) -> Self {
        Self { program, limits, working: Arc::new(Semaphore::new(limits.at_once)) }
    }

    /// Starts a process for one document.
    ///
    /// # Errors
    /// [`CellFault::NotStarted`].
    pub fn begin(&self, errand: Errand) -> Result<Reading, CellFault> {
        let mut child = self.start(errand).map_err(|_| CellFault::NotStarted)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or(CellFault::NotStarted)?;
        let (pieces, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
        let process = Process { child, stdin, stdout };
        let (limits, working) = (self.limits, Arc::clone(&self.working));
        let work = tokio::spawn(process.read(receiver, limits, working));
        Ok(Reading { pieces, given_bytes: 0, work: Ending(work) })
    }

    /// [`Self::begin`] to [`Reading::finish`] with a document in memory.
    ///
    /// # Errors
    /// [`CellFault`].
    pub async fn read(&self, errand: Errand, document: &[u8]) -> Result<Answer, CellFault> {
        let mut reading = self.begin(errand)?;
        reading.give(document).await;
        reading.finish().await
    }

    /// Whether this machine reads documents in a process that can do nothing else.
    ///
    /// # Errors
    /// [`CellFault::Unconfined`] also where it could do more.
    pub async fn prove(&self) -> Result<(), CellFault> {
        match self.read(Errand::Try(Trial::Nothing), b"").await? {
            Answer::Refused => {}
            Answer::Text(_) | Answer::Carried(_) | Answer::Not(_) | Answer::Broken | Answer::Done => {
                return Err(CellFault::Lied);
            }
        }
        match self.read(Errand::Try(Trial::OpenFile), b"").await {
            Err(CellFault::Died) => Ok(()),
            Ok(_) | Err(_) => Err(CellFault::Unconfined),
        }
    }

    fn start(&self, errand: Errand) -> std::io::Result<Child> {
        let program = match &self.program {
            Program::Unsaid => return Err(std::io::ErrorKind::NotFound.into()),
            Program::Itself => PathBuf::from(OWN_PROGRAM),
            Program::At(path) => path.clone(),
        };
        Command::new(program)
            .args([COMMAND, errand.word(), VERSION])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

/// A document that is being read.
pub struct Reading {
    pieces: mpsc::Sender<Piece>,
    given_bytes: usize,
    work: Ending<Result<Answer, CellFault>>,
}

enum Piece {
    Bytes(Zeroizing<Vec<u8>>),
    /// That was all of it.
    End,
}

impl Reading {
    /// Hands the next bytes over. What goes wrong with it is said by [`Self::finish`].
    pub async fn give(&mut self, bytes: &[u8]) {
        self.given_bytes = self.given_bytes.saturating_add(bytes.len());
        if self.given_bytes <= INPUT_BYTES_MAX {
            // A closed channel means that the process failed; `finish` says how.
            let _ = self.pieces.send(Piece::Bytes(Zeroizing::new(bytes.to_vec()))).await;
        }
    }

    /// That was the whole document: what does it say?
    ///
    /// # Errors
    /// [`CellFault`].
    pub async fn finish(mut self) -> Result<Answer, CellFault> {
        if self.given_bytes > INPUT_BYTES_MAX {
            return Err(CellFault::TooLarge);
        }
        let _ = self.pieces.send(Piece::End).await;
        (&mut self.work.0).await.unwrap_or(Err(CellFault::Died))
    }
}

/// A task that ends with whoever waits for it.
struct Ending<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Process {
    async fn read(
        mut self,
        mut pieces: mpsc::Receiver<Piece>,
        limits: CellLimits,
        working: Arc<Semaphore>,
    ) -> Result<Answer, CellFault> {
        loop {
            match pieces.recv().await {
                Some(Piece::Bytes(bytes)) => match timeout(limits.swallow_max, self.stdin.write_all(&bytes)).await {
                    Ok(Ok(())) => {}
                    // It ended before it had all: its exit says why.
                    Ok(Err(_)) => break,
                    Err(_) => return Err(CellFault::TooSlow),
                },
                Some(Piece::End) => break,
                None => return Err(CellFault::Abandoned),
            }
        }
        let _permit = working.acquire().await.map_err(|_| CellFault::Abandoned)?;
        timeout(limits.work_max, self.answer()).await.unwrap_or(Err(CellFault::TooSlow))
    }

    async fn answer(self) -> Result<Answer, CellFault> {
        let Self { mut child, stdin, stdout } = self;
        drop(stdin);
        let longest = MAGIC.len() + size_of::<u64>() + ANSWER_BYTES_MAX;
        let mut frame = Zeroizing::new(Vec::new());
        let more = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
        stdout.take(more).read_to_end(&mut frame).await.map_err(|_| CellFault::Died)?;
        if frame.len() > longest {
            return Err(CellFault::Lied);
        }
        let status = child.wait().await.map_err(|_| CellFault::Died)?;
        if status.code() == Some(i32::from(UNCONFINED)) {
            return Err(CellFault::Unconfined);
        }
        if status.code() == Some(i32::from(OTHER_VERSION)) {
            return Err(CellFault::OtherVersion);
        }
        if status.signal().is_some() {
            return Err(CellFault::Died);
        }
        if !status.success() {
            return Err(CellFault::Lied);
        }
        unframed(&frame).ok_or(CellFault::Lied)
    }
}
