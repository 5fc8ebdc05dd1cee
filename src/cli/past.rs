//! `chartseal ehrs backfill` and `chartseal ehrs listen-again`: reading an EHR's past because a person asks for it.

use clap::Args;

use super::Outcome;
use super::print::{Print, count};
use super::rules_look::span;
use crate::base::{EhrId, UtcMillis};
use crate::config::Config;
use crate::desk::{Desk, DeskError, Duty, HeardPast, PastBegun, Person, Stretch};
use crate::store::Past;

#[derive(Args)]
pub(super) struct BackfillArgs {
    /// The EHR as the configuration names it.
    ehr: EhrId,
    /// From when on: an instant, a day, or how far back (`90d`). Without it: how far the last one is.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    #[command(flatten)]
    halt: Halt,
}

#[derive(Args)]
pub(super) struct ListenAgainArgs {
    /// The EHR as the configuration names it.
    ehr: EhrId,
    /// From when on: an instant, a day, or how far back (`12h`). Without it: how far the last one is.
    #[arg(long, value_name = "WHEN", requires = "to")]
    from: Option<String>,
    /// Until when, written alike; `now` too.
    #[arg(long, value_name = "WHEN", requires = "from")]
    to: Option<String>,
    #[command(flatten)]
    halt: Halt,
}

#[derive(Args)]
#[group(multiple = false)]
struct Halt {
    /// Stop it; what was read stays.
    #[arg(long)]
    stop: bool,
    /// Let it go on from where it was stopped.
    #[arg(long)]
    resume: bool,
}

/// One of both commands, as it was typed.
pub(super) struct Typed<'a> {
    ehr: &'a EhrId,
    what: Past,
    wish: Wish<'a>,
}

enum Wish<'a> {
    Begin { since: &'a str, until: &'a str },
    Stop,
    Resume,
    Look,
}

impl BackfillArgs {
    pub(super) fn typed(&self) -> Typed<'_> {
        let begin = self.since.as_deref().map(|since| Wish::Begin { since, until: "now" });
        Typed { ehr: &self.ehr, what: Past::Backfill, wish: self.halt.or(begin) }
    }
}

impl ListenAgainArgs {
    pub(super) fn typed(&self) -> Typed<'_> {
        let begin = self.from.as_deref().zip(self.to.as_deref()).map(|(since, until)| Wish::Begin { since, until });
        Typed { ehr: &self.ehr, what: Past::ListenAgain, wish: self.halt.or(begin) }
    }
}

impl Halt {
    fn or<'a>(&self, begin: Option<Wish<'a>>) -> Wish<'a> {
        match (self.stop, self.resume) {
            (true, _) => Wish::Stop,
            (false, true) => Wish::Resume,
            (false, false) => begin.unwrap_or(Wish::Look),
        }
    }
}

impl Typed<'_> {
    pub(super) const fn only_looks(&self) -> bool {
        match self.wish {
            Wish::Look => true,
            Wish::Begin { .. } | Wish::Stop | Wish::Resume => false,
        }
    }
}

pub(super) async fn run(
    typed: &Typed<'_>,
    config: &Config,
    desk: &Desk,
    by: &Person,
    print: Print,
) -> anyhow::Result<Outcome> {
    let Typed { ehr, what, wish } = typed;
    anyhow::ensure!(
        config.ehrs.iter().any(|one| one.id == **ehr),
        "no EHR '{ehr}' is configured; `chartseal ehrs list` shows them"
    );
    match wish {
        Wish::Look => return look(ehr, *what, desk, print).await,
        Wish::Begin { .. } | Wish::Stop | Wish::Resume => by.may(Duty::Deliveries).map_err(DeskError::from)?,
    }
    let name = what.as_str();
    let (done, text) = match wish {
        Wish::Begin { since, until } => {
            let now = desk.clock.now();
            let stretch = Stretch { since: instant(since, now)?, until: instant(until, now)? };
            begun(*what, desk.begin_past(ehr, *what, stretch).await?)
        }
        Wish::Stop if desk.stop_past(ehr, *what).await? => {
            (true, format!("Stopped; `chartseal ehrs {name} {ehr} --resume` lets it go on from there."))
        }
        Wish::Stop => (false, "Nothing runs that could be stopped.".to_owned()),
        Wish::Resume if desk.resume_past(ehr, *what).await? => {
            (true, "It goes on from where it was stopped.".to_owned())
        }
        Wish::Resume => (false, "Nothing was stopped that could go on.".to_owned()),
        Wish::Look => (false, String::new()),
    };
    print.done(&text, &serde_json::json!({"changed": done, "past": desk.past(ehr).await?}));
    Ok(if done { Outcome::Done } else { Outcome::No })
}

