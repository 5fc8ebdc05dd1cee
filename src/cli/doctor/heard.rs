//! How an EHR was heard so far, as the service noted it.

use crate::cli::print::span;
use crate::cli::write_backs;
use crate::desk::{HeardEhr, HeardKind, HeardLook, HeardPanel, HeardSubscription, HeardTold, HeardTopic, LookedAt};
use crate::intake::Finding;

const SUBSCRIPTION: &str = "subscription";
const LAST_CALL: &str = "last call";
const POLLING: &str = "polling";
const SLOWER: &str = "slower looks";
const GAP: &str = "gap";
const WRITE_BACK: &str = "write-back";
const QUARANTINE: &str = "quarantine";
/// `docs/operating.md` calls this late.
const BEHIND_SECONDS_MAX: u64 = 900;
const ASK_STAFF: &str = "ask the EHR's staff what they see of it; the service goes on trying";

pub(super) fn findings(ehr: &HeardEhr) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let kept = ehr.kinds.iter().filter_map(|kind| kind.subscription.as_ref().map(|one| (kind.kind, one)));
    found.extend(kept.map(|(kind, one)| subscription(kind, one)));
    if let Some(topic) = &ehr.topic {
        found.push(state("the topic's subscription", &topic.status, topic.why.as_deref()));
        found.push(gap(topic));
    }
    found.push(match (&ehr.last_hook_at, found.is_empty()) {
        (Some(at), _) => Finding::works(LAST_CALL, format!("the EHR last called at {at}")),
        (None, true) => Finding::note(LAST_CALL, "the EHR has never called: polling alone hears of reports"),
        (None, false) => Finding::note(LAST_CALL, "the EHR has never called")
            .with("`chartseal doctor --round-trip` shows whether a call comes"),
    });
    found.extend(ehr.kinds.iter().map(polling));
    found.extend(ehr.panel.as_ref().map(panel));
    found.extend(ehr.looks.iter().filter_map(look));
    found.extend(ehr.told.as_ref().map(told));
    for calls in &ehr.quarantined {
        let says = format!("{} could not be understood: {}", super::count(calls.count, "call"), calls.why);
        found.push(Finding::note(QUARANTINE, says).with("nothing: polling finds what they meant"));
    }
    found
}

fn subscription(kind: &str, one: &HeardSubscription) -> Finding {
    state(&format!("the one for {kind}"), &one.status, one.why.as_deref())
}

fn state(whose: &str, status: &str, why: Option<&str>) -> Finding {
    let says = format!("{whose} is {status}");
    match (status, why) {
        ("none", None) => {
            Finding::note(SUBSCRIPTION, format!("{whose} was not asked for yet")).with("start the service")
        }
        ("active", None) => Finding::works(SUBSCRIPTION, says),
        ("active" | "requested", Some(why)) => Finding::note(SUBSCRIPTION, format!("{says}: {why}")),
        (_, Some(why)) => Finding::told(SUBSCRIPTION, &format!("{says}: {why}"), ASK_STAFF),
        ("requested", None) => {
            Finding::note(SUBSCRIPTION, says).with("look again in a minute; some servers never call it active")
        }
        (_, None) => Finding::fails(SUBSCRIPTION, says, ASK_STAFF),
    }
}

fn gap(topic: &HeardTopic) -> Finding {
    if topic.missing.is_empty() {
        return Finding::works(GAP, "no event is missing by its number");
    }
    let runs = topic.missing.iter().map(
        |(first, last)| {
            if first == last { first.to_string() } else { format!("{first} to {last}") }
        },
    );
    let says = format!("events that did not arrive so far: {}", runs.collect::<Vec<_>>().join(", "));
    Finding::note(GAP, says).with("nothing: the service asks for them, or searches")
}

fn panel(panel: &HeardPanel) -> Finding {
    let asked = super::count(panel.patients, "patient");
    let seen =
        panel.seen_until.as_deref().map_or_else(String::new, |at| format!(", everything of everybody seen up to {at}"));
    let says = format!("{asked} asked about one by one{seen}");
    match panel.failing {
        0 => Finding::works(POLLING, says),
        failing => Finding::note(POLLING, format!("{says}; {failing} could not be asked about the last time"))
            .with("`chartseal ehrs list` says why; they are asked about again"),
    }
}

fn told(told: &HeardTold) -> Finding {
    let says = write_backs::in_words(told);
    if told.failed > 0 {
        let remedy = "`chartseal ehrs write-backs` says which and why; mend it, and have them tried with `--again`";
        return Finding::fails(WRITE_BACK, says, remedy);
    }
    match &told.why {
        Some(_) => Finding::note(WRITE_BACK, says).with("nothing: the service tries again by itself"),
        None => Finding::works(WRITE_BACK, says),
    }
}

/// One of the slower ways, where there is something to say of it.
fn look(look: &HeardLook) -> Option<Finding> {
    let kind = look.kind.unwrap_or_default();
    let what = match look.what {
        LookedAt::History => format!("the history of {kind}"),
        LookedAt::ByDate => format!("the search of {kind} by its own date"),
        LookedAt::Panel => "the patient panel".to_owned(),
    };
    match (&look.why, look.offered) {
        (Some(why), _) => Some(Finding::told(SLOWER, &format!("{what}: {why}"), ASK_STAFF)),
        (None, Some(false)) => Some(Finding::note(SLOWER, format!("{what} is not offered by the EHR"))),
        (None, Some(true)) => {
            let at = look.last_at.as_deref()?;
            Some(Finding::works(SLOWER, format!("{what} was last looked at {at}")))
        }
        (None, None) => None,
    }
}

fn polling(kind: &HeardKind) -> Finding {
    let Some(at) = &kind.last_poll_at else {
        return match &kind.poll_why {
            Some(why) => Finding::told(POLLING, &format!("{}: {why}", kind.kind), ASK_STAFF),
            None => Finding::note(POLLING, format!("{} was not polled yet", kind.kind)).with("start the service"),
        };
    };
    let behind = kind.behind_seconds.unwrap_or(0);
    let says = format!("{} was last polled at {at}, and is {} behind", kind.kind, span(behind));
    match &kind.poll_why {
        Some(why) => Finding::told(POLLING, &format!("{says}: {why}"), ASK_STAFF),
        None if behind > BEHIND_SECONDS_MAX => {
            Finding::fails(POLLING, says, "see that the service runs, and read its log")
        }
        None => Finding::works(POLLING, says),
    }
}
