//! What the two processes say to each other: the errand on the command line, the document in, one framed answer out.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::foreign::{Foreign, Obstacle};
use crate::paper::Carried;

/// The largest document that is read, in bytes.
pub const INPUT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The largest answer, in bytes of JSON.
pub(super) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Before each answer, with the length of what follows as eight bytes, most significant first.
pub(super) const MAGIC: &[u8; 8] = b"chartsl1";

/// What a process is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// The text of a PDF.
    PdfText,
    CarryOver(Foreign),
    /// Try to do what must not be possible.
    Try(Trial),
}

/// What a confined process must not be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    OpenFile,
    WriteFile,
    ListFolder,
    Connect,
    Listen,
    Program,
    Thread,
    Memory,
    Forever,
    /// It may do that: what an honest process says.
    Nothing,
}

/// What was read. Patient data: no `Debug`.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Answer {
    Text(String),
    Carried(Carried),
    /// It cannot be carried over whole.
    Not(Obstacle),
    /// The reader cannot make sense of the file.
    Broken,
    /// A trial's deed was refused without the process's death; or done, which must never be.
    Refused,
    Done,
}

impl Trial {
    pub const ALL: [Self; 10] = [
        Self::OpenFile,
        Self::WriteFile,
        Self::ListFolder,
        Self::Connect,
        Self::Listen,
        Self::Program,
        Self::Thread,
        Self::Memory,
        Self::Forever,
        Self::Nothing,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::OpenFile => "try-open",
            Self::WriteFile => "try-write",
            Self::ListFolder => "try-list",
            Self::Connect => "try-connect",
            Self::Listen => "try-listen",
            Self::Program => "try-program",
            Self::Thread => "try-thread",
            Self::Memory => "try-memory",
            Self::Forever => "try-forever",
            Self::Nothing => "try-nothing",
        }
    }
}

impl Errand {
    /// The argument that says it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PdfText => "pdf-text",
            Self::CarryOver(Foreign::Html) => "carry-html",
            Self::CarryOver(Foreign::Cda) => "carry-cda",
            Self::CarryOver(Foreign::Rtf) => "carry-rtf",
            Self::Try(trial) => trial.word(),
        }
    }
}

impl FromStr for Errand {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let kinds = [Foreign::Html, Foreign::Cda, Foreign::Rtf].map(Self::CarryOver);
        let all = kinds.into_iter().chain([Self::PdfText]).chain(Trial::ALL.map(Self::Try));
        all.into_iter().find(|errand| errand.word() == word).ok_or(())
    }
}

/// The frame that carries `answer`; `None` when it is too long.
pub(super) fn framed(answer: &Answer) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(answer).ok().filter(|json| json.len() <= ANSWER_BYTES_MAX)?;
    let mut frame = MAGIC.to_vec();
    frame.extend_from_slice(&(json.len() as u64).to_be_bytes());
    frame.extend_from_slice(&json);
    Some(frame)
}

/// The answer in `frame`, which must hold exactly one.
pub(super) fn unframed(frame: &[u8]) -> Option<Answer> {
    let (length, json) = frame.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    let is_whole = u64::from_be_bytes(*length) == json.len() as u64;
    if is_whole { serde_json::from_slice(json).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_only_as_it_was_framed() {
        let frame = framed(&Answer::Text("HbA1c".to_owned())).unwrap();
        assert!(unframed(&frame) == Some(Answer::Text("HbA1c".to_owned())));
        for wrong in [
            &frame[1..],
            &frame[..frame.len() - 1],
            &[frame.clone(), vec![b' ']].concat(),
            &[MAGIC.as_slice(), &3_u64.to_be_bytes(), b"{}x"].concat(),
            &[MAGIC.as_slice(), &15_u64.to_be_bytes(), b"{\"texts\":\"abc\"}"].concat(),
            b"",
            &MAGIC[..],
        ] {
            assert!(unframed(wrong).is_none());
        }
        assert!(framed(&Answer::Text("x".repeat(ANSWER_BYTES_MAX))).is_none());
    }

    #[test]
    fn every_errand_has_a_word_of_its_own() {
        for trial in Trial::ALL {
            assert_eq!(Errand::Try(trial).word().parse(), Ok(Errand::Try(trial)));
        }
        assert_eq!("pdf-text".parse(), Ok(Errand::PdfText));
        assert_eq!("carry-cda".parse(), Ok(Errand::CarryOver(Foreign::Cda)));
        assert_eq!("pdf".parse::<Errand>(), Err(()));
    }
}
