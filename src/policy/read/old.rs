//! A rules file, read whole or not at all.
//!
//! Job: sections and columns of the language, their limits, and how profiles hang together.
//! Must stay true: an unknown section, key or value is a fault, never ignored; work is bounded by
//! [`RULES_BYTES_MAX`] and the counts beside it. Words of later layers of the language are named as such.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use chrono_tz::Tz;
use toml::de::DeTable;

use super::columns::{Action, Columns, HOLD_BASIS_DEFAULT};
use super::decision::{Challenge, Channel, HoldBasis, Opens, Release, Wording};
use super::errors::{RulesError, RulesErrors};
use super::facts::RecipientRole;
use super::gates::STATUS_RULE;
use super::matching::When;
use super::reader::{Place, Reader, Value, quote};
use super::rules::{
    EXPIRY_CEILING_SECONDS, EXPIRY_FLOOR_SECONDS, HOLD_CEILING_SECONDS, Limits, OPENS_CEILING, PROFILES_MAX, Profile,
    RULES_BYTES_MAX, RuleSet, hash_of,
};
use crate::base::{ClinicId, ResourceType};

const LATER_SECTIONS: &[&str] = &["classify", "restrict", "exception", "test", "quiet", "laws", "schedule"];
const LATER_POLICY_KEYS: &[&str] = &["effective", "laws", "other_default"];
const LATER_CONDITIONS: &[&str] =
    &["service", "encounter", "consent", "tag", "age", "preference", "label", "set", "text", "order", "performer"];
const LATER_COLUMNS: &[&str] =
    &["auto_release", "code_via", "attempts", "notify", "download", "retention", "view", "reason", "requires"];

struct Header {
    id: String,
    version: String,
    timezone: Option<Tz>,
}

/// A profile and where its parts stand.
struct Draft {
    at: Place,
    over_at: Place,
    profile: Profile,
}

pub(super) fn parse(text: &str) -> Result<RuleSet, RulesErrors> {
    if text.len() > RULES_BYTES_MAX {
        let what = format!("the file has {} bytes; {RULES_BYTES_MAX} are allowed", text.len());
        return Err(alone(RulesError { line: 1, column: 1, what, remedy: "take codes out that are not used".into() }));
    }
    let mut reader = Reader::new(text);
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let remedy = "texts stand in double quotes, lists in [ ], every row starts with [[profile]], \
                          and no key stands twice";
            let what = format!("this is not TOML: {}", error.message().replace('\n', ", "));
            reader.fault(&error.span().unwrap_or(0..0), what, remedy);
            return Err(reader.into_errors());
        }
    };
    let table = document.get_ref();
    let limits = table.get("limits").map_or_else(Limits::default, |value| read_limits(&mut reader, value));
    let header = read_header(&mut reader, table);
    let mut drafts = Vec::new();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "policy" | "limits" => {}
            "profile" => drafts = read_profiles(&mut reader, value, limits),
            other => unknown(&mut reader, &key.span(), other, "section", LATER_SECTIONS, "policy, limits, profile"),
        }
    }
    check_over(&mut reader, &drafts);
    match header {
        Some(header) if reader.is_clean() => compile(header, limits, drafts),
        Some(_) | None => Err(reader.into_errors()),
    }
}

fn compile(header: Header, limits: Limits, drafts: Vec<Draft>) -> Result<RuleSet, RulesErrors> {
    let Header { id, version, timezone } = header;
    let mut profiles: Vec<_> = drafts.into_iter().map(|draft| draft.profile).collect();
    profiles.sort_by(|one, other| one.id.cmp(&other.id));
    match hash_of(&id, &version, timezone, limits, &profiles) {
        Ok(hash) => Ok(RuleSet { id, version, timezone, limits, profiles, hash }),
        Err(error) => {
            let what = format!("the rules have no canonical form: {error}");
            Err(alone(RulesError { line: 1, column: 1, what, remedy: "report this as a fault of Chartseal".into() }))
        }
    }
}

fn alone(fault: RulesError) -> RulesErrors {
    RulesErrors(vec![fault])
}

