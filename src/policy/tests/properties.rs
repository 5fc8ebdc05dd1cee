//! What holds for all rules and all reports, each in at least ten thousand cases.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::generate::{Dice, Drawn, facts, policy_and_facts, stock};
use super::vary::{learnt, shuffled, with_more, with_nothing_more};
use super::*;
use crate::base::cases::cases;
use crate::base::hours;
use crate::policy::bits::Bits;
use crate::policy::cases::action_of;
use crate::policy::codes::{LoincForm, loinc_form};
use crate::policy::columns::{Columns, Grouping};
use crate::policy::decide::tags_of;
use crate::policy::decision::Decision;
use crate::policy::judge::{Judged, Verdict, columns_of};
use crate::policy::probe::{Probed, Tags, probe};
use crate::policy::schedule::{Schedule, Timing};
use crate::policy::table::{RowKind, when_of};
use crate::policy::trace::{Outcome, Trace};
use crate::policy::vocabulary::{Action, Backstop};
use crate::policy::when::Predicate;
use crate::policy::{ReviewReason, canon, decide_for_the_record};

const CASES: u32 = 10_000;
/// Each reads whole files.
const CASES_OF_FILES: u32 = 2_000;

/// The stricter of both is `after`: the join of each column decides what stricter means.
fn is_as_strict(after: &Columns, before: &Columns) -> bool {
    after.join(before) == *after
}

fn judged(rules: &RuleSet, facts: &Facts) -> Judged {
    rules.judge(&rules.ready(facts), NOW)
}

fn action(rules: &RuleSet, facts: &Facts) -> Action {
    action_of(&decide(rules, facts, AT).decision)
}

const fn rank(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Send => Action::Send,
        Verdict::NoRule | Verdict::RuleAsks | Verdict::NoCommonChannel | Verdict::Unknown(_) => Action::ManualReview,
        Verdict::Block | Verdict::BlockedByDefault => Action::Block,
    }
}

fn of_kind(rules: &RuleSet, kind: RowKind) -> &Bits {
    rules.table.of_kind(kind)
}

fn has_profile(rules: &RuleSet, judged: &Judged) -> bool {
    !judged.in_force.both(of_kind(rules, RowKind::Profile)).is_empty()
}

/// The rows that count and set others aside.
fn replacing(rules: &RuleSet, judged: &Judged) -> BTreeSet<u16> {
    let profiles = judged.matched.yes.both(of_kind(rules, RowKind::Profile));
    let counting = profiles.iter().chain(judged.exceptions.iter());
    counting.filter(|row| rules.table.replaces.contains_key(row)).collect()
}

/// What people and machines act on.
fn bytes(decided: &Decided) -> String {
    serde_json::to_string(&(&decided.decision, &decided.schedule)).unwrap()
}

/// Rows with their outcomes: of two places that say the same the first is told, so places follow the order of the facts.
fn outcomes(trace: &Trace) -> Vec<(String, Outcome)> {
    trace.rows.iter().map(|row| (row.id.clone(), row.outcome.clone())).collect()
}

