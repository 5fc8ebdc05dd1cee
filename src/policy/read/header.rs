//! `[policy]` and `[limits]`.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use toml::de::DeTable;

use super::unknown;
use crate::base::UtcMillis;
use crate::policy::errors::Code;
use crate::policy::laws;
use crate::policy::reader::{Reader, Value, quote};
use crate::policy::rules::{
    EXPIRY_CEILING_SECONDS, EXPIRY_FLOOR_SECONDS, HOLD_CEILING_SECONDS, Header, Limits, OPENS_CEILING,
};
use crate::policy::vocabulary::Action;

/// The law packs of a file.
const LAWS_MAX: usize = 20;

pub(super) fn read_header<'t>(reader: &mut Reader<'t>, document: &DeTable<'t>) -> Option<Header> {
    let Some(value) = document.get("policy") else {
        let remedy = "begin with [policy], id = \"…\" and version = \"…\"";
        reader.fault_of(Code::MissingKey, &(0..0), "the section [policy] is missing", remedy);
        return None;
    };
    let (mut id, mut version, mut timezone, mut effective) = (None, None, None, None);
    let (mut other_default, mut laws) = (Action::Block, BTreeSet::new());
    let table = reader.table(value, "policy")?;
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "id" => id = reader.slug(value, "id"),
            "version" => version = reader.label(value, "version"),
            "timezone" => timezone = read_timezone(reader, value),
            "effective" => effective = read_effective(reader, value),
            // There is one value, written so that the reader of the file sees what happens to the rest.
            "patient_default" => {
                reader.word(value, "patient_default", &[Action::ManualReview], Action::as_str);
            }
            "other_default" => {
                let words = [Action::Block, Action::ManualReview];
                other_default = reader.word(value, "other_default", &words, Action::as_str).unwrap_or(other_default);
            }
            "laws" => laws = read_laws(reader, value),
            other => {
                let known = "id, version, timezone, effective, laws, patient_default, other_default";
                unknown(reader, &key.span(), other, "key", known);
            }
        }
    }
    for (name, example) in [("id", "clinic-main"), ("version", "2026.11.1")] {
        if !table.contains_key(name) {
            let what = format!("[policy] has no '{name}'");
            let remedy = format!("add {name} = \"{example}\" under [policy]");
            reader.fault_of(Code::MissingKey, &value.span(), what, remedy);
        }
    }
    Some(Header { id: id?, version: version?, timezone, effective, other_default, laws })
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

/// An instant with its offset.
fn read_effective<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Option<UtcMillis> {
    let written = match value.get_ref() {
        toml::de::DeValue::Datetime(at) => at.to_string(),
        toml::de::DeValue::String(text) => text.to_string(),
        toml::de::DeValue::Integer(_)
        | toml::de::DeValue::Float(_)
        | toml::de::DeValue::Boolean(_)
        | toml::de::DeValue::Array(_)
        | toml::de::DeValue::Table(_) => String::new(),
    };
    let at = UtcMillis::parse_rfc3339(&written);
    if at.is_none() {
        let remedy = "write day, time and offset, as in effective = 2026-12-01T06:00:00-06:00";
        reader.fault(&value.span(), "'effective' is no instant with its offset", remedy);
    }
    at
}

fn read_laws<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for item in reader.list(value, "laws").into_iter().take(LAWS_MAX) {
        let Some(name) = reader.text(item, "laws") else { continue };
        if laws::shipped(name).is_some() {
            found.insert(name.to_owned());
        } else {
            let remedy = format!("write one of: {}", laws::NAMES.join(", "));
            reader.fault_of(Code::UnknownLaw, &item.span(), format!("there is no law pack {}", quote(name)), remedy);
        }
    }
    found
}

pub(super) fn read_limits<'t>(reader: &mut Reader<'t>, value: &Value<'t>) -> Limits {
    let mut limits = Limits::default();
    let Some(table) = reader.table(value, "limits") else { return limits };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "expiry" => read_expiry_limits(reader, value, &mut limits),
            "opens_max" => limits.opens_max = reader.count(value, "opens_max", OPENS_CEILING).unwrap_or(OPENS_CEILING),
            "hold_max" => limits.hold_max_seconds = read_up_to(reader, value, "hold_max", HOLD_CEILING_SECONDS),
            other => unknown(reader, &key.span(), other, "key", "expiry, opens_max, hold_max"),
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
            other => unknown(reader, &key.span(), other, "key", "min, max"),
        }
    }
    if limits.expiry_min_seconds > limits.expiry_max_seconds {
        let what = "the shortest allowed expiry is longer than the longest (no link may live less than 12h)";
        reader.fault_of(Code::BeyondLimits, &value.span(), what, "write expiry = { min = \"24h\", max = \"14d\" }");
        *limits =
            Limits { expiry_min_seconds: EXPIRY_FLOOR_SECONDS, expiry_max_seconds: EXPIRY_CEILING_SECONDS, ..*limits };
    }
}

/// A span of at most `most`, or `most` beside a fault.
fn read_up_to<'t>(reader: &mut Reader<'t>, value: &Value<'t>, name: &str, most: u64) -> u64 {
    let Some(seconds) = reader.span_seconds(value, name) else { return most };
    if seconds > most {
        let what = format!("'{name}' is longer than {}d, the most that can be set", most / 86_400);
        reader.fault_of(Code::BeyondLimits, &value.span(), what, format!("write at most \"{}d\"", most / 86_400));
    }
    seconds.min(most)
}
