//! The law packs that a file names, and whether the clinic's rows keep within them.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::Shelf;
use super::columns::{NamesTag, Side, read_then};
use super::conditions::read_when;
use super::rows::Draft;
use crate::policy::calendar::Wait;
use crate::policy::columns::{Column, Columns, Said, show_span};
use crate::policy::errors::Code;
use crate::policy::facts::{Coding, RecipientRole};
use crate::policy::laws::{self, Law, parse_pack};
use crate::policy::reader::{Place, Reader};
use crate::policy::rules::{Classify, Header, Profile, Restrict, Spot};
use crate::policy::sets::CodeSets;
use crate::policy::vocabulary::{Action, Backstop};
use crate::policy::when::{Condition, Predicate, When};

/// In the order of their names.
pub(super) fn read_laws<'t>(
    reader: &mut Reader<'t>,
    document: &DeTable<'t>,
    header: &Header,
    shelf: &mut Shelf<'_>,
) -> Vec<Law> {
    let at = document.get("policy").map_or(0..0, toml::Spanned::span);
    if !header.laws.is_empty() && header.timezone.is_none() {
        let what = "the laws count days, and [policy] does not say in which zone";
        reader.fault_of(Code::LawNeedsZone, &at, what, "add timezone = \"America/Chicago\" under [policy]");
    }
    header.laws.iter().filter_map(|name| read_law(reader, &at, name, shelf)).collect()
}

fn read_law(reader: &mut Reader<'_>, at: &Place, name: &str, shelf: &mut Shelf<'_>) -> Option<Law> {
    let text = laws::shipped(name)?;
    let document = DeTable::parse(text).ok()?;
    let mut pack_reader = Reader::new(text);
    let table = document.get_ref();
    // Both readers need the shelf, and only one reads at a time.
    let shelf = std::cell::RefCell::new(shelf);
    let pack = parse_pack(
        &mut pack_reader,
        table,
        &mut |reader, value| read_when(reader, value, &mut shelf.borrow_mut()),
        &mut |reader, at, row| read_restrict(reader, &at, row, &mut shelf.borrow_mut()),
    );
    if !pack_reader.is_clean() {
        let faults = pack_reader.into_errors();
        let what = format!("the law pack '{name}' cannot be read: {faults}");
        reader.fault_of(Code::UnknownLaw, at, what, "report this as a fault of Chartseal");
        return None;
    }
    let mut pack = pack?;
    pack.restricts.sort_by(|one, other| one.id.cmp(&other.id));
    Some(pack)
}

fn read_restrict<'t>(
    reader: &mut Reader<'t>,
    at: &Place,
    row: &DeTable<'t>,
    shelf: &mut Shelf<'_>,
) -> Option<Restrict> {
    let id = row.get("id").and_then(|value| reader.slug(value, "id"))?;
    let when = row.get("when").and_then(|value| read_when(reader, value, shelf))?;
    // What a law asks for escalates unless it says otherwise.
    let side = Side::Restrict { names_tag: NamesTag::Yes };
    let then = row.get("then").and_then(|value| read_then(reader, value, side, shelf))?;
    let reason = row.get("reason").and_then(|value| reader.sentence(value, "reason"));
    Some(Restrict { id, when, then: then.columns, said: then.said, reason, spot: Spot { line: at.start, column: 1 } })
}

/// What a row's conditions speak of, as codes: enough to tell that two rows mean the same reports.
struct Evidence {
    roles: BTreeSet<RecipientRole>,
    codes: BTreeSet<Coding>,
}

impl Evidence {
    fn of(when: &When, tags: &BTreeMap<&str, BTreeSet<Coding>>, sets: &CodeSets) -> Self {
        let mut codes = BTreeSet::new();
        for (predicate, condition) in when.conditions() {
            match condition {
                Condition::Codes(found) | Condition::Prefixes(found) => codes.extend(found.iter().cloned()),
                Condition::Words(words) if predicate == Predicate::Set => {
                    codes.extend(words.iter().filter_map(|name| sets.set(name)).flat_map(|set| set.iter().cloned()));
                }
                Condition::Words(words) if predicate == Predicate::Tag => {
                    codes.extend(words.iter().filter_map(|tag| tags.get(tag.as_str())).flatten().cloned());
                }
                Condition::Words(_)
                | Condition::Roles(_)
                | Condition::Clinics(_)
                | Condition::Kinds(_)
                | Condition::Performers(_)
                | Condition::Patterns(_)
                | Condition::AtLeast(_)
                | Condition::Age(_)
                | Condition::Within(_)
                | Condition::Yes => {}
            }
        }
        Self { roles: when.roles(), codes }
    }

