//! The starter rules for kinds of clinics: each loads, passes its tests, needs every row, and lets nothing sensitive go bare.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use toml_edit::{Array, DocumentMut, value};

use super::*;
use crate::policy::cases::{self, CASE_NOW};
use crate::policy::codes;
use crate::policy::decide::tags_of;
use crate::policy::decision::{Decision, Terms};
use crate::policy::errors::Code;
use crate::policy::facts::{Age, FactPath, Flag, Gathered, Lack, TextFacts};
use crate::policy::judge::Verdict;
use crate::policy::laws;
use crate::policy::rules::Content;
use crate::policy::schedule::Timing;
use crate::policy::sets::CodeSets;
use crate::policy::starters::STARTERS;
use crate::policy::table::Table;
use crate::policy::text::Text;
use crate::policy::vocabulary::{Challenge, CodeVia};

/// Tags of the shipped codes that say what kind of report it is, and nothing about how sensitive it is.
const KINDS: [&str; 4] = ["x-ROUTINE", "x-IMG", "x-NOTE", "x-OCC"];

/// A report that the file sends by itself: its own code as the rules write it, and whether it is a document.
fn routine_of(name: &str) -> Facts {
    let (kind, code) = match name {
        "imaging" => (ResourceType::DiagnosticReport, "http://loinc.org|30746-2"),
        "post-visit" | "telemedicine" => (ResourceType::DocumentReference, "http://loinc.org|11506-3"),
        _ => (ResourceType::DiagnosticReport, "http://loinc.org|58410-2"),
    };
    let encounters = one("http://terminology.hl7.org/CodeSystem/v3-ActCode|VR");
    Facts { codes: vec![coding(code)], encounters, ..known(kind) }
}

fn known(kind: ResourceType) -> Facts {
    Facts {
        issued: Some(CASE_NOW),
        results: Gathered::none(),
        labels: Gathered::none(),
        orders: Gathered::none(),
        reasons: Gathered::none(),
        performers: Gathered::none(),
        specialties: Gathered::none(),
        encounters: Gathered::none(),
        text: TextFacts { tried: BTreeSet::new(), matched: Gathered::none() },
        age: Age::Years { least: 40, most: 40 },
        consents: Gathered::none(),
        preferences: Gathered::none(),
        critical: Flag::No,
        ..Facts::bare(kind, ReportStatus::Final)
    }
}

fn one(code: &str) -> Gathered<Coding> {
    let mut found = Gathered::none();
    found.add(coding(code), FactPath("here".to_owned()));
    found
}

/// Each is read once: compiling the text patterns takes its time.
static LOADED: LazyLock<Vec<(&str, RuleSet)>> = LazyLock::new(|| {
    let load = |text| RuleSet::parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    STARTERS.iter().map(|(name, text)| (*name, load(text))).collect()
});

fn load(name: &str) -> &'static RuleSet {
    LOADED.iter().find(|(known, _)| *known == name).map(|(_, rules)| rules).unwrap()
}

/// Reads the texts with the file's own patterns, as the service does.
fn with_text(rules: &RuleSet, facts: &Facts, text: &str) -> Facts {
    let at = FactPath("conclusion".to_owned());
    let text = rules.patterns().read([Text { at: &at, language: None, text }], BTreeSet::new());
    Facts { text, ..facts.clone() }
}

fn decided_by(rules: &RuleSet, facts: &Facts) -> crate::policy::Decided {
    decide(rules, &with_text(rules, facts, ""), Moment::utc(CASE_NOW))
}

#[test]
fn every_starter_file_is_listed() {
    let files = std::fs::read_dir("policies").unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "toml"));
    let names: BTreeSet<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let listed = STARTERS.iter().map(|(name, _)| (*name).to_owned()).chain(["starter".to_owned()]);
    assert_eq!(names, listed.collect());
}

#[test]
fn each_starter_loads_and_passes_its_own_tests() {
    for (name, text) in STARTERS {
        let rules = load(name);
        let header = &rules.content().header;
        assert_eq!(header.id, name);
        assert!(rules.quiet().is_some() && text.contains("[limits]"), "{name}");
        let ran = cases::run_all(rules);
        assert!(ran.len() >= 8, "{name}");
        let missed: Vec<_> = ran.iter().filter(|ran| !ran.misses.is_empty()).collect();
        assert!(missed.is_empty(), "{name}: {missed:#?}");
    }
}

#[test]
fn each_begins_with_a_comment_that_says_for_whom_and_what_to_change() {
    for (name, text) in STARTERS {
        let comment: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!((10..=20).contains(&comment.len()), "{name}: {} lines", comment.len());
        for part in ["For whom", "What happens", "What to change first", "timezone and laws", "docs/rules.md"] {
            assert!(comment.iter().any(|line| line.contains(part)), "{name}: {part}");
        }
    }
}

