//! `subscribe` of an `[[ehr]]`, and what a subscription to a topic is asked with.

use crate::base::seconds;
use crate::config::section::Section;
use crate::config::{Events, Subscribe, Topic, TopicForm};
use crate::fhir::{TopicContent, TopicFilter};

/// The topic of US Core, which many EHRs offer.
const TOPIC_DEFAULT: &str = "http://hl7.org/fhir/us/core/SubscriptionTopic/patient-data-feed";
const CANONICAL: &str =
    "expected the topic's canonical URL, such as \"http://hl7.org/fhir/us/core/SubscriptionTopic/patient-data-feed\"";
const KEYS: [&str; 5] = ["topic", "topic_filters", "topic_content", "heartbeat_seconds", "events_per_call"];
const FILTERS_MAX: usize = 20;

/// Which subscriptions Chartseal makes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Classic,
    Topic(TopicForm),
    Nothing,
}

pub(super) fn asks(section: &mut Section<'_>) -> Asks {
    let words = [
        ("r4", Asks::Classic),
        ("topic-r4", Asks::Topic(TopicForm::R4)),
        ("topic-r4b", Asks::Topic(TopicForm::R4b)),
        ("topic-r5", Asks::Topic(TopicForm::R5)),
        ("off", Asks::Nothing),
    ];
    section.choice("subscribe", &words, Asks::Nothing)
}

pub(super) fn events(section: &mut Section<'_>) -> Events {
    let words = [("strict", Events::Strict), ("resetting", Events::Resetting), ("none", Events::None)];
    section.choice("events", &words, Events::Resetting)
}

pub(super) fn subscribe(section: &mut Section<'_>, asks: Asks) -> Subscribe {
    let topic = section.optional("topic", canonical).unwrap_or_else(|| TOPIC_DEFAULT.to_owned());
    let filters = section.list("topic_filters", TopicFilter::parse).unwrap_or_default();
    if filters.len() > FILTERS_MAX {
        section.complain("topic_filters", format!("expected at most {FILTERS_MAX} filters"));
    }
    let contents = [
        ("id-only", TopicContent::IdOnly),
        ("empty", TopicContent::Empty),
        ("full-resource", TopicContent::FullResource),
    ];
    let content = section.choice("topic_content", &contents, TopicContent::IdOnly);
    let heartbeat = seconds(section.number("heartbeat_seconds", 60, 0..=3_600));
    let events_max = u32::try_from(section.number("events_per_call", 20, 1..=1_000)).unwrap_or(1);
    let unused = |section: &Section<'_>| {
        for key in KEYS.into_iter().filter(|key| section.is_written(key)) {
            section.complain(key, "not used without a topic: set subscribe = \"topic-r4\", or remove it");
        }
    };
    match asks {
        Asks::Topic(form) => Subscribe::Topic(Topic { form, topic, filters, content, heartbeat, events_max }),
        Asks::Classic => {
            unused(section);
            Subscribe::R4
        }
        Asks::Nothing => {
            unused(section);
            Subscribe::Off
        }
    }
}

/// A canonical is a name, not an address that anybody calls; it may also be a URN.
fn canonical(text: &str) -> Result<String, &'static str> {
    let is_absolute =
        ["http://", "https://", "urn:"].iter().any(|start| text.starts_with(start) && text.len() > start.len());
    let is_plain = text.len() <= 500 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'"');
    if is_absolute && is_plain { Ok(text.to_owned()) } else { Err(CANONICAL) }
}
