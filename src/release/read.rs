//! What an attachment says: whose it is, and the words of one that must be carried over.
//!
//! Must stay true: it is read in a process of its own, while it is fetched, and nothing of it is kept; what speaks of another
//! patient does not leave without a person's word about these very bytes.

use super::judge::Judged;
use super::seal::Fetched;
use super::{Hindrance, Release, failed};
use crate::base::MediaType;
use crate::cell::{Answer, CellFault, Errand, Reading};
use crate::fhir::AttachmentStream;
use crate::foreign::{self, Foreign, Obstacle};
use crate::paper::write_carried;
use crate::policy::ReviewReason;
use crate::whose::{self, Demand, Verdict};

/// So many of name, birth date and record number must be the patient's where the clinic demands it.
const NAMED_BY_MIN: usize = 2;
/// The most of a plain text that is compared, in bytes.
const WORDS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A look at an attachment that is on its way to be sealed.
pub(super) enum Look {
    /// The clinic wants none.
    Unasked,
    /// A picture.
    Wordless,
    Words(Vec<u8>),
    Reading(Reading),
    Failed(CellFault),
}

impl Look {
    pub(super) async fn give(&mut self, bytes: &[u8]) {
        match self {
            Self::Words(words) => {
                let room = WORDS_BYTES_MAX.saturating_sub(words.len());
                words.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
            }
            Self::Reading(reading) => reading.give(bytes).await,
            Self::Unasked | Self::Wordless | Self::Failed(_) => {}
        }
    }
}

impl Release {
    pub(super) fn begin_look(&self, judged: &Judged<'_>, media: MediaType) -> Look {
        match (judged.ehr.identity, media) {
            (Demand::Unchecked, _) => Look::Unasked,
            (_, MediaType::Png | MediaType::Jpeg | MediaType::Html | MediaType::HealthLink | MediaType::Contents) => {
                Look::Wordless
            }
            (_, MediaType::Text) => Look::Words(Vec::new()),
            (_, MediaType::Pdf) => self.reader.begin(Errand::PdfText).map_or_else(Look::Failed, Look::Reading),
        }
    }

    /// Whether the file that was looked at, all of it, may be the patient's.
    pub(super) async fn judge_look(&self, look: Look, judged: &Judged<'_>, sha256: &[u8; 32]) -> Result<(), Hindrance> {
        let file = self.vault.file_index(sha256);
        if judged.let_go.contains(&file) {
            return Ok(());
        }
        let unread = |fault: CellFault| match fault {
            CellFault::Unconfined => {
                Hindrance::Doubt { why: ReviewReason::PaperUnread { why: fault.to_string() }, file }
            }
            CellFault::NotStarted
            | CellFault::OtherVersion
            | CellFault::Died
            | CellFault::TooSlow
            | CellFault::Lied
            | CellFault::TooLarge
            | CellFault::Abandoned => Hindrance::Unread { why: fault.to_string(), file },
        };
        let text = match look {
            Look::Unasked => return Ok(()),
            Look::Wordless => String::new(),
            Look::Words(words) => String::from_utf8_lossy(&words).into_owned(),
            Look::Failed(fault) => return Err(unread(fault)),
            Look::Reading(reading) => match reading.finish().await {
                Ok(Answer::Text(text)) => text,
                // The browser may show what cannot be read here; it says no more than a scan.
                Ok(Answer::Broken) | Err(CellFault::TooLarge) => String::new(),
                Ok(Answer::Carried(_) | Answer::Not(_) | Answer::Refused | Answer::Done) => {
                    return Err(unread(CellFault::Lied));
                }
                Err(fault) => return Err(unread(fault)),
            },
        };
        judge_text(text, judged, file).await
    }

    /// A document of another kind as a page of ours.
    pub(super) async fn carry_over(
        &self,
        judged: &Judged<'_>,
        mut stream: AttachmentStream,
        head: &[u8],
        kind: Foreign,
    ) -> Result<Fetched, Hindrance> {
        let letterhead = judged.ehr.letterhead.as_ref().ok_or(Hindrance::Review(ReviewReason::NoClinic))?;
        let mut reading = self.reader.begin(Errand::CarryOver(kind)).map_err(|fault| unread(kind, fault))?;
        let mut scan = self.malware.begin().await;
        reading.give(head).await;
        scan.give(head).await;
        while let Some(bytes) = stream.next().await.map_err(|error| failed(&error))? {
            reading.give(&bytes).await;
            scan.give(&bytes).await;
        }
        let whole = || Hindrance::Later { why: "the attachment did not arrive whole".to_owned() };
        let sha256 = stream.sha256().ok_or_else(whole)?;
        let scanned = scan.judge().await?;
        let carried = match reading.finish().await {
            Ok(Answer::Carried(carried)) => foreign::checked(carried).map_err(|obstacle| stays(kind, obstacle))?,
            Ok(Answer::Not(obstacle)) => return Err(stays(kind, obstacle)),
            Ok(Answer::Broken) => return Err(stays(kind, Obstacle::Malformed)),
            Ok(Answer::Text(_) | Answer::Refused | Answer::Done) => return Err(unread(kind, CellFault::Lied)),
            Err(fault) => return Err(unread(kind, fault)),
        };
        let file = self.vault.file_index(&sha256);
        if judged.ehr.identity != Demand::Unchecked && !judged.let_go.contains(&file) {
            judge_text(carried.text(), judged, file).await?;
        }
        let page = write_carried(&carried, letterhead, kind.spoken());
        page.map(|page| Fetched { page, sha256, scanned }).map_err(|why| review(&why.to_string()))
    }
}

async fn judge_text(text: String, judged: &Judged<'_>, file: [u8; 32]) -> Result<(), Hindrance> {
    let known = judged.known.clone();
    let verdict = tokio::task::spawn_blocking(move || whose::compare(&text, &known)).await;
    let Ok(verdict) = verdict else {
        return Err(Hindrance::Unread { why: "the comparison stopped unexpectedly".to_owned(), file });
    };
    let why = match (verdict, judged.ehr.identity) {
        (Verdict::AnotherIdentity { what }, Demand::Uncontradicted | Demand::Named) => {
            ReviewReason::AnothersPaper { what: whose::spoken(&what) }
        }
        (Verdict::SamePatient { by }, Demand::Named) if by.len() < NAMED_BY_MIN => ReviewReason::NobodysPaper,
        (Verdict::NothingSaid, Demand::Named) => ReviewReason::NobodysPaper,
        (_, Demand::Unchecked)
        | (Verdict::SamePatient { .. } | Verdict::NothingSaid, Demand::Uncontradicted | Demand::Named) => return Ok(()),
    };
    Err(Hindrance::Doubt { why, file })
}

fn review(why: &str) -> Hindrance {
    Hindrance::Review(ReviewReason::Attachment { why: why.to_owned() })
}

fn stays(kind: Foreign, obstacle: Obstacle) -> Hindrance {
    review(&format!("it is {} that cannot be carried over word for word: {obstacle}", kind.spoken()))
}

fn unread(kind: Foreign, fault: CellFault) -> Hindrance {
    let why = format!("it is {} that could not be read: {fault}", kind.spoken());
    match fault {
        CellFault::Unconfined | CellFault::TooLarge => review(&why),
        CellFault::NotStarted
        | CellFault::OtherVersion
        | CellFault::Died
        | CellFault::TooSlow
        | CellFault::Lied
        | CellFault::Abandoned => Hindrance::Later { why },
    }
}
