//! The confined side: one errand, one document, one answer, the end.

use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use super::answer::{Answer, Errand, INPUT_BYTES_MAX, framed};
use super::{confine, trial};
use crate::foreign;

/// The first argument that makes a process of this program a reader. No command for people: it stands in no help.
pub const COMMAND: &str = "read-document";

/// How a process that could not be confined ends. It read nothing.
pub(super) const UNCONFINED: u8 = 71;
/// How one ends that was started for nothing that it knows, or whose pipes broke.
const USELESS: u8 = 72;
/// How one ends that a program of another version started: neither knows what the other says.
pub(super) const OTHER_VERSION: u8 = 73;

/// Of this program, said by whoever starts a reader.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Reads the document on the standard input as the first of `arguments` says, for a program of the version that is the second, and
/// answers on the standard output. Called before the process has a second thread.
#[must_use]
pub fn serve(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    // A panic's message could hold a word of the document.
    std::panic::set_hook(Box::new(|_| {}));
    let Some(errand) = arguments.next().and_then(|word| word.parse::<Errand>().ok()) else { return useless() };
    if arguments.next().as_deref() != Some(VERSION) {
        return ExitCode::from(OTHER_VERSION);
    }
    if confine::confine().is_err() {
        return ExitCode::from(UNCONFINED);
    }
    match answered(errand) {
        Some(()) => ExitCode::SUCCESS,
        None => useless(),
    }
}

/// The end of a process that was started for nothing that it knows.
#[must_use]
pub fn useless() -> ExitCode {
    ExitCode::from(USELESS)
}

fn answered(errand: Errand) -> Option<()> {
    let mut document = Vec::new();
    let most = u64::try_from(INPUT_BYTES_MAX).ok()?.saturating_add(1);
    std::io::stdin().lock().take(most).read_to_end(&mut document).ok()?;
    let answer = if document.len() > INPUT_BYTES_MAX {
        Answer::Broken
    } else {
        catch_unwind(AssertUnwindSafe(|| answer(errand, &document))).unwrap_or(Answer::Broken)
    };
    let frame = framed(&answer).or_else(|| framed(&Answer::Broken))?;
    let mut out = std::io::stdout().lock();
    out.write_all(&frame).ok()?;
    out.flush().ok()
}

fn answer(errand: Errand, document: &[u8]) -> Answer {
    match errand {
        Errand::PdfText => foreign::pdf::text(document).map_or(Answer::Broken, Answer::Text),
        Errand::CarryOver(kind) => match foreign::carry_over(kind, document) {
            Ok(carried) => Answer::Carried(carried),
            Err(obstacle) => Answer::Not(obstacle),
        },
        Errand::Try(trial) => trial::dare(trial),
    }
}
