//! What is wrong with a rules file: where, what, and what to do. Always the clinic's to mend.
//!
//! Must stay true: every fault has a code, a place and a remedy. Rules hold no patient data, so a fault may quote
//! the file.

use std::fmt;

use serde::Serialize;

/// What kind of fault it is: a word that stays the same for ever, for people to look up and machines to count.
macro_rules! codes {
    ($($(#[$about:meta])* $name:ident = $text:literal, $severity:ident, $explained:literal;)+) => {
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

            /// What it means and what to do, in two sentences for somebody who never saw the language.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $explained,)+
                }
            }

            /// The code of a word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|code| code.as_str() == word)
            }
        }
    };
}

codes! {
    // How the file is written.
    Syntax = "syntax", Error,
        "The file is not written as TOML asks, so none of it can be read. Look at the marked place: a quote, \
         a bracket or an equals sign is missing, or a key stands twice.";
    TooLarge = "too-large", Error,
        "The file or one of its sections is larger than Chartseal reads. Join rows that say the same by \
         listing their codes in one, or put codes into a set beside the file.";
    Form = "form", Error,
        "A value is not of the kind that stands in this place, as a number where a text belongs. Write it as \
         the hint shows.";
    MissingKey = "missing-key", Error,
        "Something that this section or row cannot do without is not there. Add the line that the hint shows.";
    UnknownKey = "unknown-key", Error,
        "A section, key, condition or column is called by a name that the rules do not have. Correct the \
         name: nothing unknown is ever passed over, for it may be what you meant to ask.";
    UnknownWord = "unknown-word", Error,
        "A value comes from a short list of words, and this one is not among them. Write one of the words \
         that the hint names.";
    BadId = "bad-id", Error,
        "A name, a tag or a reference has characters that it cannot have. Write it as the example in the \
         hint.";
    DuplicateId = "duplicate-id", Error,
        "Two rows of one kind have the same id, so a decision could not say which of them it means. Give one \
         of them another id.";
    ReservedId = "reserved-id", Error,
        "The id is one that Chartseal uses itself in its decisions. Choose another.";
    // Codes.
    NoSystem = "no-system", Error,
        "A code stands without its code system, and the same characters mean different things in different \
         systems. Write system|code, as in loinc|4548-4.";
    UnknownSystem = "unknown-system", Error,
        "The code system is not one that Chartseal knows. Write its full URI or one of the short names in the \
         hint.";
    BadCode = "bad-code", Error,
        "What stands behind the system is no code: it has blanks around it, a bar or a star, or is too long. \
         Copy the code from the EHR.";
    LoincCheckDigit = "loinc-check-digit", Error,
        "The last digit of a LOINC code is reckoned from the others, and here it is another. A digit is \
         mistyped: compare the code with the EHR or loinc.org.";
    LoincForm = "loinc-form", Error,
        "This is not a whole LOINC code. LOINC codes have no meaning by their beginning, so write each code \
         in full.";
    SnomedCheckDigit = "snomed-check-digit", Error,
        "The last digit of a SNOMED CT code is reckoned from the others, and here it is another. A digit is \
         mistyped: compare the code with the EHR or a SNOMED browser.";
    FlatPrefix = "flat-prefix", Error,
        "Codes of this system that begin alike have nothing else in common, so a beginning would match by \
         chance. List the codes with 'holds', or name a set; beginnings work for ICD and for local codes.";
    UnknownSet = "unknown-set", Error,
        "No code set has this name, neither among those that ship nor in a file beside the rules. Correct the \
         name, or add a file called like the set.";
    BadSet = "bad-set", Error,
        "A file of code sets beside the rules has a fault, and nothing was loaded. The message names the \
         file, its line and what to do.";
    UnknownTag = "unknown-tag", Error,
        "A restriction tests a tag that no classify row gives, so it would never apply. Correct the tag, or \
         add the classify row that gives it.";
    UnknownService = "unknown-service", Error,
        "Nothing says how reports of this service are recognised. Correct the word, or add a [[service]] row \
         that names the specialty or the performers.";
    // Text.
    BadPattern = "bad-pattern", Error,
        "A text pattern cannot be used, most often because a bracket is open or it would need too much \
         memory. Write plain words, or mend the expression as the message says.";
    LoosePattern = "loose-pattern", Error,
        "The pattern is so short that it is found in the middle of other words. Put \\b on both sides, so \
         that it matches whole words only.";
    // How rows hang together.
    ProfileTestsTag = "profile-tests-tag", Error,
        "A profile says what kind of report it is and may not look at tags, or a sensitive report could get \
         looser terms than others. Move what depends on the tag into a restrict row.";
    UnknownOver = "unknown-over", Error,
        "'over' names a row that this file does not have. Correct the id, or take it out.";
    OverCycle = "over-cycle", Error,
        "Profiles replace each other in a circle, so none of them would count. Take one of them out of the \
         'over' of another.";
    SendsEverything = "sends-everything", Error,
        "This profile would send every report, whatever it holds. Name the reports in 'when' by code, type, \
         category, service or clinic.";
    NeverMatches = "never-matches", Error,
        "The conditions of this row cannot hold together for any report. Take out the one that does not \
         belong there.";
    LawExcepted = "law-excepted", Error,
        "An exception names a row of a law pack, and a clinic cannot lift a law. Take the id out of 'over'.";
    ExceptionByOne = "exception-by-one", Error,
        "An exception makes rules looser, so two people stand for it. Name both in 'by'.";
    ExceptionWithoutEnd = "exception-without-end", Error,
        "An exception has no last day and would stay for ever. Add 'until', the first day on which it no \
         longer counts.";
    // What rows ask for.
    BeyondLimits = "beyond-limits", Error,
        "A value passes a bound of [limits] or of Chartseal itself. Choose a value within, or change [limits] \
         if the clinic means it.";
    ShortWaking = "short-waking", Error,
        "Under this expiry a patient could have fewer than twelve waking hours to open the link. Write a \
         longer expiry, or count it from the delivery.";
    BasisWithoutHold = "basis-without-hold", Error,
        "'basis' gives the ground of a hold, and the row has no 'hold'. Add the hold, or take the basis out.";
    MissingAction = "missing-action", Error,
        "A profile does not say what happens to its reports. Add action = \"send\", \"manual_review\" or \
         \"block\".";
    EmptyRestrict = "empty-restrict", Error,
        "A restriction asks for nothing, so it changes nothing. Say what is asked of these reports, as in \
         opens = 1.";
    WeakChallenge = "weak-challenge", Error,
        "Sensitive reports are protected by a question alone, as a birth date, which relatives and employers \
         can answer. Ask for a code as well, sent by another channel: verify = [\"question\", \"code\"], \
         code_via = \"other\".";
    // Laws.
    UnknownLaw = "unknown-law", Error,
        "There is no law pack of this name. Write one of the names in the hint.";
    CrossesFloor = "crosses-floor", Error,
        "The row holds reports for a shorter time than a law asks for. Write the law's time, or leave 'hold' \
         out: the law holds them anyway.";
    CrossesCeiling = "crosses-ceiling", Error,
        "The row keeps reports back for longer than a law allows. Shorten the hold and the back-stop, and let \
         the back-stop release.";
    LawNeedsZone = "law-needs-zone", Error,
        "Laws count days, and the file does not say in which time zone. Add timezone under [policy].";
    // Tests.
    BadTest = "bad-test", Error,
        "A test lacks a part, or names a fact that is not written as it should be. Write it as the example in \
         the hint.";
    FailingTest = "failing-test", Error,
        "The rules decide otherwise than this test expects. Either the rules changed by mistake, or the test \
         is out of date: see with rules explain which row decided, and mend the one that is wrong.";
    // What only a second look finds.
    NoWayOut = "no-way-out", Error,
        "A code is asked for that may not come where the link comes, only one channel is allowed, and nothing says how \
         the patient gets it, so every such report waits for a person. Add code_else = \"staff\", \"slip\" or \"pickup\", \
         or allow a second channel.";
    UntaggedTag = "tag-without-restrict", Warning,
        "Reports get this tag, and no restriction asks anything of them because of it. Add the tag to a \
         restrict row, or take the classify row out.";
    Unreachable = "unreachable-row", Warning,
        "No report can ever meet this row: its conditions exclude each other, another row always replaces \
         it, or a law forbids all that it speaks of. Correct the condition that the message names, or take the row out.";
    Dominated = "dominated-row", Warning,
        "Another row matches whenever this one does and asks for as much or more, so this row changes \
         nothing. Take it out, or correct what it was meant to ask for.";
    Overlap = "overlapping-profiles", Warning,
        "Two profiles match the same reports, neither replaces the other, and the strictest value of each \
         column counts. If one is the special case, let it name the other in 'over'; else make their codes \
         differ.";
    PolarityLeak = "polarity-leak", Warning,
        "The row looks at the result and changes what the patient or a bystander can see, so the waiting or \
         the extra step itself tells that the result is bad. Decide by the test that was made, never by how \
         it came out.";
    UntestedRow = "untested-row", Warning,
        "If this row were gone, every test would still pass. Add a test with a report that only this row \
         decides, so that nobody breaks it unseen.";
    NoTests = "no-tests", Warning,
        "The file has no tests, so nothing tells whether a change does what was meant. Add a [[test]] for \
         each kind of report that matters.";
    ClinicHold = "clinic-hold", Warning,
        "Reports wait for no other ground than the clinic's own policy, and in the United States a blanket \
         delay is likely information blocking (Cures Act). Name the ground with 'basis' if there is one, or \
         take the wait out; ask counsel.";
    OpenToScanners = "open-to-scanners", Warning,
        "The link opens once and asks nothing, so a mail scanner that follows links would use it up before \
         the patient does. Add verify = [\"code\"] with code_via = \"other\", or allow more openings.";
    VisibleAnswer = "visible-answer", Warning,
        "The code that is asked for may come to the mailbox or telephone that has the link, so whoever reads the one \
         reads the other. Add code_via = \"other\", which sends it by another channel.";
    IdleHealthLink = "idle-health-link", Warning,
        "The row offers a SMART Health Link, and its links ask something, open only once or let nothing be saved: such links \
         have none. Write health_link = \"never\", or take out what stands against it.";
    FallsToDefault = "falls-to-default", Warning,
        "Reports of this code came often and no profile speaks of them, so each of them waits for a person. Name the \
         code in a profile, also if a person shall look: then it is meant.";
    OwnCodeOnly = "own-code-only", Warning,
        "The tag is given by the report's own code alone, and misses a sensitive test inside a panel or in \
         its order. Use 'holds' or a set, which look at the members and the order too.";
    UnverifiedLaw = "unverified-law", Warning,
        "This law pack is a skeleton that nobody has checked against the law. Have counsel complete it before \
         you rely on it.";
    LawNotYet = "law-not-yet", Warning,
        "This law pack does not count on the day on which these rules come into force. Keep it if that day is \
         near; until then no report is held by it.";
    CategoryAlone = "category-alone", Warning,
        "Reports are sent by their category alone, and no row looks at what they hold: laboratory reports \
         include HIV, pregnancy and genetic tests. Name the codes that may leave, or add classify and \
         restrict rows for what is sensitive.";
    BasisWithoutProxy = "basis-without-proxy", Warning,
        "The row asks on what ground a proxy acts for the patient and speaks of no proxy, and nobody else has such a \
         ground. Add \"proxy\" to 'recipient', or take 'basis' out of the row.";
    ProxyWithoutGround = "proxy-without-ground", Warning,
        "The profile sends to whoever acts for the patient, whatever gives them the right to. Name a 'basis' or a \
         'consent' in it, so that only those get these reports whom you mean.";
    ExceptionOver = "exception-over", Warning,
        "The last day of this exception has passed, so it changes nothing any more. Take it out, or have two \
         people agree on a new day.";
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
