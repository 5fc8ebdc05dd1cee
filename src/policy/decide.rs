//! Facts in, decision out.
//!
//! Must stay true: total; the order of rows, codes and categories never matters; no match means review.
//! More evidence: once a profile is in force, adding a code or category to the facts never loosens a
//! column, *unless* a profile with `over` newly matches, for replacing a profile by a looser one is what
//! `over` is for. The first profile to match at all turns `NoRule` into what it says: that is what rules
//! are for, and why starter rules name exact codes.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::{Action, Column, Columns};
use super::decision::{Decision, ReviewReason};
use super::facts::Facts;
use super::gates::status_gate;
use super::matching::Evidence;
use super::rules::{Profile, RuleSet};
use super::trace::{ColumnTrace, Outcome, ProfileTrace, Trace};
use crate::base::UtcMillis;

/// A decision with its reasons and the rules it was made under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
    pub decision: Decision,
    pub trace: Trace,
    pub rules_hash: [u8; 32],
}

/// Decides for one report version and one recipient. The same arguments give the same answer for ever.
#[must_use]
pub fn decide(rules: &RuleSet, facts: &Facts, now: UtcMillis) -> Decided {
    let mut trace = Trace { decided_at: now, status: facts.status, profiles: Vec::new(), columns: Vec::new() };
    let decision = status_gate(facts.status).unwrap_or_else(|| by_profiles(rules, facts, &mut trace));
    Decided { decision, trace, rules_hash: rules.rules_hash() }
}

fn by_profiles(rules: &RuleSet, facts: &Facts, trace: &mut Trace) -> Decision {
    let evidence = Evidence::of(facts);
    let failures: Vec<_> =
        rules.profiles().iter().map(|profile| (profile, profile.when.first_failure(&evidence))).collect();
    let matching = failures.iter().filter(|(_, failed)| failed.is_none()).map(|(profile, _)| *profile);
    let replaced = replaced_by(matching);

    let mut in_force = Vec::new();
    for (profile, failed) in failures {
        let outcome = match (failed, replaced.get(profile.id.as_str())) {
            (Some(failed), _) => Outcome::NotMatched { failed },
            (None, Some(by)) => Outcome::ReplacedBy { by: by.iter().map(|id| (*id).to_owned()).collect() },
            (None, None) => {
                in_force.push((profile.id.as_str(), &profile.then));
                Outcome::InForce
            }
        };
        trace.profiles.push(ProfileTrace { id: profile.id.clone(), outcome });
    }
    let Some(joined) = in_force.iter().map(|(_, row)| (*row).clone()).reduce(|one, other| one.join(&other)) else {
        return Decision::Review { why: ReviewReason::NoRule, terms: None };
    };
    trace.columns = Column::ALL.map(|column| ColumnTrace::of(column, &joined, &in_force)).to_vec();
    conclude(joined, &in_force)
}

/// Who replaces whom among the profiles that match.
fn replaced_by<'r>(matching: impl Iterator<Item = &'r Profile>) -> BTreeMap<&'r str, BTreeSet<&'r str>> {
    let mut replaced: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for profile in matching {
        for target in &profile.over {
            replaced.entry(target.as_str()).or_default().insert(profile.id.as_str());
        }
    }
    replaced
}

fn conclude(joined: Columns, in_force: &[(&str, &Columns)]) -> Decision {
    let names = |wanted: &dyn Fn(&Columns) -> bool| {
        let ids: Vec<_> = in_force.iter().filter(|(_, row)| wanted(row)).map(|(id, _)| *id).collect();
        ids.join(", ")
    };
    let has_channel = !joined.terms.channels.is_empty();
    match joined.action {
        Action::Block => Decision::Block { rule: names(&|row| row.action == Action::Block) },
        Action::ManualReview => Decision::Review {
            why: ReviewReason::RuleAsks { rule: names(&|row| row.action == Action::ManualReview) },
            terms: has_channel.then_some(joined.terms),
        },
        Action::Send if has_channel => Decision::Send { terms: joined.terms },
        Action::Send => {
            Decision::Review { why: ReviewReason::NoCommonChannel { rules: names(&|_| true) }, terms: None }
        }
    }
}
