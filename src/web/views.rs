//! What the page is told, as JSON.
//!
//! Must stay true: nothing here is sent to anybody who has not proved to hold the link.

use serde::Serialize;

use crate::base::UtcMillis;
use crate::open::{Another, AskedCode, AskedQuestion, AskedUnlock, Asks, ClinicCard, Ended, Granted, Looked, Standing};
use crate::record::Ask;

#[derive(Serialize)]
struct ClinicView {
    name: String,
    phone: String,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum LookedView {
    Standing(StandingView),
    Ended(EndedView),
}

/// How an answer or the wish for a code fared, and how the link stands then.
#[derive(Serialize)]
pub(super) struct ReplyView {
    said: &'static str,
    /// When the next code may be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    again_at: Option<i64>,
    #[serde(flatten)]
    looked: LookedView,
}

/// What is left to be answered.
#[derive(Serialize)]
struct AsksView {
    left: u8,
    attempts: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<QuestionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<CodeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unlock: Option<UnlockView>,
}

#[derive(Serialize)]
struct QuestionView {
    is: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Serialize)]
struct CodeView {
    /// `email`, `sms`, `staff` or `slip`.
    by: &'static str,
    /// Until when the code counts that is out.
    until: Option<i64>,
}

#[derive(Serialize)]
struct UnlockView {
    /// `email` or `sms`.
    by: &'static str,
    left: u8,
    /// Until when the code counts that is out.
    until: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct StandingView {
    state: &'static str,
    clinic: ClinicView,
    reference: String,
    zone: String,
    /// A tag such as `de` or `de-AT`.
    language: String,
    expires_at: i64,
    opens_left: u16,
    opens_max: u16,
    files: usize,
    /// Of each file, in plaintext.
    sizes: Vec<u64>,
    /// How long one opening lasts; of those that end by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    view_seconds: Option<u64>,
    /// `allowed` or `view_only`.
    download: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    asks: Option<AsksView>,
}

#[derive(Serialize)]
pub(super) struct EndedView {
    state: &'static str,
    kind: &'static str,
    at: Option<i64>,
    clinic: ClinicView,
    reference: String,
    zone: String,
    /// A tag such as `de` or `de-AT`.
    language: String,
    /// Whether another link can be asked for, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    another: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct GrantedView {
    share: String,
    files: Vec<FileView>,
    lease_until: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    view_until: Option<i64>,
    download: &'static str,
}

#[derive(Serialize)]
struct FileView {
    n: u16,
    /// Of the report that it belongs to.
    version: String,
    #[serde(rename = "type")]
    media: &'static str,
    size: u64,
    sealed_size: u64,
}

impl LookedView {
    pub(super) fn new(looked: Looked) -> Self {
        match looked {
            Looked::Ready(standing) => Self::ready(standing),
            Looked::Yours(standing) => Self::Standing(StandingView::new("yours", standing)),
            Looked::Ended(ended) => Self::Ended(EndedView::new(ended)),
        }
    }

    pub(super) fn ready(standing: Standing) -> Self {
        Self::Standing(StandingView::new("ready", standing))
    }
}

impl ReplyView {
    pub(super) fn new(said: &'static str, again_at: Option<UtcMillis>, looked: Looked) -> Self {
        Self { said, again_at: again_at.map(|at| at.0), looked: LookedView::new(looked) }
    }
}

impl AsksView {
    fn new(asks: Asks) -> Self {
        let Asks { left, attempts, question, code, unlock } = asks;
        let question = question.map(|question| match question {
            AskedQuestion::BirthDate => QuestionView { is: "birth_date", text: None },
            AskedQuestion::PatientsBirthDate => QuestionView { is: "patients_birth_date", text: None },
            AskedQuestion::Own(text) => QuestionView { is: "own", text: Some(text.expose().to_owned()) },
        });
        let code = code.map(|AskedCode { by, until }| CodeView { by: way_of(by), until: until.map(|at| at.0) });
        let unlock = unlock.map(|AskedUnlock { by, left, until }| UnlockView {
            by: by.as_str(),
            left,
            until: until.map(|at| at.0),
        });
        Self { left, attempts, question, code, unlock }
    }
}

/// The page's word for how a code comes.
const fn way_of(ask: Ask) -> &'static str {
    match ask {
        Ask::CodeByEmail => "email",
        Ask::CodeBySms => "sms",
        Ask::CodeOnSlip => "slip",
        Ask::CodeByStaff | Ask::BirthDate | Ask::PatientsBirthDate | Ask::OwnQuestion => "staff",
    }
}

impl StandingView {
    fn new(state: &'static str, standing: Standing) -> Self {
        let Standing { clinic, reference, expires_at, opens_left, opens_max, file_bytes: sizes, .. } = standing;
        let ClinicCard { name, phone, zone, language } = clinic;
        let language = language.to_string();
        let clinic = ClinicView { name, phone };
        let reference = reference.as_str().to_owned();
        let (expires_at, files) = (expires_at.0, sizes.len());
        let view_seconds = standing.ends_after.map(|view| view.as_secs());
        let (download, asks) = (standing.download.as_str(), standing.asks.map(AsksView::new));
        Self {
            state,
            clinic,
            reference,
            zone,
            language,
            expires_at,
            opens_left,
            opens_max,
            files,
            sizes,
            view_seconds,
            download,
            asks,
        }
    }
}

impl EndedView {
    pub(super) fn new(ended: Ended) -> Self {
        let Ended { kind, at, clinic, reference, another } = ended;
        let ClinicCard { name, phone, zone, language } = clinic;
        let language = language.to_string();
        let clinic = ClinicView { name, phone };
        let reference = reference.as_str().to_owned();
        let another = match another {
            Another::NotOffered => None,
            Another::Offered => Some("offered"),
            Another::Asked => Some("asked"),
        };
        Self { state: "ended", kind: kind.as_str(), at: at.map(|at| at.0), clinic, reference, zone, language, another }
    }
}

impl GrantedView {
    pub(super) fn new(granted: Granted) -> Self {
        let file = |file: crate::open::OpenFile| FileView {
            n: file.number,
            version: file.report_version.to_string(),
            media: file.media.as_str(),
            size: file.plain_bytes,
            sealed_size: file.sealed_bytes,
        };
        Self {
            share: granted.share.to_base64url().expose().to_owned(),
            files: granted.files.into_iter().map(file).collect(),
            lease_until: granted.lease_until.0,
            view_until: granted.view_until.map(|at| at.0),
            download: granted.download.as_str(),
        }
    }
}
