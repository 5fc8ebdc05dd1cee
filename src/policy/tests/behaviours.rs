//! The contract's behaviours, by name, as far as rules alone can show them. The properties hold 1, 2, 3, 4, 7 and 10 for all
//! rules and facts; here they are shown as a clinic meets them.

use std::path::Path;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::*;
use crate::base::hours;
use crate::policy::calendar::{BirthDate, age_on, instant_of};
use crate::policy::columns::Column;
use crate::policy::decide::{DEFAULT_RULE, tags_of};
use crate::policy::decision::{Decision, ReviewReason, Terms};
use crate::policy::errors::Code;
use crate::policy::facts::{Age, FactPath, Flag, Gathered, Lack};
use crate::policy::laws;
use crate::policy::schedule::Timing;
use crate::policy::text::{TEXT_BYTES_MAX, Text};
use crate::policy::trace::Outcome;
use crate::policy::vocabulary::{Action, Backstop, HoldBasis, ReleaseBy};
use crate::policy::when::Predicate;

const EXAMPLE: &str = include_str!("example.toml");
const LAB: &str = "http://terminology.hl7.org/CodeSystem/v2-0074|LAB";
const CBC: &str = "http://loinc.org|58410-2";
const HIV: &str = "http://loinc.org|56888-1";
const PREGNANCY: &str = "http://loinc.org|2106-3";
const PATHOLOGY: &str = "http://terminology.hl7.org/CodeSystem/v2-0074|SP";
/// Measured without optimisation and beside other tests; the figure itself is the bench's.
const BOUND: Duration = Duration::from_secs(5);

