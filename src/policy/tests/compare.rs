//! Two rules files: what one decides otherwise than the other, and what a change could loosen.

use std::collections::BTreeSet;

use super::*;
use crate::base::cases::cases;
use crate::policy::compare::{Comparison, Direction, Movement, changes};
use crate::policy::facts::{Age, FactPath, Flag, Gathered, Lack};
use crate::policy::loosenings::loosenings;
use crate::policy::when::Predicate;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};

/// Numbers without end from one seed (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % count
    }

    fn is(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const CODES: [&str; 4] = ["loinc|58410-2", "loinc|4548-4", "loinc|3016-3", "http://local.example/codes|X1"];
const CATEGORIES: [&str; 3] = ["LAB", "CH", "RAD"];
const TAGS: [&str; 2] = ["HIV", "STD"];
const CLINICS: [&str; 2] = ["main", "west"];

/// A rules file in parts, so that a part of it can change.
#[derive(Clone, Debug, Default, PartialEq)]
struct Draft {
    other_default: &'static str,
    classify: Vec<(usize, String)>,
    profiles: Vec<(usize, String)>,
    restricts: Vec<(usize, String)>,
    exceptions: Vec<(usize, String)>,
}

fn some(dice: &mut Dice, of: &[&str], max: usize) -> String {
    let picked: BTreeSet<&str> = (0..=dice.below(max)).map(|_| dice.one_of(of)).collect();
    let quoted: Vec<String> = picked.into_iter().map(|word| format!("\"{word}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn when(dice: &mut Dice) -> Vec<String> {
    let mut when = Vec::new();
    match dice.below(4) {
        0 => when.push(format!("code = {}", some(dice, &CODES, 2))),
        1 => when.push(format!("holds = {}", some(dice, &CODES, 2))),
        2 => when.push(format!("category = {}", some(dice, &CATEGORIES, 2))),
        _ => when.push(format!("clinic = {}", some(dice, &CLINICS, 2))),
    }
    if dice.is(4) {
        when.push(format!("age = \"{}\"", dice.one_of(&["12..18", "0..12", "12..100"])));
    }
    when
}

fn columns(dice: &mut Dice) -> String {
    let mut said = Vec::new();
    for (name, values) in [
        ("expiry", &["\"24h\"", "\"72h\"", "\"7d\""][..]),
        ("opens", &["1", "3", "20"]),
        ("channel", &["\"email\"", "\"sms\"", "[\"sms\", \"email\"]"]),
        ("verify", &["\"code\"", "[\"question\", \"code\"]"]),
        ("hold", &["\"24h\"", "\"72h\""]),
        ("release", &["\"manual\"", "\"auto\""]),
        ("requires", &["\"discussed\""]),
        ("auto_release", &["\"5d\"", "\"12d\""]),
        ("backstop", &["\"release\"", "\"escalate\""]),
        ("wording", &["\"full\"", "\"generic\"", "\"bare\""]),
        ("group_by", &["\"order\"", "\"day\""]),
        ("notify", &["\"staff\"", "\"ordering_provider\""]),
    ] {
        if dice.is(4) {
            said.push(format!("{name} = {}", dice.one_of(values)));
        }
    }
    said.join(", ")
}

fn profile_row(dice: &mut Dice, at: usize) -> String {
    let mut over = BTreeSet::new();
    if at > 0 && dice.is(4) {
        over.insert(dice.below(at));
    }
    let over: Vec<String> = over.iter().map(|at| format!("\"p{at}\"")).collect();
    let mut when = when(dice);
    if dice.is(5) {
        when.push("recipient = [\"patient\", \"proxy\"]".to_owned());
    }
    let action = dice.one_of(&["send", "send", "send", "manual_review", "block"]);
    let columns = columns(dice);
    let then = if columns.is_empty() { String::new() } else { format!(", {columns}") };
    profile(&format!("p{at}"), &over.join(", "), &when.join(", "), &format!("action = \"{action}\"{then}"))
}

fn restrict_row(dice: &mut Dice, at: usize) -> String {
    let mut when = if dice.is(2) {
        vec![format!("tag = {}", some(dice, &TAGS, 2))]
    } else {
        match dice.below(3) {
            0 => vec!["critical = true".to_owned()],
            1 => vec!["label = \"HIV\"".to_owned()],
            _ => when(dice),
        }
    };
    if dice.is(3) {
        when.push("clinic = \"main\"".to_owned());
        when.dedup();
    }
    let mut seen = BTreeSet::new();
    when.retain(|one| seen.insert(one.split(' ').next().unwrap().to_owned()));
    let columns = columns(dice);
    let action = dice.one_of(&["manual_review", "block", "send"]);
    let then = if columns.is_empty() || dice.is(4) { format!("action = \"{action}\"") } else { columns };
    format!("[[restrict]]\nid = \"r{at}\"\nwhen = {{ {} }}\nthen = {{ {then} }}\n", when.join(", "))
}

fn classify_row(dice: &mut Dice, at: usize) -> String {
    // Every tag has a row, so that restrictions may test it.
    let tag = TAGS[at % TAGS.len()];
    let mut evidence = vec![format!("{} = {}", dice.one_of(&["code", "holds"]), some(dice, &CODES, 2))];
    if dice.is(3) {
        evidence.push("label = \"HIV\"".to_owned());
    }
    format!("[[classify]]\nid = \"c{at}\"\ntag = \"{tag}\"\nany = {{ {} }}\n", evidence.join(", "))
}

fn exception_row(dice: &mut Dice, at: usize, restricts: &[(usize, String)]) -> String {
    let over = restricts[dice.below(restricts.len())].0;
    let when = if dice.is(3) { vec![format!("tag = {}", some(dice, &TAGS, 1))] } else { when(dice) };
    let from = dice.one_of(&["", "from = 2026-01-01\n", "from = 2027-01-01\n"]);
    let until = dice.one_of(&["2026-01-02", "2026-12-31", "2027-12-31"]);
    format!(
        "[[exception]]\nid = \"e{at}\"\nover = [\"r{over}\"]\nwhen = {{ {} }}\n{from}until = {until}\nby = [\"Ann Author\", \
         \"Ben Approver\"]\nreason = \"a trial of the clinic\"\n",
        when.join(", ")
    )
}

impl Draft {
    fn new(dice: &mut Dice) -> Self {
        let restricts: Vec<_> = (0..2 + dice.below(2)).map(|at| (at, restrict_row(dice, at))).collect();
        let exceptions = if dice.is(3) { vec![(0, exception_row(dice, 0, &restricts))] } else { Vec::new() };
        Self {
            other_default: if dice.is(3) { "manual_review" } else { "block" },
            classify: (0..3).map(|at| (at, classify_row(dice, at))).collect(),
            profiles: (0..=dice.below(4)).map(|at| (at, profile_row(dice, at))).collect(),
            restricts,
            exceptions,
        }
    }

    /// Changes one thing.
    fn change(&mut self, dice: &mut Dice) {
        let next = 10 + dice.below(80);
        match if self.profiles.is_empty() { 0 } else { dice.below(14) } {
            0 | 1 => self.restricts.push((next, restrict_row(dice, next))),
            2 => {
                let at = dice.below(self.restricts.len());
                let id = self.restricts[at].0;
                self.restricts[at].1 = restrict_row(dice, id);
            }
            3 => self.classify.push((next, classify_row(dice, next))),
            4 => {
                let at = dice.below(self.profiles.len());
                let id = self.profiles[at].0;
                self.profiles[at].1 = profile_row(dice, id);
            }
            5 => {
                let at = dice.below(self.profiles.len());
                let (id, _) = self.profiles.remove(at);
                self.profiles.iter_mut().for_each(|(_, row)| *row = row.replace(&format!("over = [\"p{id}\"]\n"), ""));
            }
            6 => self.exceptions.clear(),
            7 => self.exceptions = vec![(0, exception_row(dice, 0, &self.restricts))],
            8 => self.other_default = "block",
            9 => {
                let at = dice.below(self.profiles.len().max(1));
                if let Some((_, row)) = self.profiles.get_mut(at) {
                    *row = row
                        .lines()
                        .filter(|line| !line.starts_with("over"))
                        .fold(String::new(), |all, line| all + line + "\n");
                }
            }
            10 => {
                // One more code in whatever names this one.
                let rows = if dice.is(2) { &mut self.classify } else { &mut self.restricts };
                let (from, to) = (dice.one_of(&CODES), dice.one_of(&CODES));
                let both = format!("\"{from}\", \"{to}\"");
                rows.iter_mut()
                    .filter(|(_, row)| !row.contains(to))
                    .for_each(|(_, row)| *row = row.replace(&format!("\"{from}\""), &both));
            }
            11 => {
                let mut row = profile_row(dice, 90);
                row = row.replace("action = \"send\"", "action = \"manual_review\"");
                self.profiles.retain(|(at, _)| *at != 90);
                // It may replace only rows that are there.
                self.profiles.push((
                    90,
                    row.lines()
                        .filter(|line| !line.starts_with("over"))
                        .fold(String::new(), |all, line| all + line + "\n"),
                ));
            }
            _ => self.change_a_column(dice),
        }
    }

    /// One column stricter, or looser.
    fn change_a_column(&mut self, dice: &mut Dice) {
        let swaps = [
            ("\"7d\"", "\"72h\""),
            ("\"72h\"", "\"24h\""),
            ("opens = 20", "opens = 3"),
            ("opens = 3", "opens = 1"),
            ("hold = \"24h\"", "hold = \"72h\""),
            ("verify = \"code\"", "verify = [\"question\", \"code\"]"),
            ("group_by = \"order\"", "opens = 20"),
            ("\"generic\"", "\"bare\""),
            ("\"manual_review\"", "\"block\""),
            ("\"send\"", "\"manual_review\""),
        ];
        let (from, to) = swaps[dice.below(swaps.len())];
        let rows = if dice.is(2) { &mut self.profiles } else { &mut self.restricts };
        let at = dice.below(rows.len().max(1));
        if let Some((_, row)) = rows.get_mut(at).filter(|(_, row)| {
            row.matches("opens").count() == 0 || !to.starts_with("opens") || from.starts_with("opens")
        }) {
            *row = row.replace(from, to);
        }
    }

    fn rules(&self) -> Option<RuleSet> {
        let rows = [&self.classify, &self.profiles, &self.restricts, &self.exceptions];
        let rows: String = rows.into_iter().flatten().map(|(_, row)| row.as_str()).collect();
        RuleSet::parse(&format!("{HEADER}other_default = \"{}\"\n{rows}", self.other_default)).ok()
    }
}

fn facts(dice: &mut Dice) -> Facts {
    let system = |code: &str| code.replace("loinc|", "http://loinc.org|");
    let gathered = |dice: &mut Dice, of: &[&str], count: usize| {
        let mut all = if dice.is(3) { Gathered::lacking(Lack::TimedOut) } else { Gathered::none() };
        for _ in 0..dice.below(count + 1) {
            all.add(coding(&system(dice.one_of(of))), FactPath("result[0].code".to_owned()));
        }
        all
    };
    let mut facts = report(&[], &[]);
    facts.recipient = if dice.is(5) { RecipientRole::Proxy } else { RecipientRole::Patient };
    facts.clinic = Some(ClinicId::parse(dice.one_of(&CLINICS)).unwrap());
    facts.codes = (0..dice.below(3)).map(|_| coding(&system(dice.one_of(&CODES)))).collect();
    let category = "http://terminology.hl7.org/CodeSystem/v2-0074|";
    facts.categories = (0..dice.below(3)).map(|_| coding(&format!("{category}{}", dice.one_of(&CATEGORIES)))).collect();
    facts.results = gathered(dice, &CODES, 2);
    facts.orders = gathered(dice, &CODES, 1);
    facts.reasons = Gathered::none();
    facts.labels = gathered(dice, &["http://terminology.hl7.org/CodeSystem/v3-ActCode|HIV"], 1);
    facts.age = match dice.below(4) {
        0 => Age::Unknown,
        1 => Age::Years { least: 11, most: 12 },
        2 => Age::Years { least: 15, most: 15 },
        _ => Age::Years { least: 40, most: 40 },
    };
    facts.critical = [Flag::No, Flag::Yes, Flag::Unknown][dice.below(3)];
    facts
}

/// Pairs of rules, and reports for each.
const PAIRS: u32 = 2_500;
const REPORTS: usize = 24;
/// What the property is about must come often enough to say something.
const SILENT_CASES_MIN: usize = 10_000;

#[test]
fn where_no_loosening_is_named_no_report_is_decided_looser() {
    let (mut silent, mut looser_pairs, mut named_in_vain, mut unread) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut runner = TestRunner::new(Config { max_shrink_iters: 0, ..cases(PAIRS) });
    let counts = std::cell::RefCell::new((&mut silent, &mut looser_pairs, &mut named_in_vain, &mut unread));
    let ran = runner.run(&any::<u64>(), |seed| {
        let mut dice = Dice(seed | 1);
        let old = Draft::new(&mut dice);
        let mut new = old.clone();
        for _ in 0..=dice.below(2) {
            new.change(&mut dice);
        }
        let (Some(was), Some(is)) = (old.rules(), new.rules()) else {
            *counts.borrow_mut().3 += 1;
            return Ok(());
        };
        if was == is {
            return Ok(());
        }
        let named = loosenings(&was, &is);
        let comparison = Comparison::new(&was, &is, None);
        let reports: Vec<Facts> = (0..REPORTS).map(|_| facts(&mut dice)).collect();
        let looser: Vec<_> = reports
            .iter()
            .map(|facts| (facts, comparison.compare(facts, AT)))
            .filter(|(_, compared)| compared.movement.is_looser())
            .collect();
        proptest::prop_assert!(
            looser.is_empty() || !named.is_empty(),
            "nothing is named, and this is looser: {:#?}\nold {:#?}\nnew {:#?}",
            looser.first(),
            old,
            new
        );
        let mut counts = counts.borrow_mut();
        match (named.is_empty(), looser.is_empty()) {
            (true, _) => *counts.0 += REPORTS,
            (false, false) => *counts.1 += 1,
            (false, true) => *counts.2 += 1,
        }
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    println!("silent {silent}, named and met {looser_pairs}, named and not met {named_in_vain}, not sound {unread}");
    assert!(silent >= SILENT_CASES_MIN && looser_pairs > 100, "{silent} {looser_pairs}");
}

/// What names each way in which rules can become looser, and what does not.
#[test]
fn every_kind_of_loosening_is_named_by_its_row() {
    let base = "[[classify]]\ntag = \"HIV\"\nany = { code = [\"loinc|3016-3\", \"loinc|4548-4\"] }\n\
                [[profile]]\nid = \"p\"\nwhen = { category = \"LAB\" }\nthen = { action = \"send\", opens = 3 }\n\
                [[restrict]]\nid = \"r\"\nwhen = { tag = \"HIV\" }\nthen = { action = \"manual_review\" }\n";
    let more = |row: &str| format!("{base}{row}");
    let exception = "[[exception]]\nid = \"e\"\nover = [\"r\"]\nwhen = { clinic = \"main\" }\nuntil = 2026-12-31\n\
                     by = [\"Ann Author\", \"Ben Approver\"]\nreason = \"a trial of the clinic\"\n";
    let old = rules(base);
    for (row, new) in [
        ("p", base.replace("opens = 3", "opens = 5")),
        ("p", base.replace("\"LAB\"", "[\"LAB\", \"RAD\"]")),
        ("hiv", base.replace("\"loinc|3016-3\", ", "")),
        ("r", base.replace("tag = \"HIV\"", "tag = \"HIV\", clinic = \"main\"")),
        ("r", base.replace("\"manual_review\"", "\"send\"")),
        ("e", more(exception)),
        ("q", more(&profile("q", "\"p\"", "category = \"LAB\"", "action = \"send\", opens = 1"))),
    ] {
        let found =
            loosenings(&old, &rules(&new.replace("tag = \"HIV\", clinic = \"main\"\nany", "tag = \"HIV\"\nany")));
        assert!(found.iter().any(|one| one.row == row), "{row}: {found:?}\n{new}");
    }
    for new in [
        base.to_owned(),
        base.replace("opens = 3", "opens = 1"),
        base.replace("\"loinc|3016-3\"", "\"loinc|3016-3\", \"loinc|58410-2\""),
        base.replace("\"manual_review\"", "\"block\""),
        more("[[restrict]]\nid = \"stop\"\nwhen = { code = \"loinc|58410-2\" }\nthen = { action = \"block\" }\n"),
        more("[[restrict]]\nid = \"once\"\nwhen = { category = \"LAB\" }\nthen = { opens = 1 }\n"),
    ] {
        let found = loosenings(&old, &rules(&new));
        assert!(found.is_empty(), "{found:?}\n{new}");
    }
}

/// Only a person lets it leave, and under no easier terms than before: when it would have left by itself no longer counts.
#[test]
fn a_row_that_newly_keeps_for_a_person_is_looser_only_in_what_that_person_gives() {
    let row = |then: &str| profile("p", "", "category = \"LAB\"", then);
    let lab = report(&[], &["http://terminology.hl7.org/CodeSystem/v2-0074|LAB"]);
    let found = |was: &str, is: &str, beside: &str| {
        let (old, new) = (rules(&format!("{was}{beside}")), rules(&format!("{is}{beside}")));
        let movement = Comparison::new(&old, &new, None).compare(&lab, AT).movement;
        let named: Vec<_> = loosenings(&old, &new).into_iter().map(|one| one.what).collect();
        (movement, named)
    };
    let waits = "opens = 1, release = \"manual\", hold = \"72h\", auto_release = \"12d\", backstop = \"escalate\"";
    let was = row(&format!("action = \"send\", {waits}"));
    let keeps = row("action = \"manual_review\", opens = 1");
    assert_eq!(found(&was, &keeps, ""), (Movement::NewlyInReview, Vec::new()));

    // What nobody said has its default, and a person who releases gives that.
    let bare = row("action = \"manual_review\"");
    let (movement, named) = found(&was, &bare, "");
    assert_eq!(movement, Movement::Looser);
    assert!(named[0].starts_with("it asks for less: opens 1, now 3; that is what a person"), "{named:?}");

    // Once it is released a talk is waited for, as long as these rows say.
    let talk = "[[restrict]]\nid = \"talk\"\nwhen = { category = \"LAB\" }\n\
                then = { requires = \"discussed\", auto_release = \"5d\", backstop = \"release\" }\n";
    let (movement, named) = found(&was, &keeps, talk);
    assert_eq!(movement, Movement::Looser);
    let expected = "hold 72 h (clinic_policy), now none; auto_release 12 d, now none; backstop escalate, now release";
    assert!(named[0].contains(expected), "{named:?}");

    // Back again it leaves by itself.
    assert_eq!(found(&keeps, &was, "").0, Movement::NewlySent);
}

#[test]
fn looser_reports_are_named_one_by_one_and_the_rest_are_counted() {
    let old = rules(&profile("p", "", "category = \"LAB\"", "action = \"send\", opens = 3, expiry = \"72h\""));
    let mixed = rules(&profile("p", "", "category = \"LAB\"", "action = \"send\", opens = 5, expiry = \"24h\""));
    let lab = || report(&[], &["http://terminology.hl7.org/CodeSystem/v2-0074|LAB"]);
    let many = (0..15).map(|at| (at, lab())).chain([(99, report(&[], &[]))]);
    let diff = changes(&old, &mixed, many, |_| AT);
    assert_eq!((diff.looser.count, diff.looser.shown.len(), diff.same, diff.count()), (15, 15, 1, 16));
    let one = &diff.looser.shown[0].compared;
    let seen: Vec<_> = one.changes.iter().map(|change| (change.what, change.direction)).collect();
    assert_eq!(seen, [("expiry", Direction::Tighter), ("opens", Direction::Looser)]);
    assert_eq!((one.changes[1].rows_before.as_slice(), one.movement), (&["p".to_owned()][..], Movement::Looser));

    let back = changes(&mixed, &old, (0..15).map(|at| (at, lab())), |_| AT);
    assert!(back.is_anything_looser());
    let review =
        rules(&profile("p", "", "category = \"LAB\"", "action = \"manual_review\", opens = 3, expiry = \"72h\""));
    let held = changes(&old, &review, (0..15).map(|at| (at, lab())), |_| AT);
    assert_eq!((held.newly_in_review.count, held.newly_in_review.shown.len()), (15, 10));
    assert_eq!(changes(&review, &old, [(1, lab())], |_| AT).newly_sent.count, 1);
    let asking = rules(&format!(
        "{}[[classify]]\ntag = \"HIV\"\nany = {{ text = \"\\\\bhiv\\\\b\" }}\n",
        profile("p", "", "category = \"LAB\"", "action = \"send\"")
    ));
    assert_eq!(changes(&old, &asking, [(1, lab())], |_| AT).unasked.get(&Predicate::Text), Some(&1));
}
