//! `then`: the columns of a row.

use std::num::NonZeroU16;

use toml::de::DeTable;

use super::{Shelf, unknown};
use crate::policy::columns::{
    ATTEMPTS_MAX, BACKSTOP_DEFAULT_SECONDS, Column, Columns, Grouping, RETENTION_SECONDS_MAX, Said, VIEW_SECONDS_MAX,
};
use crate::policy::errors::Code;
use crate::policy::few::{Few, Vocabulary};
use crate::policy::quiet::least_waking_seconds;
use crate::policy::reader::{Place, Reader, Value};
use crate::policy::rules::{EXPIRY_FLOOR_SECONDS, Limits, WAKING_FLOOR_SECONDS};
use crate::policy::vocabulary::{
    Action, Backstop, Challenge, Channel, CodeElse, CodeVia, Custody, Download, ExpiryFrom, GroupBy, HealthLink,
    HoldBasis, Notify, Reissue, ReleaseBy, Requirement, Wording,
};

const KNOWN: &str = "action, expiry, expiry_from, opens, view, attempts, channel, verify, code_via, code_else, wording, \
                     download, health_link, release, hold, basis, requires, auto_release, backstop, reissue, custody, group_by, wait, notify, \
                     retention";
/// Hours of waiting for reports that share a link.
const GROUP_WAIT_SECONDS_MAX: u64 = 72 * 3600;
const GROUP_WAIT_DEFAULT_SECONDS: u64 = 4 * 3600;
/// The shortest time in which a person can read a report.
const VIEW_SECONDS_MIN: u64 = 600;
const RETENTION_SECONDS_MIN: u64 = 86_400;

/// Where the columns come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// A profile, complete with its defaults.
    Profile,
    /// A restriction, which asks only for what it says. `names_tag`: what is sensitive escalates by default.
    Restrict { names_tag: NamesTag },
    /// What a test expects.
    Expected,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NamesTag {
    Yes,
    No,
}

/// What a row asks for, which columns it speaks of, and where.
pub(super) struct Then {
    pub(super) columns: Columns,
    pub(super) said: Said,
    pub(super) hold_at: Option<Place>,
    pub(super) backstop_at: Option<Place>,
}

pub(super) fn read_then<'t>(reader: &mut Reader<'t>, value: &Value<'t>, side: Side, shelf: &Shelf<'_>) -> Option<Then> {
    let start = match side {
        Side::Profile => within_limits(Columns::profile(), shelf.limits),
        Side::Restrict { .. } | Side::Expected => Columns::loosest(),
    };
    let mut then = Then { columns: start, said: Said::NOTHING, hold_at: None, backstop_at: None };
    let table = reader.table(value, "then")?;
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        match Column::ALL.into_iter().find(|column| column.as_str() == name) {
            Some(column) => {
                read_column(reader, value, column, &mut then, shelf.limits);
                then.said = then.said.with(column);
            }
            None if name == "basis" || name == "wait" => {}
            None => unknown(reader, &key.span(), name, "column", KNOWN),
        }
    }
    read_beside(reader, table, &mut then);
    match side {
        Side::Profile if !table.contains_key("action") => {
            let remedy = "add action = \"send\", \"manual_review\" or \"block\"";
            reader.fault_of(Code::MissingAction, &value.span(), "'then' does not say what to do", remedy);
            return None;
        }
        Side::Restrict { .. } if then.said == Said::NOTHING => {
            let remedy = "say what is asked of these reports, as in then = { opens = 1 }";
            reader.fault_of(Code::EmptyRestrict, &value.span(), "'then' asks for nothing", remedy);
            return None;
        }
        Side::Profile | Side::Restrict { .. } | Side::Expected => {}
    }
    fill_way_out(&mut then, side);
    fill_waiting(&mut then, side, shelf.limits);
    if side != Side::Expected {
        check_waking(reader, table, &then, shelf);
    }
    Some(then)
}

/// A profile's defaults stay within the clinic's limits.
fn within_limits(columns: Columns, limits: Limits) -> Columns {
    let opens_max = NonZeroU16::new(limits.opens_max).unwrap_or(NonZeroU16::MIN);
    Columns {
        expiry_seconds: columns.expiry_seconds.clamp(limits.expiry_min_seconds, limits.expiry_max_seconds),
        opens: columns.opens.min(opens_max),
        ..columns
    }
}

