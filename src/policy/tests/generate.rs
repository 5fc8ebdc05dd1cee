//! Whole policies and whole facts, drawn by lot.
//!
//! Job: small vocabularies, so that rows and facts meet often, in the whole language. Cheap: a case of a property test draws
//! its facts anew and takes its policy from a stock that was parsed once.
//! Must stay true: the same seed draws the same; every policy is sound.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::*;
use crate::base::hours;
use crate::policy::contact::{ContactStanding, ContactState, as_fact};
use crate::policy::facts::{Age, Basis, FactPath, Flag, Gathered, Lack, PatternId};
use crate::policy::text::Pattern;

/// Policies in the stock.
const POLICIES: u64 = 500;

const RULE_CODES: [&str; 6] = [
    "loinc|58410-2",
    "loinc|56888-1",
    "loinc|4548-4",
    "icd-10-cm|C50",
    "http://local.example/codes|X1",
    "http://local.example/codes|X12",
];
pub const FACT_CODES: [&str; 9] = [
    "http://loinc.org|58410-2",
    "urn:oid:2.16.840.1.113883.6.1|56888-1",
    "https://loinc.org/|4548-4",
    "http://hl7.org/fhir/sid/icd-10-cm|C50.912",
    "http://local.example/codes|X1",
    "http://local.example/codes|X12",
    "urn:oid:2.16.840.1.113883.6.238|2106-3",
    "56888-1",
    "http://loinc.org|2106-3",
];
const CATEGORIES: [&str; 4] = ["LAB", "CH", "RAD", "GE"];
pub const FACT_CATEGORIES: [&str; 5] = [
    "http://terminology.hl7.org/CodeSystem/v2-0074|LAB",
    "http://hl7.org/fhir/v2/0074|CH",
    "http://terminology.hl7.org/CodeSystem/v2-0074|RAD",
    "http://terminology.hl7.org/CodeSystem/v2-0074|GE",
    "LAB",
];
pub const FACT_LABELS: [&str; 6] = [
    "http://terminology.hl7.org/CodeSystem/v3-ActCode|HIV",
    "http://hl7.org/fhir/v3/ActCode|MH",
    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R",
    "http://hl7.org/fhir/v3/Confidentiality|N",
    "V",
    "HIV",
];
pub const FACT_ENCOUNTERS: [&str; 2] =
    ["http://terminology.hl7.org/CodeSystem/v3-ActCode|VR", "http://terminology.hl7.org/CodeSystem/v3-ActCode|AMB"];
pub const PERFORMERS: [&str; 2] = ["Organization/lab-7", "PractitionerRole/p1"];
pub const SPECIALTIES: [&str; 2] = ["http://snomed.info/sct|394582007", "http://snomed.info/sct|394585009"];
const PATTERNS: [(&str, Option<&str>); 3] = [("\\bhiv\\b", None), ("syphilis", None), ("kiła", Some("pl"))];
const LACKS: [Lack; 3] = [Lack::TimedOut, Lack::NotAsked, Lack::TooMany];
/// What a condition may ask for, of which every kind is drawn.
const CONDITIONS: [&str; 23] = [
    "code",
    "category",
    "holds",
    "set",
    "prefix",
    "label",
    "confidentiality",
    "order",
    "reason",
    "performer",
    "service",
    "encounter",
    "text",
    "age",
    "consent",
    "basis",
    "preference",
    "contact",
    "contact_confirmed_within",
    "contact_not_confirmed_within",
    "critical",
    "resource",
    "type",
];
/// Of which one is needed in a profile that sends.
const KINDS: [&str; 7] = ["code", "category", "holds", "set", "service", "encounter", "order"];

/// Splitmix64 (Steele, Lea, Flood 2014).
pub struct Dice(u64);

impl Dice {
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Draws of its own, which leave the others as they are.
    pub const fn aside(&self) -> Self {
        Self(self.0 ^ 0xA51D_E000)
    }

    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.draw() % u64::try_from(count).unwrap()).unwrap()
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// At most `most`, perhaps some twice.
    pub fn some<T: Copy>(&mut self, from: &[T], most: usize) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| self.pick(from)).collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// A policy, itself with its rows in another order, and with one restriction more.
pub struct Drawn {
    pub text: String,
    pub rules: RuleSet,
    pub shuffled: RuleSet,
    pub tighter: RuleSet,
}

static STOCK: LazyLock<Vec<Drawn>> = LazyLock::new(|| (0..POLICIES).map(Drawn::of).collect());

/// A policy and facts for it.
pub fn policy_and_facts(dice: &mut Dice) -> (&'static Drawn, Facts) {
    let drawn = &STOCK[dice.below(STOCK.len())];
    (drawn, facts(dice))
}

pub fn stock() -> &'static [Drawn] {
    &STOCK
}