fn example() -> RuleSet {
    RuleSet::parse(EXAMPLE).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A report of which everything is known: what is not named is not there.
fn known(codes: &[&str], categories: &[&str]) -> Facts {
    Facts {
        results: Gathered::none(),
        labels: Gathered::none(),
        orders: Gathered::none(),
        reasons: Gathered::none(),
        performers: Gathered::none(),
        specialties: Gathered::none(),
        encounters: Gathered::none(),
        consents: Gathered::none(),
        preferences: Gathered::none(),
        critical: Flag::No,
        age: Age::Years { least: 40, most: 40 },
        text: example().patterns().read([], [].into()),
        ..report(codes, categories)
    }
}

fn found(code: &str, at: &str) -> Gathered<Coding> {
    let mut found = Gathered::none();
    found.add(coding(code), FactPath(at.to_owned()));
    found
}

fn sent(decision: Decision) -> Terms {
    match decision {
        Decision::Send { terms } => terms,
        Decision::Review { .. } | Decision::Block { .. } => panic!("not sent: {decision:?}"),
    }
}

fn local(zone: Tz, text: &str) -> UtcMillis {
    instant_of(chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap(), zone)
}

fn under(law: &str, zone: Tz, body: &str) -> String {
    format!(
        "[policy]\nid = \"test\"\nversion = \"1\"\ntimezone = \"{}\"\nlaws = [\"{law}\"]\n\
         [[profile]]\nid = \"all\"\nwhen = {{ category = [\"LAB\", \"SP\", \"RAD\"] }}\nthen = {{ action = \"send\" }}\n{body}",
        zone.name()
    )
}

#[test]
fn behaviour_3_nothing_falls_through() {
    let rules = example();
    let scan = Facts { kind: ResourceType::DocumentReference, ..known(&["http://loinc.org|11502-2"], &[]) };
    let decision = decide(&rules, &scan, AT).decision;
    assert_eq!(decision, Decision::Review { why: ReviewReason::NoRule, terms: None });
    assert!(ReviewReason::NoRule.to_string().contains("add a profile"));
    for recipient in [RecipientRole::Proxy, RecipientRole::ThirdParty, RecipientRole::CopyTo] {
        let decision = decide(&rules, &Facts { recipient, ..scan.clone() }, AT).decision;
        assert_eq!(decision, Decision::Block { rule: DEFAULT_RULE.to_owned() });
    }
}

#[test]
fn behaviour_4_unknown_is_not_no() {
    let rules = example();
    let unknown = |facts: &Facts| match decide(&rules, facts, AT).decision {
        Decision::Review { why: ReviewReason::Unknown { fact, rule, .. }, .. } => (fact, rule),
        decision @ (Decision::Send { .. } | Decision::Review { .. } | Decision::Block { .. }) => panic!("{decision:?}"),
    };
    let proxy = Facts { recipient: RecipientRole::Proxy, age: Age::Unknown, ..known(&[PREGNANCY], &[LAB]) };
    assert_eq!(unknown(&proxy), ("age".to_owned(), "minor-no-proxy".to_owned()));
    let only_the_year = Facts { age: Age::Years { least: 11, most: 12 }, ..proxy };
    assert_eq!(unknown(&only_the_year), ("age".to_owned(), "minor-no-proxy".to_owned()));
    let routine = known(&[CBC], &[LAB]);
    sent(decide(&rules, &routine, AT).decision);
    for why in [Lack::TimedOut, Lack::Refused, Lack::NotFound, Lack::Unreadable, Lack::TooMany, Lack::Elsewhere] {
        let no_order = Facts { orders: Gathered::lacking(why), reasons: Gathered::lacking(why), ..routine.clone() };
        assert_eq!(unknown(&no_order).1, "sensitive");
        assert_eq!(unknown(&Facts { results: Gathered::lacking(why), ..routine.clone() }).1, "sensitive");
        assert_eq!(unknown(&Facts { labels: Gathered::lacking(why), ..routine.clone() }).1, "sensitive");
        let no_preference = Facts { preferences: Gathered::lacking(why), ..routine.clone() };
        assert_eq!(unknown(&no_preference), ("preference".to_owned(), "phone-first".to_owned()));
    }
    let untried = Facts { text: crate::policy::facts::TextFacts::default(), ..routine };
    assert_eq!(unknown(&untried), ("text".to_owned(), "sensitive".to_owned()));
}

#[test]
fn behaviour_5_looks_inside() {
    let rules = example();
    let panel = known(&["http://loinc.org|24364-2"], &[LAB]);
    assert_eq!(sent(decide(&rules, &panel, AT).decision).release.by, ReleaseBy::Auto);
    let local = known(&["http://lab.example/tests|L-9911"], &[LAB]);
    let at = FactPath("result[0].code.text".to_owned());
    let text = |text| Text { at: &at, language: Some("en"), text };
    let read = rules.patterns().read([text("HIV Ag/Ab combo")], [].into());
    let label = "http://terminology.hl7.org/CodeSystem/v3-ActCode|HIV";
    for inside in [
        known(&[HIV], &[LAB]),
        Facts { results: found(HIV, "result[1].code"), ..panel.clone() },
        Facts { results: found(HIV, "contained[0].code"), ..panel.clone() },
        Facts { results: found(HIV, "result[0].hasMember[2].code"), ..panel.clone() },
        Facts { orders: found(HIV, "basedOn[0].code"), ..panel.clone() },
        Facts { reasons: found("http://hl7.org/fhir/sid/icd-10-cm|B20", "basedOn[0].reasonCode"), ..panel.clone() },
        Facts { labels: found(label, "meta.security"), ..panel.clone() },
        Facts { text: read, ..local },
    ] {
        assert!(tags_of(&rules, &inside, NOW).contains("HIV"), "{inside:?}");
        let terms = sent(decide(&rules, &inside, AT).decision);
        assert_eq!((terms.release.by, terms.opens.0.get()), (ReleaseBy::Manual, 1), "{inside:?}");
    }
    assert!(tags_of(&rules, &known(&[PREGNANCY], &[LAB]), NOW).contains("SEX"));
    let race = known(&["urn:oid:2.16.840.1.113883.6.238|2106-3"], &[LAB]);
    assert!(tags_of(&rules, &race, NOW).is_empty());
}

#[test]
fn behaviour_7_law_floor_and_ceiling() {
    for (law, zone, finalised, earliest) in [
        ("us-ky", Tz::America__Kentucky__Louisville, "2026-11-20 16:00", "2026-11-23 16:00"),
        ("us-tx-sb922", Tz::America__Chicago, "2026-11-20 16:00", "2026-11-23 00:00"),
        ("us-mt", Tz::America__Denver, "2026-11-20 16:00", "2026-11-23 16:00"),
        ("us-co-sb26-162", Tz::America__Denver, "2027-07-02 16:00", "2027-07-08 00:00"),
        // 72 hours by a stopwatch while the clocks go back, and calendar days, which do not care.
        ("us-ky", Tz::America__Chicago, "2026-10-30 16:00", "2026-11-02 15:00"),
        ("us-tx-sb922", Tz::America__Chicago, "2026-10-30 16:00", "2026-11-02 00:00"),
    ] {
        let rules = RuleSet::parse(&under(law, zone, "")).unwrap();
        let issued = local(zone, finalised);
        let facts = Facts { issued: Some(issued), ..known(&[], &[PATHOLOGY]) };
        let decided = decide(&rules, &facts, Moment::utc(issued.plus(hours(1))));
        let schedule = decided.schedule.unwrap();
        let until = local(zone, earliest);
        assert_eq!(schedule.timing, Timing::At { until, basis: HoldBasis::Law }, "{law} {finalised}");
        assert!(schedule.floors[0].rule.starts_with(&format!("{law}/")));
        // An old event that comes again begins no new wait.
        let later = decide(&rules, &facts, Moment::utc(until)).schedule.unwrap();
        assert_eq!(later.timing, Timing::Now, "{law}");
    }
}

#[test]
fn behaviour_7_a_ceiling_ends_what_a_person_would_keep() {
    let zone = Tz::America__Denver;
    let body =
        "[[restrict]]\nid = \"call\"\nwhen = { preference = \"phone_first\" }\nthen = { release = \"manual\" }\n";
    let rules = RuleSet::parse(&under("us-mt", zone, body)).unwrap();
    let issued = local(zone, "2026-11-20 16:00");
    let mut facts = Facts { issued: Some(issued), ..known(&[HIV], &[LAB]) };
    facts.preferences.add("phone_first".to_owned(), FactPath("preference".to_owned()));
    let Timing::ByAPerson { backstop_at, then, .. } =
        decide(&rules, &facts, Moment::utc(issued)).schedule.unwrap().timing
    else {
        panic!("a person decides")
    };
    assert_eq!((backstop_at, then), (local(zone, "2026-11-23 16:00"), Backstop::Release));
}

#[test]
fn behaviour_7_a_row_that_crosses_a_floor_or_a_ceiling_is_refused() {
    let row = |then: &str| format!("[[restrict]]\nid = \"hiv\"\nwhen = {{ set = \"HIV\" }}\nthen = {{ {then} }}\n");
    for (then, code) in [
        ("hold = \"24h\"", Code::CrossesFloor),
        ("hold = \"96h\"", Code::CrossesCeiling),
        ("release = \"manual\"", Code::CrossesCeiling),
        ("action = \"block\"", Code::CrossesCeiling),
    ] {
        let errors = RuleSet::parse(&under("us-mt", Tz::America__Denver, &row(then))).unwrap_err();
        assert!(errors.0.iter().any(|error| error.code == code && error.line > 9), "{then}: {errors}");
    }
}

#[test]
fn a_law_out_of_its_time_asks_for_nothing_and_makes_nothing_unknown() {
    let zone = Tz::America__Denver;
    let rules = RuleSet::parse(&under("us-co-sb26-162", zone, "")).unwrap();
    let before = local(zone, "2027-06-30 23:59");
    let facts = Facts { issued: Some(before), ..known(&[], &[PATHOLOGY]) };
    let decided = decide(&rules, &facts, Moment::utc(before));
    assert_eq!(decided.schedule.unwrap().timing, Timing::Now);
    let law_rows = decided.trace.rows.iter().filter(|row| row.id.starts_with("us-co"));
    assert!(law_rows.clone().any(|row| row.outcome == Outcome::OutOfTime));
    assert!(law_rows.clone().all(|row| row.outcome != Outcome::InForce));
    let unread = Facts { orders: Gathered::lacking(Lack::TimedOut), ..known(&[CBC], &[LAB]) };
    sent(decide(&rules, &Facts { issued: Some(before), ..unread.clone() }, Moment::utc(before)).decision);
    let after = local(zone, "2027-07-01 00:00");
    let decision = decide(&rules, &Facts { issued: Some(after), ..unread }, Moment::utc(after)).decision;
    assert!(matches!(decision, Decision::Review { why: ReviewReason::Unknown { .. }, .. }), "{decision:?}");
}

#[test]
fn behaviour_7_a_law_of_restrictions_counts_in_its_time_alone() {
    let zone = Tz::America__Los_Angeles;
    let rules = RuleSet::parse(&under("us-ca", zone, "")).unwrap();
    let timing = |finalised: &str| {
        let issued = local(zone, finalised);
        let facts = Facts { issued: Some(issued), ..known(&[HIV], &[LAB]) };
        decide(&rules, &facts, Moment::utc(issued)).schedule.unwrap().timing
    };
    assert_eq!(timing("2022-12-31 23:59"), Timing::Now);
    let Timing::ByAPerson { requires, .. } = timing("2023-01-01 00:00") else { panic!("a talk comes first") };
    assert_eq!(requires.len(), 1);
}

#[test]
fn what_a_person_releases_waits_for_every_law_that_may_apply() {
    let zone = Tz::America__Louisville;
    let rules = RuleSet::parse(&under("us-ky", zone, "")).unwrap();
    let facts = Facts { results: Gathered::lacking(Lack::TimedOut), issued: Some(AT.now), ..known(&[CBC], &[LAB]) };
    let decided = decide(&rules, &facts, AT);
    assert!(matches!(decided.decision, Decision::Review { why: ReviewReason::Unknown { .. }, .. }));
    let floors = decided.schedule.unwrap().floors;
    assert!(floors.iter().any(|floor| floor.until == AT.now.plus(crate::base::hours(72))), "{floors:?}");
}

#[test]
fn a_column_that_a_law_sets_bears_its_packs_name() {
    let rules = RuleSet::parse(&under("us-ca", Tz::America__Los_Angeles, "")).unwrap();
    let trace = decide(&rules, &known(&[HIV], &[LAB]), AT).trace;
    let requires = trace.columns.iter().find(|column| column.column == Column::Requires).unwrap();
    assert_eq!(requires.by, ["us-ca/us-ca-discussed-hiv"]);
}

#[test]
fn quiet_hours_saturday_night_with_sunday_off_end_on_monday() {
    let rules = example();
    let zone = Tz::America__Chicago;
    let quiet = rules.quiet().unwrap();
    assert_eq!(quiet.next_allowed(local(zone, "2026-11-21 21:30"), zone), local(zone, "2026-11-23 08:00"));
    assert_eq!(quiet.next_allowed(local(zone, "2026-11-21 20:59"), zone), local(zone, "2026-11-21 20:59"));
}

/// What ships decides by the test, never by its result.
#[test]
fn behaviour_8_no_polarity_leak() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let starters = files.filter(|path| path.extension().is_some_and(|kind| kind == "toml"));
    let starters = starters.map(|path| std::fs::read_to_string(path).unwrap());
    let packs = laws::NAMES.map(|law| under(law, Tz::America__Denver, ""));
    let mut asked = 0;
    for text in starters.chain(packs).chain([EXAMPLE.to_owned()]) {
        let Ok(rules) = RuleSet::parse(&text) else { continue };
        if rules.whens().any(|when| when.names(Predicate::Critical)) {
            continue;
        }
        for codes in [[CBC], [HIV], [PREGNANCY], ["http://loinc.org|5671-3"]] {
            for recipient in RecipientRole::ALL {
                let with = |critical| {
                    let facts = Facts { recipient, critical, ..known(&codes, &[LAB]) };
                    let decided = decide(&rules, &facts, AT);
                    (decided.decision, decided.schedule)
                };
                assert_eq!(with(Flag::No), with(Flag::Yes));
                assert_eq!(with(Flag::No), with(Flag::Unknown));
                asked += 1;
            }
        }
    }
    assert!(asked >= 20 * (laws::NAMES.len() + 2), "{asked}");
}

