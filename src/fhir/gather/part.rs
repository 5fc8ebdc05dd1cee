//! What one resource says to the rules, and what it names: the report itself, a member, an order, an encounter, a role.
//!
//! Must stay true: what is written inside a resource (`contained`) counts as said by it, also where nothing refers to it;
//! an inner resource that cannot be read is a lack, never a failure of the one around it. No `Debug`: patient data.

use std::collections::HashMap;

use serde_json::Value;

use super::recipients::copies;
use super::shape::{Place, Pointer, below, concepts, items, pointers, word};
use super::{Evidence, critical};
use crate::base::ResourceType;
use crate::fhir::error::Malformed;
use crate::fhir::gate::parse_json;
use crate::fhir::project::{Schema, sanitise, unknown_modifiers};
use crate::fhir::service::ServiceBase;
use crate::policy::facts::{FactPath, Lack};

pub(super) const MEMBER_KINDS: &[&str] = &["Observation", "DiagnosticReport"];
pub(super) const ORDER: &str = "ServiceRequest";
pub(super) const ENCOUNTER: &str = "Encounter";
pub(super) const ROLE: &str = "PractitionerRole";
/// Authors that are not of the clinic.
const PERSONS: &[&str] = &["Patient", "RelatedPerson"];

/// What evidence a resource would give: what is not known when it cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Member,
    Order,
    Encounter,
    Role,
    /// A resource of a type that gives labels alone.
    Other,
    /// Nobody can say what it was.
    Unclear,
}

impl Source {
    fn of(kind: &str) -> Self {
        match kind {
            ORDER => Self::Order,
            ENCOUNTER => Self::Encounter,
            ROLE => Self::Role,
            kind if MEMBER_KINDS.contains(&kind) => Self::Member,
            _ => Self::Other,
        }
    }
}

/// One resource with everything inside it.
pub(in crate::fhir) struct Part {
    /// Paths from this resource. Includes what is inside.
    pub(super) evidence: Evidence,
    /// Results and their members that lie outside this resource.
    pub(super) members: Vec<Pointer>,
    /// Of the report itself alone, as are the two that follow.
    pub(super) orders: Vec<Pointer>,
    pub(super) encounters: Vec<Pointer>,
    /// Roles among those who made the report.
    pub(super) roles: Vec<Pointer>,
    /// To whom the report says that copies go.
    pub(super) copies: Vec<Pointer>,
}

impl Part {
    fn empty() -> Self {
        Self {
            evidence: Evidence::none(),
            members: Vec::new(),
            orders: Vec::new(),
            encounters: Vec::new(),
            roles: Vec::new(),
            copies: Vec::new(),
        }
    }

    /// What the sanitised report `value` says beyond its own code, category and status.
    pub(in crate::fhir) fn of_report(kind: ResourceType, value: &Value, base: &ServiceBase) -> Self {
        let mut part = Self::empty();
        part.read_labels(value);
        let performers = match kind {
            ResourceType::DiagnosticReport => {
                part.evidence.texts_of(value).of_concepts(value, "code", "");
                part.read_diagnostic_report(value, base);
                pointers(value, "performer", "", base)
            }
            ResourceType::DocumentReference => {
                part.read_document(value, base);
                [pointers(value, "author", "", base), pointers(value, "custodian", "", base)].concat()
            }
        };
        part.orders.extend(of_kinds(pointers(value, "basedOn", "", base), &[ORDER], Some(Lack::TooMany)));
        part.copies.extend(copies(value, base));
        let inside = part.read_inside(value, base);
        part.read_performers(performers, &inside);
        part.resolve(&inside);
        part
    }

    /// Reads `body` as the resource `kind`/`id`.
    pub(in crate::fhir) fn of_answer(kind: &str, id: &str, body: &[u8], base: &ServiceBase) -> Result<Self, Malformed> {
        let mut value = parse_json(body)?;
        sanitise(&mut value);
        if word(&value, "resourceType") != Some(kind) {
            return Err(Malformed::new("resourceType", "is not the type that was asked for"));
        }
        if word(&value, "id") != Some(id) {
            return Err(Malformed::new(format!("{kind}.id"), "is not the id that was asked for"));
        }
        Ok(Self::of_value(kind, &value, base))
    }

    /// A sanitised resource of type `kind`, with what is inside it.
    pub(in crate::fhir) fn of_value(kind: &str, value: &Value, base: &ServiceBase) -> Self {
        let mut part = Self::of_other(kind, value, base);
        let inside = part.read_inside(value, base);
        part.resolve(&inside);
        part
    }