/// A word that this version does not have: either of a later layer, or of none.
fn unknown(reader: &mut Reader<'_>, at: &Place, word: &str, what: &str, later: &[&str], known: &str) {
    if later.contains(&word) {
        let says = format!("this version of Chartseal does not know the {what} '{word}' yet, and nothing was loaded");
        reader.fault(at, says, format!("take '{word}' out, or use a version that knows it"));
    } else {
        reader.fault(at, format!("the {what} {} is unknown", quote(word)), format!("known here are: {known}"));
    }
}

fn read_header<'t>(reader: &mut Reader<'t>, document: &DeTable<'t>) -> Option<Header> {
    let Some(value) = document.get("policy") else {
        reader.fault(&(0..0), "the section [policy] is missing", "begin with [policy], id = \"…\" and version = \"…\"");
        return None;
    };
    let (mut id, mut version, mut timezone) = (None, None, None);
    let table = reader.table(value, "policy")?;
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "id" => id = reader.slug(value, "id"),
            "version" => version = reader.label(value, "version"),
            "timezone" => timezone = read_timezone(reader, value),
            "patient_default" => read_patient_default(reader, value),
            other => {
                let known = "id, version, timezone, patient_default";
                unknown(reader, &key.span(), other, "key", LATER_POLICY_KEYS, known);
            }
        }
    }
    for (name, example) in [("id", "clinic-main"), ("version", "2026.11.1")] {
        if !table.contains_key(name) {
            let what = format!("[policy] has no '{name}'");
            reader.fault(&value.span(), what, format!("add {name} = \"{example}\" under [policy]"));
        }
    }
    Some(Header { id: id?, version: version?, timezone })
}

fn read_timezone<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<Tz> {
    let name = reader.text(value, "timezone")?;
    let zone = name.parse::<Tz>().ok();
    if zone.is_none() {
        let remedy = "use a name of the IANA list such as \"America/Chicago\", or leave it out to use the clinic's";
        reader.fault(&value.span(), format!("{} is not a time zone", quote(name)), remedy);
    }
    zone
}

/// There is one value, written so that the reader of the file sees what happens to the rest.
fn read_patient_default<'t>(reader: &mut Reader<'t>, value: &Value<'t>) {
    reader.word(value, "patient_default", &[Action::ManualReview], Action::as_str);
}

fn read_limits<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Limits {
    let mut limits = Limits::default();
    let Some(table) = reader.table(value, "limits") else { return limits };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "expiry" => read_expiry_limits(reader, value, &mut limits),
            "opens_max" => limits.opens_max = reader.count(value, "opens_max", OPENS_CEILING).unwrap_or(OPENS_CEILING),
            "hold_max" => limits.hold_max_seconds = read_up_to(reader, value, "hold_max", HOLD_CEILING_SECONDS),
            other => unknown(reader, &key.span(), other, "key", &[], "expiry, opens_max, hold_max"),
        }
    }
    limits
}

fn read_expiry_limits<'t>(reader: &mut Reader<'t>, value: &Value<'t>, limits: &mut Limits) {
    let Some(table) = reader.table(value, "expiry") else { return };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            // Less than the floor is allowed here and changes nothing: the floor holds beside it.
            "min" => {
                let min = read_up_to(reader, value, "min", EXPIRY_CEILING_SECONDS);
                limits.expiry_min_seconds = min.max(EXPIRY_FLOOR_SECONDS);
            }
            "max" => limits.expiry_max_seconds = read_up_to(reader, value, "max", EXPIRY_CEILING_SECONDS),
            other => unknown(reader, &key.span(), other, "key", &[], "min, max"),
        }
    }
    if limits.expiry_min_seconds > limits.expiry_max_seconds {
        let what = "the shortest allowed expiry is longer than the longest (no link may live less than 12h)";
        reader.fault(&value.span(), what, "write expiry = { min = \"12h\", max = \"14d\" }");
        *limits =
            Limits { expiry_min_seconds: EXPIRY_FLOOR_SECONDS, expiry_max_seconds: EXPIRY_CEILING_SECONDS, ..*limits };
    }
}

