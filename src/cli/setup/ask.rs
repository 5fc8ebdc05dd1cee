//! Asking a person, a line at a time. Questions go to standard error: standard output is for what came of them.

use std::io::{BufRead as _, Write as _};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    Person,
    /// Flags said everything that is to be said.
    Nobody,
}

/// Bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 4096;

impl Answers {
    /// What was given by a flag, else what is answered, else `usual`.
    pub(super) fn text(self, given: Option<&String>, question: &str, usual: Option<&str>) -> Option<String> {
        if let Some(given) = given {
            return Some(given.clone());
        }
        let hint = usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
        let answered = match self {
            Self::Person => line(&format!("{question}{hint}: ")),
            Self::Nobody => None,
        };
        answered.or_else(|| usual.map(str::to_owned))
    }

    /// Whether the person says yes; nobody's silence is none.
    pub(super) fn agrees(self, question: &str) -> Agreed {
        let answered = match self {
            Self::Person => line(&format!("{question} [y/N]: ")),
            Self::Nobody => return Agreed::Yes,
        };
        match answered.as_deref() {
            Some("y" | "Y" | "yes" | "Yes") => Agreed::Yes,
            Some(_) | None => Agreed::No,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    Yes,
    No,
}

pub(super) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// One line; `None` where it is empty, or where nobody is there any more.
fn line(question: &str) -> Option<String> {
    let mut out = std::io::stderr();
    let _ = out.write_all(question.as_bytes()).and_then(|()| out.flush());
    let mut answer = String::new();
    let stdin = std::io::stdin().lock();
    std::io::Read::take(stdin, ANSWER_BYTES_MAX).read_line(&mut answer).ok()?;
    let answer = answer.trim();
    if answer.is_empty() { None } else { Some(answer.to_owned()) }
}