#[test]
fn a_row_that_goes_missing_is_noticed() {
    for (name, _) in STARTERS {
        let content = load(name).content();
        let classify = (0..content.classify.len()).map(|at| {
            let mut less = content.clone();
            (less.classify.remove(at).id, less)
        });
        let profiles = (0..content.profiles.len()).map(|at| {
            let mut less = content.clone();
            (less.profiles.remove(at).id, less)
        });
        let restricts = (0..content.restricts.len()).map(|at| {
            let mut less = content.clone();
            (less.restricts.remove(at).id, less)
        });
        for (id, less) in classify.chain(profiles).chain(restricts) {
            let rules = compiled(name, less);
            let missed = content.cases.iter().any(|case| !cases::run(&rules, case).is_empty());
            assert!(missed, "{name}: no test notices that '{id}' is missing");
        }
    }
}

fn compiled(name: &str, content: Content) -> RuleSet {
    let table = Table::compile(&content);
    RuleSet { content, patterns: load(name).patterns().clone(), table: Box::new(table), hash: [0; 32] }
}

/// Every place in which a code of this system can stand.
fn places(base: &Facts, code: &Coding) -> Vec<Facts> {
    let text = code.to_string();
    let system = code.system.as_deref().unwrap();
    if system == codes::ACT_CODE || system == codes::CONFIDENTIALITY {
        return vec![Facts { labels: one(&text), ..base.clone() }];
    }
    if system == codes::V2_0074 || code.code.starts_with("LP") {
        return vec![Facts { categories: vec![code.clone()], ..base.clone() }];
    }
    vec![
        Facts { codes: vec![code.clone()], ..base.clone() },
        Facts { codes: [base.codes.clone(), vec![code.clone()]].concat(), ..base.clone() },
        Facts { results: one(&text), ..base.clone() },
        Facts { orders: one(&text), ..base.clone() },
        Facts { reasons: one(&text), ..base.clone() },
    ]
}

/// It leaves by itself, and whoever has the message opens it.
fn is_bare(decided: &crate::policy::Decided) -> bool {
    let Decision::Send { terms } = &decided.decision else { return false };
    let waits = !matches!(decided.schedule.as_ref().unwrap().timing, Timing::Now);
    !waits && !has_second_step(terms)
}

fn has_second_step(terms: &Terms) -> bool {
    terms.challenges.contains(&Challenge::Code) && terms.code_via == CodeVia::Other
}

/// To the patient alone, once, for a short time, with a second step.
fn is_guarded(rules: &RuleSet, facts: &Facts) -> bool {
    let decided = decided_by(rules, facts);
    let Decision::Send { terms } = &decided.decision else { return true };
    let is_once = terms.opens.0.get() == 1 && terms.expiry_seconds <= 48 * 3600;
    facts.recipient == RecipientRole::Patient && is_once && !is_bare(&decided)
}

/// Everything that a rule asks the patient's consent for.
fn consents() -> Gathered<String> {
    let mut given = Gathered::none();
    for word in ["proxy", "insurer", "second_opinion", "occ"] {
        given.add(word.to_owned(), FactPath("Consent[0].category".to_owned()));
    }
    given
}

#[test]
fn no_sensitive_code_leaves_by_itself_without_a_second_step_wherever_it_stands() {
    let mut tried = 0;
    for (name, _) in STARTERS {
        let (rules, base) = (load(name), routine_of(name));
        assert!(is_bare(&decided_by(rules, &base)), "{name}: the routine report goes out");
        let base = with_text(rules, &base, "");
        for (tag, set) in CodeSets::shipped().sets().filter(|(tag, _)| !KINDS.contains(&tag.as_str())) {
            for facts in set.iter().flat_map(|code| places(&base, code)) {
                for recipient in RecipientRole::ALL {
                    let facts = Facts { recipient, consents: consents(), ..facts.clone() };
                    tried += 1;
                    if rules.judge(&rules.ready(&facts), CASE_NOW).verdict == Verdict::Send {
                        let is_own = tag.as_str() == "x-ADOLESCENT" && recipient == RecipientRole::Patient;
                        assert!(is_own || is_guarded(rules, &facts), "{name}: {tag} goes out bare to {recipient:?}");
                    }
                }
            }
        }
    }
    assert!(tried > 10_000, "{tried}");
}

#[test]
fn what_could_not_be_read_is_never_sent_bare() {
    for (name, _) in STARTERS {
        let (rules, base) = (load(name), routine_of(name));
        let lack = || Gathered::lacking(Lack::TimedOut);
        for facts in [
            Facts { results: lack(), ..base.clone() },
            Facts { labels: lack(), ..base.clone() },
            Facts { orders: lack(), ..base.clone() },
            Facts { reasons: lack(), ..base.clone() },
        ] {
            assert!(matches!(decided_by(rules, &facts).decision, Decision::Review { .. }), "{name}");
        }
        let text = TextFacts { tried: BTreeSet::new(), matched: Gathered::none() };
        let decision = decide(rules, &Facts { text, ..base.clone() }, Moment::utc(CASE_NOW)).decision;
        assert!(matches!(decision, Decision::Review { .. }), "{name}: texts that these patterns did not read");
    }
}