/// A span of at most `most`, or `most` beside a fault.
fn read_up_to<'t>(reader: &mut Reader<'t>, value: &Value<'t>, name: &str, most: u64) -> u64 {
    let Some(seconds) = reader.span_seconds(value, name) else { return most };
    if seconds > most {
        let what = format!("'{name}' is longer than {}d, the most that can be set", most / 86_400);
        reader.fault(&value.span(), what, format!("write at most \"{}d\"", most / 86_400));
    }
    seconds.min(most)
}

fn read_profiles<'t>(reader: &mut Reader<'t>, value: &Value<'t>, limits: Limits) -> Vec<Draft> {
    let rows = reader.rows(value, "profile");
    if rows.len() > PROFILES_MAX {
        let what = format!("there are {} profiles; {PROFILES_MAX} are allowed", rows.len());
        reader.fault(&value.span(), what, "join profiles that say the same by listing their codes in one");
        return Vec::new();
    }
    rows.into_iter().filter_map(|(at, row)| read_profile(reader, at, row, limits)).collect()
}

fn read_profile<'t>(reader: &mut Reader<'t>, at: Place, row: &DeTable<'t>, limits: Limits) -> Option<Draft> {
    let (mut id, mut over, mut over_at, mut when, mut then) = (None, BTreeSet::new(), at.clone(), None, None);
    for (key, value) in row {
        match key.get_ref().as_ref() {
            "id" => id = reader.slug(value, "id"),
            "over" => {
                over_at = value.span();
                over = reader.list(value, "over").into_iter().filter_map(|item| reader.slug(item, "over")).collect();
            }
            "when" => when = read_when(reader, value),
            "then" => then = read_then(reader, value, limits),
            other => unknown(reader, &key.span(), other, "key", &["effective", "reason"], "id, over, when, then"),
        }
    }
    for (name, example) in [
        ("id", "id = \"routine-lab\""),
        ("when", "when = { code = [\"loinc|58410-2\"] }"),
        ("then", "then = { action = \"send\" }"),
    ] {
        if !row.contains_key(name) {
            reader.fault(&at, format!("this profile has no '{name}'"), format!("add {example}"));
        }
    }
    let profile = Profile { id: id?, over, when: when?, then: then? };
    check_reach(reader, &at, &profile);
    Some(Draft { at, over_at, profile })
}

/// A profile must say which reports it means, and there must be some.
fn check_reach(reader: &mut Reader<'_>, at: &Place, profile: &Profile) {
    let Profile { id, when, then, .. } = profile;
    let names_a_kind = [&when.codes, &when.types, &when.categories].into_iter().any(|codes| !codes.is_empty());
    if then.action == Action::Send && !names_a_kind && when.clinics.is_empty() {
        let what = format!("profile '{id}' sends every report, whatever it holds");
        reader.fault(at, what, "name the reports in 'when' by code, type, category or clinic");
    }
    if id == STATUS_RULE {
        let what = format!("'{STATUS_RULE}' is Chartseal's own name for what a report's status forbids");
        reader.fault(at, what, "give the profile another id");
    }
    if !when.types.is_empty() && !when.kinds.is_empty() && !when.kinds.contains(&ResourceType::DocumentReference) {
        let what = format!("profile '{id}' can never match: only a DocumentReference has a 'type'");
        reader.fault(at, what, "use 'code' for a DiagnosticReport, or add \"DocumentReference\" to 'resource'");
    }
}

fn read_when<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<When> {
    let mut when = When::default();
    for (key, value) in reader.table(value, "when")? {
        match key.get_ref().as_ref() {
            "recipient" => {
                when.recipients = reader.words(value, "recipient", &RecipientRole::ALL, RecipientRole::as_str);
            }
            "clinic" => when.clinics = read_clinics(reader, value),
            "resource" => when.kinds = reader.words(value, "resource", &ResourceType::ALL, ResourceType::as_str),
            "category" => when.categories = reader.categories(value, "category"),
            "type" => when.types = reader.codings(value, "type"),
            "code" => when.codes = reader.codings(value, "code"),
            other => {
                let known = "recipient, clinic, resource, category, type, code";
                unknown(reader, &key.span(), other, "condition", LATER_CONDITIONS, known);
            }
        }
    }
    Some(when)
}