#[test]
fn behaviour_9_minors_change_on_their_birthdays_where_they_live() {
    let rules = example();
    let zone = Tz::America__Chicago;
    let action = |born: &str, wall: &str| {
        let now = local(zone, wall);
        let age = age_on(BirthDate::Day(born.parse::<NaiveDate>().unwrap()), now, zone);
        let facts = Facts { recipient: RecipientRole::Proxy, age, ..known(&[PREGNANCY], &[LAB]) };
        crate::policy::cases::action_of(&decide(&rules, &facts, Moment { now, zone }).decision)
    };
    for (born, last_minute, midnight) in [
        ("2015-03-10", Action::Send, Action::Send),   // 11
        ("2014-03-10", Action::Send, Action::Block),  // 12
        ("2009-03-10", Action::Block, Action::Block), // 17
        ("2008-03-10", Action::Block, Action::Send),  // 18
    ] {
        // In UTC it is the 10th already.
        assert_eq!(action(born, "2026-03-09 23:59"), last_minute, "{born}");
        assert_eq!(action(born, "2026-03-10 00:00"), midnight, "{born}");
    }
}

#[test]
fn behaviour_10_explain_names_the_row_of_each_column_and_the_place_of_each_tag() {
    let rules = example();
    let facts = Facts { results: found(HIV, "result[1].code"), ..known(&["http://loinc.org|24364-2"], &[LAB]) };
    let decided = decide(&rules, &facts, AT);
    assert_eq!(decided.trace.columns.len(), Column::ALL.len());
    assert!(decided.trace.columns.iter().all(|column| !column.by.is_empty()));
    let expiry = decided.trace.columns.iter().find(|column| column.column == Column::Expiry).unwrap();
    assert_eq!((expiry.value.as_str(), expiry.by.as_slice()), ("24 h", &["sensitive".to_owned()][..]));
    assert_eq!((expiry.overruled[0].row.as_str(), expiry.overruled[0].value.as_str()), ("routine-lab", "72 h"));
    let hiv = decided.trace.rows.iter().find(|row| row.tag.as_deref() == Some("HIV")).unwrap();
    assert_eq!(hiv.outcome, Outcome::InForce);
    assert_eq!(hiv.evidence[0].at.0, "result[1].code");
    assert_eq!(decided.rules_hash, rules.rules_hash());
}

