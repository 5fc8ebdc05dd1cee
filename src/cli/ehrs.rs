//! `chartseal ehrs …`

use clap::Subcommand;

use super::Outcome;
use super::print::{Print, table};
use crate::app::start::Ground;
use crate::config::{Config, Subscribe};
use crate::desk::{Followed, HeardEhr, HeardKind, HeardTopic, Subscribes, heard_ehrs};

const HEAD: [&str; 7] = ["EHR", "reports", "subscription", "last hook", "last good poll", "behind", "note"];

#[derive(Subcommand)]
pub(super) enum EhrsCommand {
    /// List how each EHR is heard, and what is wrong with it.
    List,
}

pub(super) async fn run(
    command: &EhrsCommand,
    config: &Config,
    ground: &Ground,
    print: Print,
) -> anyhow::Result<Outcome> {
    match command {
        EhrsCommand::List => list(config, ground, print).await,
    }
}

async fn list(config: &Config, ground: &Ground, print: Print) -> anyhow::Result<Outcome> {
    let followed = config.ehrs.iter().map(|ehr| Followed {
        ehr: ehr.id.clone(),
        subscribes: match &ehr.subscribe {
            Subscribe::R4 => Subscribes::Chartseal,
            Subscribe::Topic(_) => Subscribes::ChartsealByTopic,
            Subscribe::Off => Subscribes::Others,
        },
    });
    let ehrs = heard_ehrs(&ground.store, followed.collect(), ground.clock.now()).await?;
    print.done(&in_words(&ehrs), &ehrs);
    Ok(Outcome::Done)
}

fn in_words(ehrs: &[HeardEhr]) -> String {
    if ehrs.is_empty() {
        return "No EHR is configured.".to_owned();
    }
    let rows: Vec<Vec<String>> = ehrs.iter().flat_map(|ehr| ehr.kinds.iter().map(|kind| row(ehr, kind))).collect();
    let mut lines = vec![table(&HEAD, &rows)];
    for ehr in ehrs {
        lines.extend(ehr.topic.as_ref().map(|topic| format!("{}: {}", ehr.ehr, topic_in_words(topic))));
        for calls in &ehr.quarantined {
            lines.push(format!("{}: {} hook calls in quarantine: {}", ehr.ehr, calls.count, calls.why));
        }
    }
    lines.join("\n")
}

fn topic_in_words(topic: &HeardTopic) -> String {
    let heard = topic.last_heard_at.as_deref().map_or("never heard".to_owned(), |at| format!("last heard at {at}"));
    let mut told = format!("the topic's subscription is {}, {heard}", topic.status);
    if let Some(why) = &topic.why {
        told.push_str("; ");
        told.push_str(why);
    }
    if !topic.missing.is_empty() {
        let runs = topic
            .missing
            .iter()
            .map(|(first, last)| if first == last { first.to_string() } else { format!("{first} to {last}") });
        told.push_str("; events that did not arrive so far: ");
        told.push_str(&runs.collect::<Vec<_>>().join(", "));
    }
    told
}

fn row(ehr: &HeardEhr, kind: &HeardKind) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let subscription = kind.subscription.as_ref();
    let topic = ehr.topic.as_ref().map_or("-", |topic| topic.status.as_str());
    vec![
        ehr.ehr.clone(),
        kind.kind.to_owned(),
        subscription.map_or(topic, |found| found.status.as_str()).to_owned(),
        or_dash(&ehr.last_hook_at),
        or_dash(&kind.last_poll_at),
        kind.behind_seconds.map_or_else(|| "-".to_owned(), span),
        note(kind),
    ]
}

fn note(kind: &HeardKind) -> String {
    if kind.seen_until.is_none() {
        return "not followed yet: start the service".to_owned();
    }
    let subscription = kind.subscription.as_ref().and_then(|found| found.why.as_deref());
    let notes = [("subscription", subscription), ("poll", kind.poll_why.as_deref())];
    let told = notes.iter().filter_map(|(what, why)| Some(format!("{what}: {}", (*why)?)));
    told.chain(kind.clock_off_seconds.map(clock)).collect::<Vec<_>>().join("; ")
}

fn clock(off_seconds: i64) -> String {
    let side = if off_seconds < 0 { "behind" } else { "ahead of" };
    format!("its clock is {} {side} ours: ask its staff to set it", span(off_seconds.unsigned_abs()))
}

/// A stretch of time as people say it.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn a_span_is_told_in_the_unit_that_people_would_use() {
        let told = [119, 120, 7_199, 7_200, 172_799, 172_800].map(span);
        assert_eq!(told, ["119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