fn read_clinics<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> BTreeSet<ClinicId> {
    let mut clinics = BTreeSet::new();
    for item in reader.list(value, "clinic") {
        let Some(text) = reader.text(item, "clinic") else { continue };
        match ClinicId::parse(text) {
            Ok(clinic) => {
                clinics.insert(clinic);
            }
            Err(error) => {
                let remedy = format!("write the clinic's id from the configuration: {error}");
                reader.fault(&item.span(), format!("{} cannot be a clinic's id", quote(text)), remedy);
            }
        }
    }
    clinics
}

fn read_then<'t>(reader: &mut Reader<'t>, value: &Value<'t>, limits: Limits) -> Option<Columns> {
    let mut columns = Columns::default();
    let terms = &mut columns.terms;
    terms.expiry_seconds = terms.expiry_seconds.clamp(limits.expiry_min_seconds, limits.expiry_max_seconds);
    let opens_max = NonZeroU16::new(limits.opens_max).unwrap_or(NonZeroU16::MIN);
    terms.opens = terms.opens.min(Opens(opens_max));

    let (mut action, mut release, mut hold, mut basis) = (None, ReleaseWord::Auto, None, None);
    let table = reader.table(value, "then")?;
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "action" => action = reader.word(value, "action", &Action::ALL, Action::as_str),
            "expiry" => terms.expiry_seconds = read_expiry(reader, value, limits).unwrap_or(terms.expiry_seconds),
            "opens" => {
                let opens = reader.count(value, "opens", limits.opens_max).and_then(NonZeroU16::new);
                terms.opens = opens.map_or(terms.opens, Opens);
            }
            "channel" => terms.channels = reader.words(value, "channel", &Channel::ALL, Channel::as_str),
            "verify" => terms.challenges = reader.words(value, "verify", &Challenge::ALL, Challenge::as_str),
            "release" => {
                let word = reader.word(value, "release", &ReleaseWord::ALL, ReleaseWord::as_str);
                release = word.unwrap_or(release);
            }
            "hold" => hold = read_hold(reader, value, limits),
            "basis" => basis = reader.word(value, "basis", &HoldBasis::ALL, HoldBasis::as_str).map(|b| (key.span(), b)),
            "wording" => {
                let wording = reader.word(value, "wording", &Wording::ALL, Wording::as_str);
                terms.wording = wording.unwrap_or(terms.wording);
            }
            other => {
                let known = "action, expiry, opens, channel, verify, release, hold, basis, wording";
                unknown(reader, &key.span(), other, "column", LATER_COLUMNS, known);
            }
        }
    }
    if !table.contains_key("action") {
        reader.fault(
            &value.span(),
            "'then' does not say what to do",
            "add action = \"send\", \"manual_review\" or \"block\"",
        );
    }
    if let (Some((at, _)), false) = (&basis, table.contains_key("hold")) {
        reader.fault(
            at,
            "'basis' gives the ground of a hold, and there is no 'hold'",
            "add hold = \"72h\" or take 'basis' out",
        );
    }
    terms.release = match release {
        ReleaseWord::Manual => Release::Manual,
        ReleaseWord::Auto => Release::Auto {
            hold_seconds: hold.unwrap_or(0),
            basis: basis.map_or(HOLD_BASIS_DEFAULT, |(_, basis)| basis),
        },
    };
    columns.action = action?;
    Some(columns)
}

/// `release` as written; a hold under `manual` is moot until the language has its back-stop.
#[derive(Clone, Copy)]
enum ReleaseWord {
    Auto,
    Manual,
}

impl ReleaseWord {
    const ALL: [Self; 2] = [Self::Auto, Self::Manual];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
        }
    }
}

