//! What an `[[ehr]]` is told of deliveries, and what its staff's answer means.

use crate::config::CompletedTalk;
use crate::config::section::Section;
use crate::record::Told;

const KINDS: &str = "expected \"communication\", \"audit_event\", \"provenance\" or \"task\"";

pub(super) fn read(section: &mut Section<'_>) -> (Vec<Told>, CompletedTalk) {
    let mut told = section.list("write_back", |text| text.parse::<Told>().map_err(|()| KINDS)).unwrap_or_default();
    let listed = told.len();
    told.sort();
    told.dedup();
    if told.len() < listed {
        section.complain("write_back", "each kind is named once");
    }
    let words = [("noted", CompletedTalk::Noted), ("counts", CompletedTalk::Counts)];
    let completed_talk = section.choice("completed_talk", &words, CompletedTalk::Noted);
    if completed_talk == CompletedTalk::Counts && !told.contains(&Told::Task) {
        section.complain("completed_talk", "not used without \"task\" in write_back: add it, or remove this");
    }
    (told, completed_talk)
}