    /// Any resource but the report itself, without what is inside it.
    fn of_other(kind: &str, value: &Value, base: &ServiceBase) -> Self {
        static ANY: Schema = Schema { kind: "", fields: &[] };
        let mut part = Self::empty();
        part.read_labels(value);
        match kind {
            "Observation" => {
                part.read_tested(value, value, "");
                for (step, component) in items(value, "component") {
                    part.read_tested(value, component, &step);
                }
                part.evidence.critical = critical::worse(part.evidence.critical, critical::flag(value));
                part.members.extend(member_pointers(value, "hasMember", base));
            }
            "DiagnosticReport" => {
                part.read_tested(value, value, "");
                part.read_diagnostic_report(value, base);
                part.encounters.clear();
            }
            ORDER => part.read_order(value),
            ENCOUNTER => {
                concepts(value, "class", "", &mut part.evidence.encounters);
                concepts(value, "serviceType", "", &mut part.evidence.specialties);
                if value.get("class").is_none() {
                    part.evidence.encounters.lacking.insert(Lack::Unreadable);
                }
            }
            ROLE => concepts(value, "specialty", "", &mut part.evidence.specialties),
            _ => {}
        }
        if !unknown_modifiers(value, &ANY).is_empty() {
            part.evidence.lack(Source::of(kind), Lack::Unreadable);
        }
        part
    }

    fn read_labels(&mut self, value: &Value) {
        let labels = &mut self.evidence.labels;
        match value.get("meta") {
            Some(meta) if meta.is_object() => concepts(meta, "security", "meta", labels),
            Some(_) => {
                labels.lacking.insert(Lack::Unreadable);
            }
            None => {}
        }
        concepts(value, "securityLabel", "", labels);
    }

    /// What a member, or a component of one, says that it tested; the standard asks it of both.
    fn read_tested(&mut self, resource: &Value, tested: &Value, at: &str) {
        self.evidence.texts_of(resource).of_concepts(tested, "code", at);
        concepts(tested, "code", at, &mut self.evidence.results);
        if !tested.get("code").is_some_and(Value::is_object) {
            self.evidence.lack(Source::Member, Lack::Unreadable);
        }
    }

    fn read_diagnostic_report(&mut self, value: &Value, base: &ServiceBase) {
        let mut texts = self.evidence.texts_of(value);
        texts.of_concepts(value, "category", "");
        texts.plain(value, "conclusion", "");
        texts.of_concepts(value, "conclusionCode", "");
        for (step, form) in items(value, "presentedForm") {
            texts.title(form, &step);
        }
        concepts(value, "conclusionCode", "", &mut self.evidence.results);
        self.members.extend(member_pointers(value, "result", base));
        let encounters = pointers(value, "encounter", "", base);
        self.encounters.extend(of_kinds(encounters, &[ENCOUNTER], Some(Lack::Unreadable)));
    }

    /// R4 gathers what surrounds a document in `context`; R5 makes `context` the list of encounters and moves the rest up.
    fn read_document(&mut self, value: &Value, base: &ServiceBase) {
        let mut texts = self.evidence.texts_of(value);
        texts.plain(value, "description", "");
        texts.of_concepts(value, "type", "");
        texts.of_concepts(value, "category", "");
        for (step, content) in items(value, "content") {
            texts.title(content.get("attachment").unwrap_or(&Value::Null), &below(&step, "attachment"));
        }
        let (around, at) = match value.get("context") {
            None => (value, ""),
            Some(Value::Array(list)) if list.iter().all(Value::is_object) => (value, ""),
            Some(context) => (context, "context"),
        };
        texts.of_concepts(around, "event", at);
        if !around.is_object() {
            self.evidence.lack(Source::Unclear, Lack::Unreadable);
        }
        concepts(around, "event", at, &mut self.evidence.results);
        concepts(around, "practiceSetting", at, &mut self.evidence.specialties);
        let encounters =
            if at.is_empty() { pointers(value, "context", "", base) } else { pointers(around, "encounter", at, base) };
        self.encounters.extend(of_kinds(encounters, &[ENCOUNTER], None));
        let related = pointers(around, "related", at, base);
        let is_member = |pointer: &Pointer| pointer.kind.as_deref().is_some_and(|kind| MEMBER_KINDS.contains(&kind));
        self.members.extend(related.iter().filter(|pointer| is_member(pointer)).cloned());
        self.orders.extend(of_kinds(related, &[ORDER], None));
    }