fn read_expiry<'t>(reader: &mut Reader<'t>, value: &Value<'t>, limits: Limits) -> Option<u64> {
    let seconds = reader.span_seconds(value, "expiry")?;
    let hours = |seconds: u64| seconds / 3600;
    if seconds < EXPIRY_FLOOR_SECONDS {
        let what = "under this expiry the patient can have fewer than twelve hours to open the link";
        reader.fault(&value.span(), what, "write \"12h\" or more");
        return None;
    }
    if !(limits.expiry_min_seconds..=limits.expiry_max_seconds).contains(&seconds) {
        let (min, max) = (hours(limits.expiry_min_seconds), hours(limits.expiry_max_seconds));
        let what = format!("this expiry is outside the limits of {min}h to {max}h");
        reader.fault(&value.span(), what, "choose a value within them, or change expiry under [limits]");
        return None;
    }
    Some(seconds)
}

fn read_hold<'t>(reader: &mut Reader<'t>, value: &Value<'t>, limits: Limits) -> Option<u64> {
    let seconds = reader.span_seconds(value, "hold")?;
    if seconds > limits.hold_max_seconds {
        let what = format!("this hold is longer than the limit of {}h", limits.hold_max_seconds / 3600);
        reader.fault(&value.span(), what, "choose a shorter one, or change hold_max under [limits]");
        return None;
    }
    Some(seconds)
}

/// Ids are unique; `over` names profiles that exist and never comes back to where it began.
fn check_over(reader: &mut Reader<'_>, drafts: &[Draft]) {
    let mut by_id: BTreeMap<&str, &Draft> = BTreeMap::new();
    for draft in drafts {
        if by_id.insert(&draft.profile.id, draft).is_some() {
            let what = format!("two profiles have the id '{}'", draft.profile.id);
            reader.fault(&draft.at, what, "give one of them another id");
        }
    }
    let mut is_whole = true;
    for draft in drafts {
        for target in draft.profile.over.iter().filter(|target| !by_id.contains_key(target.as_str())) {
            is_whole = false;
            let what = format!("'over' names the profile '{target}', which this file does not have");
            reader.fault(&draft.over_at, what, "correct the id, or take it out of 'over'");
        }
    }
    if is_whole {
        check_cycles(reader, &by_id);
    }
}

/// Takes away profiles that nothing left replaces, until none is left or only circles are.
fn check_cycles<'d>(reader: &mut Reader<'_>, by_id: &BTreeMap<&'d str, &'d Draft>) {
    let mut replacers: BTreeMap<&'d str, usize> = by_id.keys().map(|id| (*id, 0)).collect();
    for target in by_id.values().flat_map(|draft| &draft.profile.over) {
        replacers.entry(target).and_modify(|count| *count += 1);
    }
    let mut free: Vec<&'d str> = replacers.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        replacers.remove(id);
        for target in by_id.get(id).into_iter().flat_map(|draft| &draft.profile.over) {
            if let Some(count) = replacers.get_mut(target.as_str()) {
                *count -= 1;
                if *count == 0 {
                    free.push(target);
                }
            }
        }
    }
    let Some(circle) = circle_among(&replacers.into_keys().collect(), by_id) else { return };
    if let Some(draft) = circle.iter().filter_map(|id| by_id.get(id)).min_by_key(|draft| draft.over_at.start) {
        let what = format!("'over' runs in a circle: {}", quote(&circle.join(", ")));
        reader.fault(&draft.over_at, what, "take one of these profiles out of the 'over' of another");
    }
}

/// One circle among profiles each of which another of them replaces: going back from any of them for as many
/// steps as there are ends on a circle.
fn circle_among<'d>(left: &BTreeSet<&'d str>, by_id: &BTreeMap<&'d str, &'d Draft>) -> Option<Vec<&'d str>> {
    let mut replacer: BTreeMap<&str, &'d str> = BTreeMap::new();
    for id in left {
        for target in by_id.get(id).into_iter().flat_map(|draft| &draft.profile.over) {
            replacer.insert(target, id);
        }
    }
    let mut id = *left.first()?;
    for _ in left {
        id = replacer.get(id)?;
    }
    let mut circle = vec![id];
    let mut next = *replacer.get(id)?;
    while next != id {
        circle.push(next);
        next = replacer.get(next)?;
    }
    circle.sort_unstable();
    Some(circle)
}