impl Drawn {
    fn of(seed: u64) -> Self {
        let mut dice = Dice::of(seed);
        // A row may ask for what a law forbids: such a file is refused, and another is drawn.
        loop {
            let header = header(&mut dice);
            let mut rows = rows(&mut dice);
            let text = format!("{header}{}", rows.concat());
            let Ok(rules) = RuleSet::parse(&text) else {
                assert!(header.contains("laws"), "{}\n{text}", RuleSet::parse(&text).unwrap_err());
                continue;
            };
            let extra = restrict(&mut dice, "zz");
            let Ok(tighter) = RuleSet::parse(&format!("{text}{extra}")) else { continue };
            dice.shuffle(&mut rows);
            let shuffled = RuleSet::parse(&format!("{header}{}", rows.concat())).expect("order makes no fault");
            return Self { text, rules, shuffled, tighter };
        }
    }
}

fn header(dice: &mut Dice) -> String {
    let laws = dice.pick(&[
        "",
        "",
        "",
        "laws = [\"us-mt\"]\n",
        "laws = [\"us-ky\", \"us-tx-sb922\"]\n",
        "laws = [\"us-ca\"]\n",
    ]);
    let zone = if laws.is_empty() { "" } else { "timezone = \"America/Denver\"\n" };
    let default = dice.pick(&["", "other_default = \"manual_review\"\n"]);
    let quiet = dice.pick(&["", "[quiet]\nhours = \"21:00-08:00\"\ndays_off = [\"sun\"]\n"]);
    format!("{HEADER}{zone}{laws}{default}{quiet}")
}

fn rows(dice: &mut Dice) -> Vec<String> {
    let mut rows = vec![format!(
        "[[service]]\nname = \"derm\"\nspecialty = [\"snomed|394582007\"]\nperformer = [\"{}\"]\n",
        PERFORMERS[0]
    )];
    // All three tags exist, so that restrictions may name them.
    for (at, tag) in ["T0", "T1", "T2", "T0"].into_iter().enumerate() {
        rows.push(format!("[[classify]]\nid = \"c{at}\"\ntag = \"{tag}\"\n{}", evidence(dice)));
    }
    for at in 0..=dice.below(4) {
        rows.push(profile_row(dice, at));
    }
    let restricts = dice.below(5);
    rows.extend((0..restricts).map(|at| restrict(dice, &format!("r{at}"))));
    if restricts > 0 && dice.chance(30) {
        let over = dice.below(restricts);
        let when = conditions(dice, &CONDITIONS, 1).join(", ");
        let until = dice.pick(&["2026-11-01", "2027-06-01"]);
        rows.push(format!(
            "[[exception]]\nid = \"e0\"\nover = [\"r{over}\"]\nwhen = {{ {when} }}\nuntil = {until}\n\
             by = [\"ann\", \"ben\"]\nreason = \"a trial\"\n"
        ));
    }
    rows
}

fn evidence(dice: &mut Dice) -> String {
    let many = conditions(dice, &CONDITIONS, 2).join(", ");
    if dice.chance(50) { format!("any = {{ {many} }}\n") } else { format!("when = {{ {many} }}\n") }
}

/// `over` names rows before it only, so that there is no circle.
fn profile_row(dice: &mut Dice, at: usize) -> String {
    let over = if at > 0 && dice.chance(35) { format!("over = [\"p{}\"]\n", dice.below(at)) } else { String::new() };
    let mut when = conditions(dice, &KINDS, 1);
    if dice.chance(50) {
        let key = key_of(&when[0]).to_owned();
        when.extend(conditions(dice, &CONDITIONS, 1).into_iter().filter(|more| key_of(more) != key));
    }
    if dice.chance(25) {
        when.push(format!("any = {{ {} }}", conditions(dice, &CONDITIONS, 2).join(", ")));
    }
    if dice.chance(40) {
        when.push(format!(
            "recipient = {}",
            dice.pick(&["\"patient\"", "[\"patient\", \"proxy\"]", "\"third_party\""])
        ));
    }
    let action = dice.pick(&["send", "send", "send", "send", "manual_review", "block"]);
    let then = columns(dice).join("");
    format!(
        "[[profile]]\nid = \"p{at}\"\n{over}when = {{ {} }}\nthen = {{ action = \"{action}\"{then} }}\n",
        when.join(", ")
    )
}

fn restrict(dice: &mut Dice, id: &str) -> String {
    let mut when = if dice.chance(50) { conditions(dice, &CONDITIONS, 1) } else { Vec::new() };
    if when.is_empty() || dice.chance(40) {
        when.push(format!("tag = {}", dice.pick(&["\"T0\"", "[\"T1\", \"T2\"]", "\"T2\""])));
    }
    let mut then = columns(dice);
    if dice.chance(20) {
        then.push(dice.pick(&[", action = \"manual_review\"", ", action = \"block\""]).to_owned());
    }
    if then.is_empty() {
        then.push(", opens = 1".to_owned());
    }
    let then = then.concat();
    format!(
        "[[restrict]]\nid = \"{id}\"\nwhen = {{ {} }}\nthen = {{ {} }}\n",
        when.join(", "),
        then.trim_start_matches(", ")
    )
}