fn read_column<'t>(reader: &mut Reader<'t>, value: &Value<'t>, column: Column, then: &mut Then, limits: Limits) {
    let columns = &mut then.columns;
    match column {
        Column::Action => word(reader, value, column, &Action::ALL, &mut columns.action),
        Column::Expiry => {
            columns.expiry_seconds = read_expiry(reader, value, limits).unwrap_or(columns.expiry_seconds);
        }
        Column::ExpiryFrom => word(reader, value, column, &ExpiryFrom::ALL, &mut columns.expiry_from),
        Column::Opens => {
            let opens = reader.count(value, "opens", limits.opens_max).and_then(NonZeroU16::new);
            columns.opens = opens.unwrap_or(columns.opens);
        }
        Column::View => {
            let span = span_within(reader, value, column, VIEW_SECONDS_MIN, VIEW_SECONDS_MAX.into());
            columns.view_seconds = span.and_then(|span| u32::try_from(span).ok()).unwrap_or(columns.view_seconds);
        }
        Column::Attempts => {
            let count = reader.count(value, "attempts", ATTEMPTS_MAX.into());
            columns.attempts = count.and_then(|count| u8::try_from(count).ok()).unwrap_or(columns.attempts);
        }
        Column::Channel => columns.channels = few(reader, value, column, &Channel::ALL),
        Column::Verify => columns.challenges = few(reader, value, column, &Challenge::ALL),
        Column::CodeVia => word(reader, value, column, &CodeVia::ALL, &mut columns.code_via),
        Column::CodeElse => word(reader, value, column, &CodeElse::ALL, &mut columns.code_else),
        Column::Wording => word(reader, value, column, &Wording::ALL, &mut columns.wording),
        Column::Download => word(reader, value, column, &Download::ALL, &mut columns.download),
        Column::HealthLink => word(reader, value, column, &HealthLink::ALL, &mut columns.health_link),
        Column::Release => word(reader, value, column, &ReleaseBy::ALL, &mut columns.release),
        Column::Hold => {
            then.hold_at = Some(value.span());
            let span = span_within(reader, value, column, 0, limits.hold_max_seconds);
            columns.hold_seconds = span.unwrap_or(columns.hold_seconds);
        }
        Column::Requires => columns.requires = few(reader, value, column, &Requirement::ALL),
        Column::AutoRelease => {
            then.backstop_at = Some(value.span());
            let span = span_within(reader, value, column, 0, limits.hold_max_seconds);
            columns.auto_release_seconds = span.unwrap_or(columns.auto_release_seconds);
        }
        Column::Backstop => word(reader, value, column, &Backstop::ALL, &mut columns.backstop),
        Column::Reissue => word(reader, value, column, &Reissue::ALL, &mut columns.reissue),
        Column::Custody => word(reader, value, column, &Custody::ALL, &mut columns.custody),
        Column::GroupBy => {
            if let Some(what) = reader.word(value, "group_by", &GroupBy::ALL, GroupBy::as_str) {
                columns.group = Grouping::With { what, wait_seconds: GROUP_WAIT_DEFAULT_SECONDS };
            }
        }
        Column::Notify => columns.notify = few(reader, value, column, &Notify::ALL),
        Column::Retention => {
            let span = span_within(reader, value, column, RETENTION_SECONDS_MIN, RETENTION_SECONDS_MAX);
            columns.retention_seconds = span.unwrap_or(columns.retention_seconds);
        }
    }
}

/// `basis` of a hold, `wait` of a group.
fn read_beside<'t>(reader: &mut Reader<'t>, table: &DeTable<'t>, then: &mut Then) {
    if let Some(value) = table.get("basis") {
        let basis = reader.word(value, "basis", &HoldBasis::ALL, HoldBasis::as_str);
        then.columns.basis = basis.unwrap_or(then.columns.basis);
        if !table.contains_key("hold") {
            let what = "'basis' gives the ground of a hold, and there is no 'hold'";
            let remedy = "add hold = \"72h\" or take 'basis' out";
            reader.fault_of(Code::BasisWithoutHold, &value.span(), what, remedy);
        }
    }
    if let Some(value) = table.get("wait") {
        let span = span_within(reader, value, Column::GroupBy, 0, GROUP_WAIT_SECONDS_MAX);
        match (then.columns.group, span) {
            (Grouping::With { what, .. }, Some(wait_seconds)) => {
                then.columns.group = Grouping::With { what, wait_seconds };
            }
            (Grouping::With { .. }, None) => {}
            (Grouping::Unsaid | Grouping::Alone, _) => {
                let what = "'wait' says how long reports of a group are collected, and there is no 'group_by'";
                reader.fault(&value.span(), what, "add group_by = \"order\" or take 'wait' out");
            }
        }
    }
}

fn word<'t, T: Vocabulary>(reader: &mut Reader<'t>, value: &Value<'t>, column: Column, words: &[T], into: &mut T) {
    if let Some(word) = reader.word(value, column.as_str(), words, T::as_str) {
        *into = word;
    }
}