#[test]
fn a_word_in_any_of_the_languages_is_enough() {
    let words = [
        ("HIV", "HIV 1/2 Ag/Ab|VIH 1 y 2|Przeciwciała anty-HIV|HIV-Antikörper|sérologie VIH|HI-Virus: Immunschwäche"),
        ("STD", "Syphilis screen|sífilis, RPR|kiła, odczyn|Chlamydia trachomatis|rzeżączka|Gonorrhoe|Blennorragie"),
        ("x-HEP", "HBsAg|Hepatitis C antibody|hépatite B|WZW B|wirusowe zapalenie wątroby typu C"),
        ("GDIS", "Genetic test|prueba genética|badanie genetyczne|Genetische Untersuchung|génétique|BRCA1|Kariotyp"),
        (
            "x-ONC",
            "Adenocarcinoma|cáncer de mama|nowotwór złośliwy|Krebsvorsorge|tumeur maligne|biopsy, skin|Histologie",
        ),
        ("MH", "Psychiatry note|nota de psiquiatría|zaburzenia depresyjne|Schizophrenie|trouble dépressif|PHQ-9"),
        ("SUD", "Opiates, urine|cocaína|kokaina|Amphetamine im Urin|cannabis urinaire|drug screen"),
        ("SEX", "Pregnancy test|prueba de embarazo|test ciążowy|Schwangerschaftstest|test de grossesse|semen analysis"),
        ("SDV", "sexual assault|violencia de género|przemoc domowa|häusliche Gewalt|violences conjugales"),
        ("PSYTHPN", "psychotherapy session|psicoterapia|psychoterapia|Psychotherapie|psychothérapie"),
    ];
    for (name, _) in STARTERS {
        let (rules, base) = (load(name), routine_of(name));
        for (tag, text) in words.iter().flat_map(|(tag, texts)| texts.split('|').map(move |text| (tag, text))) {
            let tags = tags_of(rules, &with_text(rules, &base, text), NOW);
            assert!(tags.contains(*tag), "{name}: '{text}' is no {tag}");
        }
        for plain in
            ["Blood count", "Morfologia krwi", "Glucosa", "Großes Blutbild", "Archive of results", "Thorax p.a."]
        {
            assert!(tags_of(rules, &with_text(rules, &base, plain), NOW).is_empty(), "{name}: {plain}");
        }
    }
}

#[test]
fn positive_and_negative_words_of_one_test_are_handled_alike() {
    for (name, _) in STARTERS {
        let (rules, base) = (load(name), Facts { results: one("http://loinc.org|56888-1"), ..routine_of(name) });
        let [yes, no] = ["HIV reactive", "HIV non-reactive"].map(|text| with_text(rules, &base, text));
        let moment = Moment::utc(CASE_NOW);
        assert_eq!(decide(rules, &yes, moment).decision, decide(rules, &no, moment).decision, "{name}");
    }
}

#[test]
fn a_proxy_of_a_minor_gets_nothing_sensitive_and_an_unknown_age_is_looked_at() {
    for (name, _) in STARTERS.into_iter().filter(|(name, _)| !["fertility", "occupational-medicine"].contains(name)) {
        let rules = load(name);
        let base = Facts { recipient: RecipientRole::Proxy, consents: consents(), ..routine_of(name) };
        for tag in ["HIV", "STD", "SEX", "PREGNANT", "MH", "SUD", "SDV", "x-HEP", "GDIS"] {
            let code =
                CodeSets::shipped().set(tag).unwrap().iter().find(|code| code.code.contains(['-', '.', 'T'])).unwrap();
            let at = |age| {
                let facts = Facts { age, ..places(&base, code).pop().unwrap() };
                decided_by(rules, &facts).decision
            };
            for years in [12, 15, 17] {
                let age = Age::Years { least: years, most: years };
                assert!(matches!(at(age), Decision::Block { .. }), "{name}: {tag} at {years}");
            }
            for age in [Age::Unknown, Age::Years { least: 11, most: 12 }, Age::Years { least: 18, most: 18 }] {
                assert!(matches!(at(age), Decision::Review { .. }), "{name}: {tag} at {age:?}");
            }
        }
    }
}

/// A clinic names the laws of its state, and the file still loads; where a law wants what a row does not give, the fault
/// says so.
#[test]
fn every_law_pack_can_be_added() {
    for (name, text) in STARTERS {
        for law in laws::NAMES {
            let mut with_law: DocumentMut = text.parse().unwrap();
            with_law["policy"]["timezone"] = value("America/Chicago");
            with_law["policy"]["laws"] = value(Array::from_iter([law]));
            // No law speaks of words, and compiling them takes its time.
            for row in with_law["classify"].as_array_of_tables_mut().unwrap().iter_mut() {
                row["any"].as_table_mut().unwrap().remove("text");
            }
            let Err(errors) = RuleSet::parse(&with_law.to_string()) else { continue };
            let only_ceiling = errors.0.iter().all(|fault| fault.code == Code::CrossesCeiling);
            assert!(law == "us-mt" && only_ceiling, "{name} with {law}: {errors}");
        }
    }
}