fn key_of(condition: &str) -> &str {
    condition.split(' ').next().unwrap()
}

/// One to `most` conditions with different names, and never a type of what has none.
fn conditions(dice: &mut Dice, among: &[&'static str], most: usize) -> Vec<String> {
    let mut names = BTreeSet::new();
    for _ in 0..=dice.below(most) {
        names.insert(dice.pick(among));
    }
    if names.contains("type") {
        names.remove("resource");
    }
    names.into_iter().map(|name| condition(dice, name)).collect()
}

fn condition(dice: &mut Dice, name: &str) -> String {
    let codes = [RULE_CODES[0], RULE_CODES[1], RULE_CODES[2], RULE_CODES[3], RULE_CODES[4], RULE_CODES[5]];
    let value = match name {
        "category" => quoted(dice, &CATEGORIES),
        "set" => quoted(dice, &["HIV", "GDIS", "x-ONC", "PREGNANT"]),
        "prefix" => quoted(dice, &["icd-10-cm|C5", "http://local.example/codes|X1"]),
        "label" => quoted(dice, &["HIV", "MH"]),
        "confidentiality" => dice.pick(&["\"R\"", "\"V\"", "\"N\""]).to_owned(),
        "performer" => quoted(dice, &PERFORMERS),
        "service" => "\"derm\"".to_owned(),
        "encounter" => quoted(dice, &["VR", "AMB"]),
        "text" => dice
            .pick(&[
                "\"\\\\bhiv\\\\b\"",
                "[\"\\\\bhiv\\\\b\", \"syphilis\"]",
                "[{ pattern = \"kiła\", language = \"pl\" }]",
            ])
            .to_owned(),
        "age" => dice.pick(&["\"12..18\"", "\"18..\"", "\"..12\""]).to_owned(),
        "consent" => quoted(dice, &["occ", "study"]),
        "basis" => quoted(dice, &Basis::ALL.map(Basis::as_str)),
        "preference" => quoted(dice, &["phone_first", "paper"]),
        "contact" => quoted(dice, &["unknown", "confirmed", "confirmed_by_staff", "bounced"]),
        "contact_confirmed_within" | "contact_not_confirmed_within" => dice.pick(&["\"30d\"", "\"400d\""]).to_owned(),
        "critical" => "true".to_owned(),
        "resource" => quoted(dice, &["DiagnosticReport", "DocumentReference"]),
        _ => quoted(dice, &codes),
    };
    format!("{name} = {value}")
}

fn quoted(dice: &mut Dice, words: &[&str]) -> String {
    let mut some = dice.some(words, 2);
    some.push(dice.pick(words));
    let words: Vec<_> = some.into_iter().map(|word| format!("\"{word}\"")).collect();
    format!("[{}]", words.join(", "))
}

fn columns(dice: &mut Dice) -> Vec<String> {
    const COLUMNS: [&[&str]; 15] = [
        &[", expiry = \"24h\"", ", expiry = \"72h\"", ", expiry = \"7d\""],
        &[", opens = 1", ", opens = 3", ", opens = 20"],
        &[", channel = \"email\"", ", channel = \"sms\"", ", channel = [\"sms\", \"email\"]"],
        &[", verify = \"code\"", ", verify = [\"question\", \"code\"]"],
        &[", release = \"manual\"", ", release = \"manual\", auto_release = \"5d\"", ", requires = \"discussed\""],
        &[", hold = \"72h\"", ", hold = \"72h\", basis = \"law\"", ", hold = \"5d\"", ", hold = \"0h\""],
        &[", wording = \"full\"", ", wording = \"generic\"", ", wording = \"bare\""],
        &[", backstop = \"release\"", ", backstop = \"escalate\""],
        &[", group_by = \"order\"", ", group_by = \"day\", wait = \"2h\"", ", group_by = \"day\""],
        &[", reissue = \"self\"", ", reissue = \"staff\""],
        &[", custody = \"until_opened\"", ", download = \"view_only\"", ", health_link = \"plain\""],
        &[", notify = [\"staff\"]", ", notify = [\"staff\", \"ordering_provider\"]"],
        &[", view = \"15m\"", ", attempts = 3"],
        &[", retention = \"30d\""],
        &[
            ", code_via = \"other\"",
            ", code_via = \"other\", code_else = \"staff\"",
            ", code_via = \"other\", code_else = \"pickup\"",
            ", code_else = \"slip\"",
        ],
    ];
    let mut said = Vec::new();
    for values in COLUMNS {
        if dice.chance(18) {
            said.push(dice.pick(values).to_owned());
        }
    }
    said
}

/// Facts, of which some are lacking.
pub fn facts(dice: &mut Dice) -> Facts {
    let kind = if dice.chance(30) { ResourceType::DocumentReference } else { ResourceType::DiagnosticReport };
    let recipient = if dice.chance(70) { RecipientRole::Patient } else { dice.pick(&RecipientRole::ALL) };
    let mut facts = Facts {
        recipient,
        kind,
        codes: dice.some(&FACT_CODES, 3).into_iter().map(coding).collect(),
        categories: dice.some(&FACT_CATEGORIES, 2).into_iter().map(coding).collect(),
        issued: Some(NOW.minus(hours(u64::try_from(dice.below(200)).unwrap()))).filter(|_| dice.chance(90)),
        results: codes(dice, &FACT_CODES, "result"),
        labels: codes(dice, &FACT_LABELS, "meta.security"),
        orders: codes(dice, &FACT_CODES, "basedOn"),
        reasons: codes(dice, &FACT_CODES, "basedOn.reasonCode"),
        performers: gathered(dice, &PERFORMERS, "performer", str::to_owned),
        specialties: codes(dice, &SPECIALTIES, "specialty"),
        services: dice.some(&["derm"], 1).into_iter().filter(|_| dice.chance(20)).map(str::to_owned).collect(),
        encounters: codes(dice, &FACT_ENCOUNTERS, "encounter"),
        consents: gathered(dice, &["occ", "study"], "consent", str::to_owned),
        preferences: gathered(dice, &["phone_first", "paper"], "preference", str::to_owned),
        basis: basis(&mut dice.aside()),
        contact: contact(&mut dice.aside()),
        critical: dice.pick(&[Flag::No, Flag::No, Flag::No, Flag::Yes, Flag::Unknown]),
        age: age(dice),
        ..report(&[], &[])
    };
    facts.text.matched = gathered(dice, &[0, 1, 2], "text", pattern);
    let untried = if dice.chance(15) { dice.below(3) } else { 3 };
    facts.text.tried = (0..3).filter(|at| *at != untried).map(pattern).collect();
    facts
}

pub fn pattern(at: usize) -> PatternId {
    static IDS: LazyLock<Vec<PatternId>> = LazyLock::new(|| {
        let pattern = |(expression, language): (&str, Option<&str>)| Pattern {
            expression: expression.to_owned(),
            language: language.map(str::to_owned),
        };
        PATTERNS.into_iter().map(|one| pattern(one).id()).collect()
    });
    IDS[at]
}

/// Drawn apart from the address. Mostly known to be one or none.
fn basis(dice: &mut Dice) -> Gathered<Basis> {
    dice.draw();
    let mut found = Gathered::none();
    if dice.chance(40) {
        found.add(dice.pick(&Basis::ALL), FactPath("RelatedPerson[0]".to_owned()));
    }
    if dice.chance(10) {
        found.add(dice.pick(&Basis::ALL), FactPath("RelatedPerson[1]".to_owned()));
    }
    if dice.chance(15) {
        found.lacking.insert(dice.pick(&LACKS));
    }
    found
}

/// Known, with or without something recorded, or not.
fn contact(dice: &mut Dice) -> Gathered<ContactStanding> {
    if dice.chance(15) {
        return Gathered::lacking(dice.pick(&LACKS));
    }
    as_fact(dice.chance(60).then(|| standing(dice)))
}

pub fn standing(dice: &mut Dice) -> ContactStanding {
    let since = NOW.minus(hours(24 * dice.pick(&[0, 30, 31, 400, 500])));
    ContactStanding { state: dice.pick(&ContactState::ALL), since }
}

fn age(dice: &mut Dice) -> Age {
    let years = dice.pick(&[5, 11, 12, 15, 17, 18, 40]);
    match dice.below(10) {
        0 => Age::Unknown,
        1 => Age::Years { least: years, most: years + 1 },
        _ => Age::Years { least: years, most: years },
    }
}

fn codes(dice: &mut Dice, from: &[&'static str], at: &str) -> Gathered<Coding> {
    gathered(dice, from, at, coding)
}

fn gathered<V: Copy, T>(dice: &mut Dice, from: &[V], at: &str, make: impl Fn(V) -> T) -> Gathered<T> {
    let mut found = Gathered::none();
    if dice.chance(35) {
        for (no, value) in dice.some(from, 3).into_iter().enumerate() {
            found.add(make(value), FactPath(format!("{at}[{no}]")));
        }
    }
    if dice.chance(8) {
        found.lacking.insert(dice.pick(&LACKS));
    }
    found
}
