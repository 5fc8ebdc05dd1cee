//! A mail to a clinic's staff about one link.
//!
//! Must stay true: it names the delivery by its id and reference, and holds nothing of the patient, the report or the link itself.

use askama::Template;
use chrono_tz::Tz;

use super::letter::{DisplayName, Outgoing};
use super::messages::day_and_time;
use super::template::{ComposeError, Envelope, PLAIN_COLUMNS_MAX, Words, wrapped};
use crate::base::{DeliveryId, EmailAddress, Language, NoticeId, Reference, UtcMillis};
use crate::record::StaffNews;

/// All that a mail to staff may know. It is written in English, as everything for staff is.
pub struct StaffNotice {
    pub notice: NoticeId,
    pub clinic_name: DisplayName,
    pub from: EmailAddress,
    pub to: EmailAddress,
    pub news: StaffNews,
    pub delivery: DeliveryId,
    pub reference: Reference,
    pub happened_at: UtcMillis,
    /// The clinic's.
    pub zone: Tz,
}

impl StaffNotice {
    /// Writes the mail; the same notice gives the same bytes.
    ///
    /// # Errors
    /// See [`ComposeError`].
    pub fn compose(&self) -> Result<Outgoing, ComposeError> {
        let words = self.words().map_err(|_| ComposeError::Message)?;
        let (notice, from, to) = (&self.notice, &self.from, &self.to);
        let (from_name, language) = (Some(&self.clinic_name), Language::English);
        Envelope { notice, from_name, from, to, language, date: self.happened_at }.close(words)
    }

    fn words(&self) -> Result<Words, askama::Error> {
        let Said { title, what, todo } = said(self.news);
        let (reference, delivery) = (self.reference.as_str(), self.delivery.to_string());
        let at = day_and_time(self.happened_at, self.zone, Language::English);
        let facts = Facts { what, todo, at: &at, reference, delivery: &delivery };
        Ok(Words {
            subject: format!("{title} ({reference})"),
            plain: wrapped(&Plain { facts: &facts }.render()?, PLAIN_COLUMNS_MAX),
            html: Html {
                language: Language::English.as_str(),
                clinic: Some(self.clinic_name.as_str()),
                title,
                facts: &facts,
            }
            .render()?,
        })
    }
}

struct Said {
    title: &'static str,
    what: &'static str,
    todo: &'static str,
}

const fn said(news: StaffNews) -> Said {
    match news {
        StaffNews::Opened => Said {
            title: "A document was opened",
            what: "A link was opened for the first time. Your rules have you told of it.",
            todo: "Nothing needs to be done.",
        },
        StaffNews::Read => Said {
            title: "A document was read",
            what: "A browser opened a link and proved that it could read all of it. Your rules have you told of it.",
            todo: "Nothing needs to be done.",
        },
        StaffNews::Disowned => Said {
            title: "A link reached the wrong person",
            what: "Whoever got a link says that it was not for them. It is closed, with the others that went to that address, which gets nothing until you have looked at it.",
            todo: "Find the right address, correct it in the EHR, and say so: chartseal contacts --help",
        },
        StaffNews::AnotherWanted => Said {
            title: "A patient asks for a new link",
            what: "The holder of a link that has ended asks for another.",
            todo: "Look whether they may have one, and send it: chartseal deliveries list --wished",
        },
        StaffNews::CallWanted => Said {
            title: "A document was not opened: please call",
            what: "Nobody has opened a link to something sensitive, and it ends soon.",
            todo: "Call the patient, and say so: chartseal deliveries list --to-call",
        },
    }
}

struct Facts<'a> {
    what: &'a str,
    todo: &'a str,
    at: &'a str,
    reference: &'a str,
    delivery: &'a str,
}

#[derive(Template)]
#[template(path = "notify/staff_notice.txt")]
struct Plain<'a> {
    facts: &'a Facts<'a>,
}

#[derive(Template)]
#[template(path = "notify/staff_notice.html")]
struct Html<'a> {
    language: &'a str,
    clinic: Option<&'a str>,
    title: &'a str,
    facts: &'a Facts<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(news: StaffNews) -> StaffNotice {
        StaffNotice {
            notice: NoticeId::parse("AAAAAAAAAAAAAAAA").unwrap(),
            clinic_name: DisplayName::parse("Riverside & Sons").unwrap(),
            from: EmailAddress::parse("results@riverside.example").unwrap(),
            to: EmailAddress::parse("staff@riverside.example").unwrap(),
            news,
            delivery: DeliveryId::parse("AAAAAAAAAAAAAAAA").unwrap(),
            reference: Reference::parse_typed("ABCD-EFGH").unwrap(),
            happened_at: UtcMillis(1_795_000_000_000),
            zone: chrono_tz::America::Chicago,
        }
    }

    #[test]
    fn a_mail_to_staff_reads_as_written() {
        let message = notice(StaffNews::Disowned).compose().unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(message.expose()).replace('\r', ""));
    }

    #[test]
    fn each_piece_of_news_says_when_and_of_which_delivery_and_holds_no_link() {
        let all =
            [StaffNews::Opened, StaffNews::Read, StaffNews::Disowned, StaffNews::AnotherWanted, StaffNews::CallWanted];
        let mut subjects = std::collections::BTreeSet::new();
        for news in all {
            let words = notice(news).words().unwrap();
            for text in [&words.plain, &words.html] {
                for part in ["2026", "ABCD-EFGH", "AAAAAAAAAAAAAAAA"] {
                    assert!(text.replace(['\n', '\u{a0}'], " ").contains(part), "{news:?}: {part} in {text}");
                }
                assert!(!text.contains("http"), "{text}");
            }
            subjects.insert(words.subject);
        }
        assert_eq!(subjects.len(), all.len());
    }
}