#[test]
fn behaviour_15_a_megabyte_of_hostile_text_is_read_in_bounded_time() {
    // What makes a matcher that goes back try for ever.
    let patterns =
        "\"\\\\b(a|aa)+$\", \"\\\\b(a*)*b\", \"(.*a){12}b\\\\b\", \"\\\\b(x+x+)+y\", \"\\\\b(ab|a|b){1,30}c\"";
    let rules = rules(&format!("[[classify]]\ntag = \"T\"\nany = {{ text = [{patterns}] }}\n"));
    let at = FactPath("text".to_owned());
    for hostile in ["a".repeat(TEXT_BYTES_MAX), "xx ".repeat(TEXT_BYTES_MAX / 3), "ab".repeat(TEXT_BYTES_MAX)] {
        let before = processor_time();
        let read = rules.patterns().read([Text { at: &at, language: None, text: &hostile }], [].into());
        let taken = processor_time().saturating_sub(before);
        assert!(taken < BOUND, "{taken:?}");
        assert_eq!(read.matched.is_whole(), hostile.len() <= TEXT_BYTES_MAX);
    }
}

#[test]
fn behaviour_15_ten_thousand_codings_are_decided_in_bounded_time() {
    let mut body = String::new();
    for row in 0..300 {
        let codes: Vec<_> = (0..20).map(|n| format!("\"http://local.example/codes|{row}-{n}\"")).collect();
        let codes = codes.join(", ");
        body += &profile(&format!("p{row}"), "", &format!("holds = [{codes}]"), "action = \"send\"");
        let classify = format!("[[classify]]\nid = \"c{row}\"\ntag = \"T{row}\"\nany = {{ prefix = [{codes}] }}\n");
        body += &classify;
    }
    let rules = rules(&body);
    let mut facts = known(&[], &[]);
    for no in 0..10_000 {
        let code = format!("http://local.example/codes|{}-{}x{no}", no % 500, no % 20);
        facts.results.add(coding(&code), FactPath(format!("result[{no}].code")));
    }
    let before = processor_time();
    let decided = decide(&rules, &facts, AT);
    let taken = processor_time().saturating_sub(before);
    assert_eq!(decided.decision, Decision::Review { why: ReviewReason::NoRule, terms: None });
    assert_eq!(
        decided.trace.rows.iter().filter(|row| row.tag.is_some() && row.outcome == Outcome::InForce).count(),
        300
    );
    assert!(taken < BOUND, "{taken:?}");
}

#[test]
fn a_reports_own_code_belongs_to_its_classes_too() {
    let body = "[[classify]]\ntag = \"T\"\nany = { holds = [\"icd-10-cm|C50\"] }\n";
    let facts = known(&["http://hl7.org/fhir/sid/icd-10-cm|C50.912"], &[]);
    assert!(tags_of(&rules(body), &facts, NOW).contains("T"));
}

#[test]
fn the_order_of_tests_does_not_change_the_hash() {
    let test = |name: &str| {
        format!(
            "[[test]]\nname = \"{name}\"\nfacts = {{ category = \"LAB\" }}\nexpect = {{ action = \"manual_review\" }}\n"
        )
    };
    let (one, two) = (test("one of these"), test("another of these"));
    assert_eq!(rules(&format!("{one}{two}")).rules_hash(), rules(&format!("{two}{one}")).rules_hash());
}