fn begun(what: Past, begun: PastBegun) -> (bool, String) {
    match begun {
        PastBegun::Begun(Stretch { since, until }) => {
            let means = match what {
                Past::Backfill => {
                    "What is found and was never heard of is recorded; nothing of it leaves by itself. Release what a patient \
                     should get."
                }
                Past::ListenAgain => {
                    "What changed then is read again, as if the EHR told of it now; what was sent is not sent twice."
                }
            };
            (true, format!("The service reads {since} to {until} beside everything else. {means}"))
        }
        PastBegun::Runs => (false, "One runs already: let it end, or stop it.".to_owned()),
        PastBegun::NotFollowed => (false, "The service has not followed this EHR yet: start it first.".to_owned()),
        PastBegun::Nothing => {
            let why = match what {
                Past::Backfill => "a backfill ends where polling began to see everything",
                Past::ListenAgain => "it ends before it begins, or lies ahead",
            };
            (false, format!("There is nothing to read in that stretch of time: {why}."))
        }
    }
}

async fn look(ehr: &EhrId, what: Past, desk: &Desk, print: Print) -> anyhow::Result<Outcome> {
    let past: Vec<HeardPast> = desk.past(ehr).await?.into_iter().filter(|past| past.what == what.as_str()).collect();
    let text = past.first().map_or_else(|| "None was ever asked for.".to_owned(), in_words);
    print.done(&text, &past);
    Ok(Outcome::Done)
}

/// How far it is, as a sentence.
pub(super) fn in_words(past: &HeardPast) -> String {
    let HeardPast { what, state, since, until, .. } = past;
    let done = match (&past.ended_at, &past.reached) {
        (Some(ended_at), _) => format!(" at {ended_at}"),
        (None, Some(reached)) => format!(" ({} up to {reached})", past.kind),
        (None, None) => format!(" ({}, patient by patient)", past.kind),
    };
    let waits = past.why.as_ref().map_or_else(String::new, |why| format!("; it waits: {why}"));
    let left_out = match past.left_out {
        0 => String::new(),
        some => format!(
            "; {} failed and were left out, so that it is not whole: see `chartseal ehrs list`, and ask for it again",
            count(some, "question about a patient")
        ),
    };
    format!(
        "{what} of {since} to {until}, asked for by {}: {state}, {} %{done}; {} shown by the EHR, {} of them read because of \
         it{left_out}{waits}",
        past.asked_by,
        past.percent,
        count(past.seen, "resource"),
        past.heard
    )
}

/// An instant, a day (UTC), `now`, or so long ago.
fn instant(text: &str, now: UtcMillis) -> anyhow::Result<UtcMillis> {
    if text == "now" {
        return Ok(now);
    }
    let day = || UtcMillis::parse_rfc3339(&format!("{text}T00:00:00Z"));
    let ago = || span(text).ok().map(|span| now.minus(span));
    UtcMillis::parse_rfc3339(text)
        .or_else(day)
        .or_else(ago)
        .ok_or_else(|| anyhow::anyhow!("'{text}' is no time: write 2026-11-22, 2026-11-22T09:00:00Z, 30d, 12h or now"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hours;

    #[test]
    fn a_time_may_be_written_in_four_ways() {
        let now = UtcMillis::parse_rfc3339("2026-11-22T12:00:00Z").unwrap();
        let at = |text| UtcMillis::parse_rfc3339(text).unwrap();
        assert_eq!(instant("now", now).unwrap(), now);
        assert_eq!(instant("12h", now).unwrap(), now.minus(hours(12)));
        assert_eq!(instant("2026-11-21", now).unwrap(), at("2026-11-21T00:00:00Z"));
        assert_eq!(instant("2026-11-21T10:00:00+01:00", now).unwrap(), at("2026-11-21T09:00:00Z"));
        for wrong in ["", "yesterday", "21.11.2026", "-3d"] {
            assert!(instant(wrong, now).is_err(), "{wrong}");
        }
    }
}
