//! What is wrong with a rules file: where, what, and what to do. Always the clinic's to mend.
//!
//! Must stay true: every fault has a code, a place and a remedy. Rules hold no patient data, so a fault may quote
//! the file.

use std::fmt;

use serde::Serialize;

/// What kind of fault it is: a word that stays the same for ever, for people to look up and machines to count.
macro_rules! codes {
    ($($(#[$about:meta])* $name:ident = $text:literal, $severity:ident;)+) => {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
        pub enum Code {
            $($(#[$about])* #[serde(rename = $text)] $name,)+
        }

        impl Code {
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)+
                }
            }
        }
    };
}

codes! {
    // How the file is written.
    Syntax = "syntax", Error;
    TooLarge = "too-large", Error;
    /// A value is not of the form that stands there.
    Form = "form", Error;
    MissingKey = "missing-key", Error;
    UnknownKey = "unknown-key", Error;
    UnknownWord = "unknown-word", Error;
    BadId = "bad-id", Error;
    DuplicateId = "duplicate-id", Error;
    ReservedId = "reserved-id", Error;
    // Codes.
    NoSystem = "no-system", Error;
    UnknownSystem = "unknown-system", Error;
    BadCode = "bad-code", Error;
    LoincCheckDigit = "loinc-check-digit", Error;
    LoincForm = "loinc-form", Error;
    SnomedCheckDigit = "snomed-check-digit", Error;
    FlatPrefix = "flat-prefix", Error;
    UnknownSet = "unknown-set", Error;
    BadSet = "bad-set", Error;
    UnknownTag = "unknown-tag", Error;
    UnknownService = "unknown-service", Error;
    // Text.
    BadPattern = "bad-pattern", Error;
    LoosePattern = "loose-pattern", Error;
    // How rows hang together.
    ProfileTestsTag = "profile-tests-tag", Error;
    UnknownOver = "unknown-over", Error;
    OverCycle = "over-cycle", Error;
    SendsEverything = "sends-everything", Error;
    NeverMatches = "never-matches", Error;
    LawExcepted = "law-excepted", Error;
    ExceptionByOne = "exception-by-one", Error;
    ExceptionWithoutEnd = "exception-without-end", Error;
    // What rows ask for.
    BeyondLimits = "beyond-limits", Error;
    ShortWaking = "short-waking", Error;
    BasisWithoutHold = "basis-without-hold", Error;
    MissingAction = "missing-action", Error;
    EmptyRestrict = "empty-restrict", Error;
    WeakChallenge = "weak-challenge", Error;
    VisibleAnswer = "visible-answer", Error;
    // Laws.
    UnknownLaw = "unknown-law", Error;
    CrossesFloor = "crosses-floor", Error;
    CrossesCeiling = "crosses-ceiling", Error;
    LawNeedsZone = "law-needs-zone", Error;
    // Tests.
    BadTest = "bad-test", Error;
    FailingTest = "failing-test", Error;
    // What only a second look finds.
    UntaggedTag = "tag-without-restrict", Warning;
    Unreachable = "unreachable-row", Warning;
    Dominated = "dominated-row", Warning;
    Overlap = "overlapping-profiles", Warning;
    PolarityLeak = "polarity-leak", Warning;
    UntestedRow = "untested-row", Warning;
    NoTests = "no-tests", Warning;
    ClinicHold = "clinic-hold", Warning;
    OpenToScanners = "open-to-scanners", Warning;
    OwnCodeOnly = "own-code-only", Warning;
    UnverifiedLaw = "unverified-law", Warning;
    LawNotYet = "law-not-yet", Warning;
    CategoryAlone = "category-alone", Warning;
    DisplayDisagrees = "display-disagrees", Warning;
    ExceptionOver = "exception-over", Warning;
    OftenByDefault = "often-by-default", Warning;
}

/// Whether a fault keeps the file from being loaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One fault. `line` and `column` count from 1; the column and the width count characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error, Serialize)]
#[error("line {line}, column {column}: {what}. {remedy}.")]
pub struct RulesError {
    pub line: usize,
    pub column: usize,
    pub width: usize,
    pub code: Code,
    pub what: String,
    pub remedy: String,
}

/// All faults found in one reading, in the order of the file; never empty. Nothing was loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RulesErrors(pub Vec<RulesError>);

impl fmt::Display for RulesErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rules file has faults and nothing was loaded:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for RulesErrors {}