proptest! {
    #![proptest_config(cases(CASES))]

    /// Contract, behaviour 1. The stock holds every policy once more with its rows in another order.
    #[test]
    fn order_free_rows_and_facts_in_any_order_decide_alike(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let other = shuffled(&facts, dice);
        prop_assert_eq!(drawn.rules.rules_hash(), drawn.shuffled.rules_hash());
        let (one, other) = (decide(&drawn.rules, &facts, AT), decide(&drawn.shuffled, &other, AT));
        prop_assert_eq!(bytes(&one), bytes(&other));
        prop_assert_eq!(&one.trace.columns, &other.trace.columns);
        prop_assert_eq!(outcomes(&one.trace), outcomes(&other.trace));
    }

    /// Contract, behaviour 2. Where a profile is in force and no row with `over` (a profile, an exception in its time) newly
    /// counts: with more codes, labels, members, orders, words or flags every column is at least as strict, and so is what
    /// is done, except that a review for want of a fact may end when the fact is found. (Without a profile nothing is sent,
    /// and the first one to match says what it says; `over` is there to loosen.)
    #[test]
    fn monotone_more_evidence_never_loosens_unless_a_row_with_over_newly_counts(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let more = with_more(&facts, dice);
        let rules = &drawn.rules;
        let (before, after) = (judged(rules, &facts), judged(rules, &more));
        prop_assert!(before.matched.yes.without(&after.matched.yes).is_empty());
        prop_assert!(before.matched.possible.without(&after.matched.possible).is_empty());
        if has_profile(rules, &before) && replacing(rules, &before) == replacing(rules, &after) {
            prop_assert!(is_as_strict(&after.columns, &before.columns), "{}\n{:?}", drawn.text, (before.columns, after.columns));
            let was_unknown = matches!(before.verdict, Verdict::Unknown(_));
            prop_assert!(was_unknown || rank(after.verdict) >= rank(before.verdict));
        }
    }

    /// One restriction more never loosens a column, whatever is known and whatever else there is. What is done is as strict
    /// too, except that a review for want of a fact ends where the restriction asks for all that the fact could change.
    #[test]
    fn monotone_one_more_restriction_never_loosens(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let (before, after) = (judged(&drawn.rules, &facts), judged(&drawn.tighter, &facts));
        prop_assert!(is_as_strict(&after.columns, &before.columns));
        let was_unknown = matches!(before.verdict, Verdict::Unknown(_));
        prop_assert!(was_unknown || rank(after.verdict) >= rank(before.verdict));
    }

    /// Contract, behaviour 4, from the other end: what is known not to be there may become unknown without loosening.
    #[test]
    fn unknown_is_not_no_what_is_no_longer_known_never_loosens(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let known = with_nothing_more(&facts);
        let (unknown, known) = (judged(&drawn.rules, &facts), judged(&drawn.rules, &known));
        prop_assert!(is_as_strict(&unknown.columns, &known.columns));
        prop_assert!(rank(unknown.verdict) >= rank(known.verdict));
    }

    /// Contract, behaviour 4. What is sent while something is unknown is sent whatever it turns out to be, under the same
    /// terms unless a row with `over` turns out to count, and never under stricter ones. And the terms of a report that
    /// waits for want of a fact are at least as strict as they will be.
    /// What need not hold: a review for want of a fact may become a block.
    #[test]
    fn unknown_is_not_no_what_is_sent_is_sent_whatever_is_learnt(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let rules = &drawn.rules;
        let (before, after) = (judged(rules, &facts), judged(rules, &learnt(&facts, dice)));
        let alike = |columns: &Columns| Columns {
            action: before.columns.action,
            // Tags that may be there keep a report alone.
            group: Grouping::Alone,
            ..*columns
        };
        if has_profile(rules, &after) {
            prop_assert!(is_as_strict(&alike(&before.columns), &alike(&after.columns)), "{}\n{:?}", drawn.text, facts);
        }
        if before.verdict == Verdict::Send {
            prop_assert_eq!(after.verdict, Verdict::Send);
            if replacing(rules, &before) == replacing(rules, &after) {
                prop_assert_eq!(alike(&before.columns), alike(&after.columns));
            }
        }
    }

    /// What a person can release leaves by no channel that a row forbids, be it sure that it applies or not; where that leaves
    /// none, nobody can release it.
    #[test]
    fn no_channel_that_a_row_forbids_is_left_to_a_person(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let judged = judged(&drawn.rules, &facts);
        let (content, table) = (&drawn.rules.content, &drawn.rules.table);
        let asked = judged.in_force.iter().chain(judged.may_apply.iter()).filter_map(|no| columns_of(content, table, no));
        let mut allowed = asked.map(|row| row.channels.iter().collect::<BTreeSet<_>>());
        match decide(&drawn.rules, &facts, AT).decision {
            Decision::Send { terms } | Decision::Review { terms: Some(terms), .. } => {
                prop_assert!(allowed.all(|channels| terms.channels.is_subset(&channels)), "{}", drawn.text);
            }
            Decision::Review { why, terms: None } => prop_assert_eq!((why, allowed.next()), (ReviewReason::NoRule, None)),
            Decision::Block { .. } => {}
        }
    }

    /// Contract, behaviour 4: the missing fact has a name.
    #[test]
    fn a_review_for_want_of_a_fact_names_it(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let decided = decide(&drawn.rules, &facts, AT);
        if let Decision::Review { why: ReviewReason::Unknown { fact, rule, .. }, .. } = &decided.decision {
            prop_assert!(Predicate::ALL.into_iter().any(|predicate| predicate.as_str() == fact), "{fact}");
            let row = decided.trace.rows.iter().find(|row| row.id == *rule);
            let is_unknown = matches!(row.map(|row| &row.outcome), Some(Outcome::Unknown { .. }));
            prop_assert!(is_unknown);
        }
    }

    /// The table and the plain question give the same answer for every row, and the fast judgement is the decision.
    #[test]
    fn the_table_says_what_every_condition_says(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let (content, table) = (&drawn.rules.content, &drawn.rules.table);
        let canon = canon::Canon::of(&facts, NOW);
        let mut tags = Tags::default();
        for row in &content.classify {
            match probe(content, &row.when, &canon, &Tags::default()) {
                Probed::Yes(_) => drop(tags.yes.insert(row.tag.clone())),
                Probed::Unknown(fact, why) => drop(tags.possible.insert(row.tag.clone(), (fact, why))),
                Probed::No(_) => {}
            }
        }
        let judged = judged(&drawn.rules, &facts);
        for (no, row) in (0..).zip(&table.rows) {
            let probed = probe(content, when_of(content, *row).unwrap(), &canon, &tags);
            let told = (judged.matched.yes.contains(no), judged.matched.possible.contains(no));
            let plain = (matches!(probed, Probed::Yes(_)), !matches!(probed, Probed::No(_)));
            prop_assert_eq!(told, plain, "{:?}\n{}", row, drawn.text);
        }
        prop_assert_eq!(&tags.yes, &tags_of(&drawn.rules, &facts, NOW));
        prop_assert_eq!(rank(judged.verdict), action(&drawn.rules, &facts));
        let whole = decide(&drawn.rules, &facts, AT);
        let trace = whole.trace.clone().for_the_record();
        prop_assert_eq!(decide_for_the_record(&drawn.rules, &facts, AT), Decided { trace, ..whole });
    }

    /// Contract, behaviour 3.
    #[test]
    fn nothing_falls_through(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let judged = judged(&drawn.rules, &facts);
        let decided = decide(&drawn.rules, &facts, AT);
        if !has_profile(&drawn.rules, &judged) {
            let default = if facts.recipient == RecipientRole::Patient { Action::ManualReview } else { drawn.rules.content().header.other_default };
            prop_assert!(action_of(&decided.decision) >= default.max(Action::ManualReview));
        }
        match decided.decision {
            Decision::Send { terms } => prop_assert!(!terms.channels.is_empty()),
            Decision::Review { why, terms: Some(terms) } => {
                prop_assert_eq!(terms.channels.is_empty(), matches!(why, ReviewReason::NoCommonChannel { .. }));
            }
            Decision::Review { terms: None, .. } => {}
            Decision::Block { rule } => prop_assert!(!rule.is_empty()),
        }
        // A profile that matches and does not count was replaced by one that matches.
        for row in judged.matched.yes.both(of_kind(&drawn.rules, RowKind::Profile)).iter() {
            prop_assert!(judged.in_force.contains(row) || judged.set_aside.contains(row));
        }
        prop_assert!(judged.matched.yes.both(of_kind(&drawn.rules, RowKind::Profile)).is_empty() || has_profile(&drawn.rules, &judged));
    }

    /// Contract, behaviour 10: facts, trace and decision survive their record, and decide the same again.
    #[test]
    fn explain_stored_facts_decide_the_same_again(seed: u64) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let stored = serde_json::to_string(&facts).unwrap();
        let again: Facts = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&again, &facts);
        let (one, other) = (decide(&drawn.rules, &facts, AT), decide(&drawn.shuffled, &again, AT));
        prop_assert_eq!(one.rules_hash, other.rules_hash);
        prop_assert_eq!(bytes(&one), bytes(&other));
        let record = serde_json::to_string(&(&one.trace, &one.decision, &one.schedule)).unwrap();
        let read: (Trace, Decision, Option<Schedule>) = serde_json::from_str(&record).unwrap();
        prop_assert_eq!(read, (one.trace, one.decision, one.schedule));
    }

    /// Contract, behaviours 7 and 14: never before a floor, never after a ceiling unless a floor is later, and every wait
    /// has an end, which does not move when the same report is decided about again.
    #[test]
    fn every_wait_ends_between_floor_and_ceiling(seed: u64, later_hours in 0_u64..400) {
        let dice = &mut Dice::of(seed);
        let (drawn, facts) = policy_and_facts(dice);
        let schedule = decide(&drawn.rules, &facts, AT).schedule.unwrap();
        let floor = schedule.floors.iter().map(|floor| floor.until).max().unwrap_or(schedule.from);
        let last = schedule.ceilings.iter().map(|one| one.until).min().map(|until| until.max(floor));
        let hold_max = std::time::Duration::from_secs(drawn.rules.limits().hold_max_seconds);
        let ends = match &schedule.timing {
            Timing::Now => NOW,
            Timing::At { until, .. } => {
                prop_assert!(*until > NOW);
                *until
            }
            Timing::ByAPerson { backstop_at, then, .. } => {
                prop_assert!(last.is_none_or(|last| *backstop_at < last || *then == Backstop::Release));
                *backstop_at
            }
        };
        prop_assert!(ends >= floor && schedule.earliest >= floor);
        prop_assert!(last.is_none_or(|last| ends <= last.max(NOW)));
        prop_assert!(ends <= schedule.from.plus(hold_max).max(floor).max(NOW));
        // A confirmation ages.
        let ages = [Predicate::ContactConfirmedWithin, Predicate::ContactNotConfirmedWithin];
        let is_timeless = !ages.into_iter().any(|one| drawn.rules.speaks_of(one)) && drawn.rules.content().exceptions.is_empty();
        if facts.issued.is_some() && is_timeless {
            let later = Moment::utc(NOW.plus(hours(later_hours)));
            let again = decide(&drawn.rules, &facts, later).schedule.unwrap();
            prop_assert_eq!((again.from, again.earliest, again.floors), (schedule.from, schedule.earliest, schedule.floors));
            match (again.timing, schedule.timing) {
                (Timing::At { until, .. }, Timing::At { until: before, .. }) => prop_assert_eq!(until, before),
                (Timing::ByAPerson { backstop_at, .. }, Timing::ByAPerson { backstop_at: before, .. }) => {
                    prop_assert_eq!(backstop_at, before);
                }
                (Timing::Now, Timing::Now) => {}
                (Timing::Now, Timing::At { until, .. }) => prop_assert!(until <= later.now),
                (again, before) => prop_assert!(false, "{before:?} became {again:?}"),
            }
        }
    }

    #[test]
    fn joining_is_a_semilattice(seed: u64) {
        let dice = &mut Dice::of(seed);
        let mut columns = || {
            let (drawn, _) = policy_and_facts(dice);
            let profiles = drawn.rules.content().profiles.iter().map(|row| row.then);
            let rows: Vec<_> = profiles.chain(drawn.rules.content().restricts.iter().map(|row| row.then)).collect();
            dice.pick(&rows)
        };
        let (a, b, c) = (columns(), columns(), columns());
        prop_assert_eq!(a.join(&a), a);
        prop_assert_eq!(a.join(&b), b.join(&a));
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
        prop_assert_eq!(a.join(&Columns::loosest()), a);
    }

    #[test]
    fn one_mistyped_or_swapped_digit_of_a_loinc_code_is_found(number in 10_u32..10_000_000, at in 0_usize..7, add in 1_u32..10) {
        let valid = (0..10).map(|check| format!("{number}-{check}")).find(|code| loinc_form(code) == LoincForm::Valid).unwrap();
        let mut digits: Vec<char> = valid.chars().collect();
        let at = at % (digits.len() - 2);
        digits[at] = char::from_digit((digits[at].to_digit(10).unwrap() + add) % 10, 10).unwrap();
        let mistyped: String = digits.into_iter().collect();
        prop_assert_ne!(loinc_form(&mistyped), LoincForm::Valid);
    }
}