    fn meets(&self, other: &Self) -> bool {
        !self.roles.is_disjoint(&other.roles) && !self.codes.is_disjoint(&other.codes)
    }
}

/// A row that names reports under a law must not ask for less than its floor, nor for more than its ceiling.
pub(super) fn check_crossings<'d>(
    reader: &mut Reader<'_>,
    classify: impl Iterator<Item = &'d Classify>,
    profiles: &[Draft<Profile>],
    restricts: &[Draft<Restrict>],
    laws: &[Law],
    sets: &CodeSets,
) {
    if laws.is_empty() {
        return;
    }
    let mut tags: BTreeMap<&str, BTreeSet<Coding>> = BTreeMap::new();
    for row in classify {
        let evidence = Evidence::of(&row.when, &BTreeMap::new(), sets);
        tags.entry(row.tag.as_str()).or_default().extend(evidence.codes);
    }
    let rows =
        profiles
            .iter()
            .map(|draft| (Asks::of(draft), draft.row.id.as_str(), &draft.row.when, &draft.row.then, draft.row.said))
            .chain(restricts.iter().map(|draft| {
                (Asks::of(draft), draft.row.id.as_str(), &draft.row.when, &draft.row.then, draft.row.said)
            }));
    for (asks, id, when, then, said) in rows {
        let evidence = Evidence::of(when, &tags, sets);
        for law in laws {
            let floors = law.floors.iter().filter(|floor| Evidence::of(&floor.when, &tags, sets).meets(&evidence));
            for floor in floors {
                check_floor(reader, &asks, id, then, said, floor.wait, &format!("{}/{}", law.header.id, floor.id));
            }
            let ceilings = law.ceilings.iter().filter(|one| Evidence::of(&one.when, &tags, sets).meets(&evidence));
            for ceiling in ceilings {
                let rule = format!("{}/{}", law.header.id, ceiling.id);
                check_ceiling(reader, &asks, id, then, said, ceiling.wait, &rule);
            }
        }
    }
}

/// Where a row says what it asks for.
struct Asks {
    row: Place,
    hold: Place,
    backstop: Place,
}

impl Asks {
    fn of<R>(draft: &Draft<R>) -> Self {
        let or_row = |at: &Option<Place>| at.clone().unwrap_or_else(|| draft.at.clone());
        Self { row: draft.at.clone(), hold: or_row(&draft.hold_at), backstop: or_row(&draft.backstop_at) }
    }
}

fn check_floor(reader: &mut Reader<'_>, asks: &Asks, id: &str, then: &Columns, said: Said, wait: Wait, law: &str) {
    if said.has(Column::Hold) && then.hold_seconds < wait.least_seconds() {
        let what = format!(
            "'{id}' holds these reports for {}, and the law {law} asks for at least {}",
            show_span(then.hold_seconds),
            show_span(wait.least_seconds())
        );
        let remedy =
            format!("write hold = \"{}h\", or leave 'hold' out: the law holds them anyway", wait.most_seconds() / 3600);
        reader.fault_of(Code::CrossesFloor, &asks.hold, what, remedy);
    }
}

fn check_ceiling(reader: &mut Reader<'_>, asks: &Asks, id: &str, then: &Columns, said: Said, wait: Wait, law: &str) {
    let most = wait.least_seconds();
    let remedy = format!(
        "write hold = \"{0}h\" or less, auto_release = \"{0}h\" or less and backstop = \"release\"",
        most / 3600
    );
    let lets = |what: &str| format!("{what}, and the law {law} asks that they are disclosed after {}", show_span(most));
    if said.has(Column::Hold) && then.hold_seconds > most {
        let what = lets(&format!("'{id}' holds these reports for {}", show_span(then.hold_seconds)));
        reader.fault_of(Code::CrossesCeiling, &asks.hold, what, remedy);
    } else if then.waits_for_a_person() && (then.auto_release_seconds > most || then.backstop == Backstop::Escalate) {
        let what = lets(&format!(
            "'{id}' keeps these reports for a person for {} and then says '{}'",
            show_span(then.auto_release_seconds),
            then.backstop.as_str()
        ));
        reader.fault_of(Code::CrossesCeiling, &asks.backstop, what, remedy);
    } else if then.action != Action::Send && said.has(Column::Action) {
        let what = lets(&format!("'{id}' never lets these reports leave by themselves"));
        reader.fault_of(Code::CrossesCeiling, &asks.row, what, "hold them with 'hold' and 'release' instead");
    }
}
