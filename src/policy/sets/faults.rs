//! What is wrong with a file of code sets: where, what, and what to do. Always the clinic's to mend.
//!
//! Must stay true: every fault has a place and a remedy, and their number is bounded. Code sets hold no patient data, so
//! a fault may quote the file.

use std::fmt;

/// Faults that one file may show; a file with more is wrong as a whole.
const FAULTS_MAX: usize = 50;

/// Where in a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Spot {
    File,
    /// A line, counted from 1.
    Line(u64),
    /// A place in JSON: `compose.include[0].concept[3]`.
    Path(String),
}

/// One fault.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SetFault {
    /// The file's name as it was given; empty when it concerns all of them.
    pub file: String,
    pub at: Spot,
    pub what: String,
    pub remedy: String,
}

impl SetFault {
    pub(super) fn of_all(what: String, remedy: &str) -> Self {
        Self { file: String::new(), at: Spot::File, what, remedy: remedy.to_owned() }
    }

    /// File and place in words.
    #[must_use]
    pub fn place(&self) -> String {
        let file = if self.file.is_empty() { "code sets" } else { &self.file };
        match &self.at {
            Spot::File => file.to_owned(),
            Spot::Line(line) => format!("{file}, line {line}"),
            Spot::Path(path) => format!("{file}, at {path}"),
        }
    }
}

impl fmt::Display for SetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}.", self.place(), self.what, self.remedy)
    }
}

impl std::error::Error for SetFault {}

/// The faults of one file while it is read.
pub(super) struct Faults<'f> {
    file: &'f str,
    found: Vec<SetFault>,
}

impl<'f> Faults<'f> {
    pub(super) const fn new(file: &'f str) -> Self {
        Self { file, found: Vec::new() }
    }

    pub(super) fn add(&mut self, at: Spot, what: impl Into<String>, remedy: &str) {
        if !self.is_full() {
            let fault = SetFault { file: self.file.to_owned(), at, what: what.into(), remedy: remedy.to_owned() };
            self.found.push(fault);
        }
    }

    /// For what every row of a set would say again.
    pub(super) fn add_once(&mut self, at: Spot, what: String, remedy: &str) {
        if !self.found.iter().any(|fault| fault.at == at && fault.what == what) {
            self.add(at, what, remedy);
        }
    }

    /// Whether there is no point in reading on.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= FAULTS_MAX
    }

    pub(super) fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<SetFault> {
        self.found
    }
}