    /// R5 says in `reason` what R4 says in `reasonCode` and `reasonReference`.
    fn read_order(&mut self, value: &Value) {
        let evidence = &mut self.evidence;
        let mut texts = evidence.texts_of(value);
        for name in ["code", "reasonCode", "reason"] {
            texts.of_concepts(value, name, "");
        }
        concepts(value, "code", "", &mut evidence.orders);
        concepts(value, "reasonCode", "", &mut evidence.reasons);
        concepts(value, "reason", "", &mut evidence.reasons);
        concepts(value, "category", "", &mut evidence.specialties);
        if value.get("reasonReference").is_some() {
            evidence.reasons.lacking.insert(Lack::TooMany);
        }
    }

    /// Reads what is inside, and returns the types of what can be referred to there.
    fn read_inside(&mut self, value: &Value, base: &ServiceBase) -> HashMap<String, String> {
        let mut inside = HashMap::new();
        for (step, inner) in items(value, "contained") {
            let Some(kind) = word(inner, "resourceType") else {
                self.evidence.lack(Source::Unclear, Lack::Unreadable);
                continue;
            };
            if let Some(id) = word(inner, "id") {
                inside.insert(id.to_owned(), kind.to_owned());
            }
            let part = Self::of_other(kind, inner, base);
            self.evidence.absorb(&part.evidence, &step);
            let moved = |pointer: Pointer| Pointer { at: below(&step, &pointer.at), ..pointer };
            self.members.extend(part.members.into_iter().map(moved));
        }
        inside
    }

    fn read_performers(&mut self, performers: Vec<Pointer>, inside: &HashMap<String, String>) {
        let found = &mut self.evidence.performers;
        for pointer in &performers {
            let at = FactPath(pointer.at.clone());
            match (&pointer.place, &pointer.kind) {
                // Who wrote about themselves made no report, and their id is no fact.
                (_, Some(kind)) if PERSONS.contains(&kind.as_str()) => {}
                (Place::Here(id), Some(kind)) => found.add(format!("{kind}/{}", id.as_str()), at),
                (Place::Away(address), _) => found.add(address.clone(), at),
                // Its id means nothing outside the report.
                (Place::Inside(id), _) if inside.contains_key(id) => {
                    found.lacking.insert(Lack::Elsewhere);
                }
                (Place::Inside(_), _) => {
                    found.lacking.insert(Lack::NotFound);
                }
                (Place::Lost(why), _) => {
                    found.lacking.insert(*why);
                }
                (Place::Here(_), None) => {}
            }
        }
        let is_role = |pointer: &Pointer| match (&pointer.place, pointer.kind.as_deref()) {
            (Place::Inside(id), _) => inside.get(id).is_none_or(|kind| kind == ROLE),
            (_, kind) => kind.is_none_or(|kind| kind == ROLE),
        };
        self.roles = performers.into_iter().filter(is_role).collect();
    }

    /// What points inside is read already, or is not there.
    fn resolve(&mut self, inside: &HashMap<String, String>) {
        let lists = [
            (&mut self.members, MEMBER_KINDS),
            (&mut self.orders, &[ORDER][..]),
            (&mut self.encounters, &[ENCOUNTER]),
            (&mut self.roles, &[ROLE]),
        ];
        for (list, kinds) in lists {
            list.retain_mut(|pointer| {
                let Place::Inside(id) = &pointer.place else { return true };
                let why = match inside.get(id) {
                    Some(kind) if !kinds.contains(&kind.as_str()) => Some(Lack::Unreadable),
                    None if !id.is_empty() => Some(Lack::NotFound),
                    Some(_) | None => None,
                };
                why.map(|why| pointer.place = Place::Lost(why)).is_some()
            });
        }
    }
}

/// `hasMember` may name questionnaires and sequences too, which are not read.
fn member_pointers(value: &Value, name: &str, base: &ServiceBase) -> Vec<Pointer> {
    let other = if name == "hasMember" { Lack::TooMany } else { Lack::Unreadable };
    of_kinds(pointers(value, name, "", base), MEMBER_KINDS, Some(other))
}

/// Those that are, or may be, of `kinds`; the others are lost as `other`, or left out.
fn of_kinds(pointers: Vec<Pointer>, kinds: &[&str], other: Option<Lack>) -> Vec<Pointer> {
    let judge = |mut pointer: Pointer| match &pointer.kind {
        Some(kind) if !kinds.contains(&kind.as_str()) => {
            pointer.place = Place::Lost(other?);
            Some(pointer)
        }
        Some(_) | None => Some(pointer),
    };
    pointers.into_iter().filter_map(judge).collect()
}