fn few<'t, T: Vocabulary>(reader: &mut Reader<'t>, value: &Value<'t>, column: Column, words: &[T]) -> Few<T> {
    let name = column.as_str();
    reader.list(value, name).into_iter().filter_map(|item| reader.word(item, name, words, T::as_str)).collect()
}

fn span_within<'t>(reader: &mut Reader<'t>, value: &Value<'t>, column: Column, least: u64, most: u64) -> Option<u64> {
    let seconds = reader.span_seconds(value, column.as_str())?;
    if (least..=most).contains(&seconds) {
        return Some(seconds);
    }
    let bound = |seconds: u64| {
        if seconds.is_multiple_of(3600) { format!("{}h", seconds / 3600) } else { format!("{}m", seconds / 60) }
    };
    let what = format!("this {} is not between {} and {}", column.as_str(), bound(least), bound(most));
    reader.fault_of(Code::BeyondLimits, &value.span(), what, "choose a value within, or change [limits]");
    None
}

fn read_expiry<'t>(reader: &mut Reader<'t>, value: &Value<'t>, limits: Limits) -> Option<u64> {
    let seconds = reader.span_seconds(value, "expiry")?;
    if seconds < EXPIRY_FLOOR_SECONDS {
        let what = "under this expiry the patient can have fewer than twelve hours to open the link";
        reader.fault_of(Code::ShortWaking, &value.span(), what, "write \"24h\" or more");
        return None;
    }
    if !(limits.expiry_min_seconds..=limits.expiry_max_seconds).contains(&seconds) {
        let (min, max) = (limits.expiry_min_seconds / 3600, limits.expiry_max_seconds / 3600);
        let what = format!("this expiry is outside the limits of {min}h to {max}h");
        let remedy = "choose a value within them, or change expiry under [limits]";
        reader.fault_of(Code::BeyondLimits, &value.span(), what, remedy);
        return None;
    }
    Some(seconds)
}

/// A row that keeps the code from where the link came names the way out itself, or none: no other row can loosen it.
fn fill_way_out(then: &mut Then, side: Side) {
    let names_one = then.said.has(Column::CodeElse);
    let is_a_row = match side {
        Side::Expected => false,
        Side::Profile | Side::Restrict { .. } => true,
    };
    if is_a_row && then.columns.code_via == CodeVia::Other && !names_one {
        then.columns.code_else = CodeElse::Review;
    }
}

/// What waits for a person has an end in its own row, so that no other row can loosen it.
fn fill_waiting(then: &mut Then, side: Side, limits: Limits) {
    let said = then.said;
    match side {
        Side::Expected => return,
        Side::Profile | Side::Restrict { .. } => {}
    }
    if !then.columns.waits_for_a_person() {
        return;
    }
    let is_sensitive = matches!(side, Side::Restrict { names_tag: NamesTag::Yes });
    if !said.has(Column::Backstop) {
        let by_itself = said.has(Column::AutoRelease) && !is_sensitive;
        then.columns.backstop = if by_itself { Backstop::Release } else { Backstop::Escalate };
    }
    if !said.has(Column::AutoRelease) {
        then.columns.auto_release_seconds = BACKSTOP_DEFAULT_SECONDS.min(limits.hold_max_seconds);
    }
}

/// Whenever the message leaves, the patient has twelve waking hours.
fn check_waking<'t>(reader: &mut Reader<'t>, table: &DeTable<'t>, then: &Then, shelf: &Shelf<'_>) {
    let columns = &then.columns;
    if columns.expiry_seconds == u64::MAX || columns.expiry_seconds < EXPIRY_FLOOR_SECONDS {
        return;
    }
    let at = table.get("expiry").map_or(0..0, Value::span);
    let (life, why) = match columns.expiry_from {
        ExpiryFrom::Delivered => (columns.expiry_seconds, "whenever the message leaves"),
        ExpiryFrom::Issued => {
            let waits = if columns.waits_for_a_person() { columns.auto_release_seconds } else { columns.hold_seconds };
            (columns.expiry_seconds.saturating_sub(waits), "after the longest wait, since expiry_from is \"issued\"")
        }
    };
    if least_waking_seconds(shelf.quiet, life) < WAKING_FLOOR_SECONDS {
        let what = format!("with this expiry a patient can have fewer than twelve waking hours, {why}");
        let remedy = "write a longer expiry (24h is enough where nights are quiet), or count it from \"delivered\"";
        let at = if at == (0..0) { table.iter().next().map_or(0..0, |(key, _)| key.span()) } else { at };
        reader.fault_of(Code::ShortWaking, &at, what, remedy);
    }
}