proptest! {
    #![proptest_config(cases(CASES_OF_FILES))]

    #[test]
    fn any_text_is_read_or_refused_without_panic(noise in "[\\[\\]{}=\"',.#a-z0-9|\\n -]{0,200}", seed: u64) {
        let mut text = stock()[Dice::of(seed).below(stock().len())].text.clone();
        let at = (0..=Dice::of(seed ^ 1).below(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.insert_str(at, &noise);
        if let Err(errors) = RuleSet::parse(&text) {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(errors.0.iter().all(|fault| fault.line >= 1 && !fault.remedy.is_empty()));
        }
    }
}

/// The lot is no good where it never draws what the properties are about.
#[test]
fn the_lot_draws_every_kind_of_answer() {
    let (mut verdicts, mut timings, mut kinds) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for seed in 0..3_000 {
        let dice = &mut Dice::of(seed);
        let (Drawn { rules, .. }, facts) = (policy_and_facts(dice).0, facts(dice));
        let judged = judged(rules, &facts);
        let verdict = format!("{:?}", judged.verdict);
        verdicts.insert(verdict.split('(').next().unwrap().to_owned());
        let schedule = decide(rules, &facts, AT).schedule.unwrap();
        timings.insert(match schedule.timing {
            Timing::Now => "now",
            Timing::At { .. } => "at",
            Timing::ByAPerson { .. } => "by a person",
        });
        kinds.extend(judged.in_force.iter().map(|row| rules.table.rows[usize::from(row)].kind));
        kinds.extend(judged.exceptions.iter().map(|_| RowKind::Exception));
    }
    assert_eq!(verdicts.len(), 7, "{verdicts:?}");
    assert_eq!(timings.len(), 3);
    let asking = [
        RowKind::Profile,
        RowKind::Restrict,
        RowKind::Exception,
        RowKind::LawRestrict,
        RowKind::Floor,
        RowKind::Ceiling,
    ];
    assert!(asking.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
}
