//! Evidence for the rules: what a report says beyond its own code, and what stands in the resources that it names.
//!
//! Must stay true: gathering never fails and always ends in time; what could not be learnt is a [`Lack`] of every fact that
//! it might have added to, with what was found kept; an answer is what was asked for, or it is a lack. Patient data: no `Debug`.
//! Must not know: rules. It is told only which kinds of evidence some rule looks at.

mod belonging;
mod consents;
mod contacts;
mod critical;
mod fetch;
mod listing;
mod members;
mod part;
mod payers;
mod recent;
mod recipients;
mod shape;
mod source;

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;

use serde_json::Value;
use tokio::time::Instant;

pub(super) use self::contacts::of_patient as contacts_of_patient;
pub(super) use self::fetch::Wanted;
use self::fetch::read_parts;
pub(super) use self::listing::Listing;
use self::members::Walked;
pub(super) use self::part::Part;
use self::part::{ENCOUNTER, ORDER, ROLE, Source};
pub(super) use self::recent::RecentParts;
pub(super) use self::shape::{Place, Pointer, items, pointers, word};
use self::shape::{Texts, below};
pub(super) use self::source::Shelves;
use super::client::EhrClient;
use super::report::{Report, Subject};
use crate::base::SecretText;
use crate::policy::facts::{FactPath, Flag, Gathered, Lack, Performer, Word};
use crate::policy::{Coding, Need, Needs};

pub use self::consents::CONSENT_SYSTEM;
pub use self::contacts::{Kin, Stands};
pub use self::recipients::{Further, Who, WhoElse, may_hide_somebody};

/// Orders, encounters and roles that are read for one report, each.
const NAMED_MAX: usize = 20;
/// Codes that are kept of one fact. Facts are stored with the delivery.
const CODES_MAX: usize = 10_000;
/// Texts that are kept of one report and its members, in bytes together.
const TEXTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the rules can look at beside the report's own code, category and status. A fact lacks
/// [`Lack::NotAsked`] where the report names something that was not asked for. Patient data: no `Debug`.
#[derive(Clone)]
pub struct Evidence {
    /// Codes of the result's members at any depth and of whatever is written inside the report; conclusion codes; the
    /// events of a document.
    pub results: Gathered<Coding>,
    /// `meta.security` of the report, of what is written inside it, of members, orders and encounters, and
    /// `DocumentReference.securityLabel`.
    pub labels: Gathered<Coding>,
    /// `ServiceRequest.code`.
    pub orders: Gathered<Coding>,
    /// `ServiceRequest.reasonCode`.
    pub reasons: Gathered<Coding>,
    /// Performers, authors and custodian, as `Type/id` or the whole address on another server.
    pub performers: Gathered<Performer>,
    /// `PractitionerRole.specialty`, `Encounter.serviceType`, `ServiceRequest.category`, `practiceSetting` of a document.
    pub specialties: Gathered<Coding>,
    /// `Encounter.class`.
    pub encounters: Gathered<Coding>,
    /// Whether a member is flagged HH, LL or AA. `No` when all members were read, also when there are none.
    pub critical: Flag,
    /// Category codes of the patient's consents in force that permit: see [`CONSENT_SYSTEM`].
    pub consents: Gathered<Word>,
    /// Texts of the report, of its members and of its orders. An order's text can only add: `texts_lacking` does not speak of it.
    pub texts: Vec<ReportText>,
    pub texts_lacking: BTreeSet<Lack>,
}

/// One text of a report. Patient data: no `Debug`.
#[derive(Clone)]
pub struct ReportText {
    pub at: FactPath,
    /// BCP 47, of the attachment or else of the resource.
    pub language: Option<String>,
    pub text: SecretText,
}

impl EhrClient {
    /// Reads what `report` names, as far as `needs` asks for it: members (contained ones first), orders, encounters,
    /// roles and consents. Orders, encounters and roles may be up to five minutes old.
    pub async fn gather(&self, report: &Report, needs: &Needs) -> Evidence {
        gather_from(self, report, needs).await
    }
}

pub(super) async fn gather_from<S: Shelves>(shelves: &S, report: &Report, needs: &Needs) -> Evidence {
    let deadline = Instant::now() + shelves.gather_timeout();
    // No time at all for what no rule looks at.
    let until = |which: &[Need]| which.iter().any(|need| needs.contains(need)).then_some(deadline);
    let stated = &report.stated;
    let (members, orders, encounters, roles, consents) = tokio::join!(
        members::members(shelves, report, until(&[Need::Members, Need::Text])),
        named(shelves, &stated.orders, ORDER, until(&[Need::Order, Need::Specialty])),
        named(shelves, &stated.encounters, ENCOUNTER, until(&[Need::Encounter, Need::Specialty])),
        named(shelves, &stated.roles, ROLE, until(&[Need::Specialty])),
        consents_of(shelves, &report.subject, until(&[Need::Consent])),
    );
    let mut evidence = stated.evidence.clone();
    for (source, walked) in
        [(Source::Member, members), (Source::Order, orders), (Source::Encounter, encounters), (Source::Role, roles)]
    {
        for (at, part) in &walked.parts {
            evidence.absorb(&part.evidence, at);
        }
        for why in walked.lacking {
            evidence.lack(source, why);
        }
    }
    evidence.consents = consents;
    if !needs.contains(&Need::Text) {
        evidence.texts.clear();
        evidence.texts_lacking = BTreeSet::from([Lack::NotAsked]);
    }
    evidence.settle();
    evidence
}

/// Reads what `pointers` name, unless there is no time for it.
async fn named<S: Shelves>(shelves: &S, pointers: &[Pointer], kind: &'static str, until: Option<Instant>) -> Walked {
    let mut walked = Walked::default();
    let mut wanted: Vec<Wanted> = Vec::new();
    for pointer in pointers {
        match &pointer.place {
            Place::Here(_) if until.is_none() => walked.lack(Lack::NotAsked),
            Place::Here(id) if wanted.iter().any(|other| other.id == *id) => {}
            Place::Here(_) if wanted.len() >= NAMED_MAX => walked.lack(Lack::TooMany),
            Place::Here(id) => wanted.push(Wanted { at: pointer.at.clone(), kind, id: id.clone() }),
            Place::Inside(_) | Place::Away(_) => walked.lack(Lack::Elsewhere),
            Place::Lost(why) => walked.lack(*why),
        }
    }
    let Some(deadline) = until else { return walked };
    for (wanted, answer) in read_parts(shelves, wanted, deadline).await {
        match answer {
            Ok(part) => walked.parts.push((wanted.at, part)),
            Err(why) => walked.lack(why),
        }
    }
    walked
}

async fn consents_of<S: Shelves>(shelves: &S, subject: &Subject, until: Option<Instant>) -> Gathered<Word> {
    let Some(deadline) = until else { return Gathered::lacking(Lack::NotAsked) };
    match subject {
        Subject::Patient(patient) => consents::consents(shelves, patient, deadline).await,
        Subject::None | Subject::Unusable { .. } => Gathered::lacking(Lack::Unreadable),
    }
}

impl Evidence {
    /// Nothing, and nothing more to know.
    const fn none() -> Self {
        Self {
            results: Gathered::none(),
            labels: Gathered::none(),
            orders: Gathered::none(),
            reasons: Gathered::none(),
            performers: Gathered::none(),
            specialties: Gathered::none(),
            encounters: Gathered::none(),
            critical: Flag::No,
            consents: Gathered::none(),
            texts: Vec::new(),
            texts_lacking: BTreeSet::new(),
        }
    }

    /// Where texts of `resource` go, in its language.
    fn texts_of<'a>(&'a mut self, resource: &'a Value) -> Texts<'a> {
        let language = word(resource, "language");
        Texts { language, into: &mut self.texts, lacking: &mut self.texts_lacking }
    }

    /// Adds what the resource at `at` says.
    fn absorb(&mut self, other: &Self, at: &str) {
        let moved = |path: &FactPath| FactPath(below(at, &path.0));
        let pairs = [
            (&mut self.results, &other.results),
            (&mut self.labels, &other.labels),
            (&mut self.orders, &other.orders),
            (&mut self.reasons, &other.reasons),
            (&mut self.specialties, &other.specialties),
            (&mut self.encounters, &other.encounters),
        ];
        for (mine, theirs) in pairs {
            for sighted in &theirs.found {
                mine.add(sighted.value.clone(), moved(&sighted.at));
            }
            mine.lacking.extend(&theirs.lacking);
        }
        self.critical = critical::worse(self.critical, other.critical);
        let texts = other.texts.iter().map(|text| ReportText { at: moved(&text.at), ..text.clone() });
        self.texts.extend(texts);
        self.texts_lacking.extend(&other.texts_lacking);
    }

    /// Notes that a resource of `source` could not be learnt.
    fn lack(&mut self, source: Source, why: Lack) {
        let (member, order, encounter, role) = match source {
            Source::Member => (true, false, false, false),
            Source::Order => (false, true, false, false),
            Source::Encounter => (false, false, true, false),
            Source::Role => (false, false, false, true),
            Source::Other => (false, false, false, false),
            Source::Unclear => (true, true, true, true),
        };
        let facts = [
            (&mut self.results, member),
            (&mut self.orders, order),
            (&mut self.reasons, order),
            (&mut self.encounters, encounter),
            (&mut self.specialties, order || encounter || role),
            // A role's labels say nothing of the report.
            (&mut self.labels, source != Source::Role),
        ];
        for (fact, is_meant) in facts {
            if is_meant {
                fact.lacking.insert(why);
            }
        }
        if member {
            self.texts_lacking.insert(why);
            self.critical = critical::worse(self.critical, Flag::Unknown);
        }
    }

    /// Each value once, at the first place where it was found; no more than is kept.
    fn settle(&mut self) {
        let facts = [
            &mut self.results,
            &mut self.labels,
            &mut self.orders,
            &mut self.reasons,
            &mut self.specialties,
            &mut self.encounters,
        ];
        for fact in facts {
            keep_first(fact);
        }
        keep_first(&mut self.performers);
        keep_first(&mut self.consents);
        let mut left = TEXTS_BYTES_MAX;
        let all = self.texts.len();
        self.texts.retain(|text| match left.checked_sub(text.text.expose().len()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
        if self.texts.len() < all {
            self.texts_lacking.insert(Lack::TooMany);
        }
    }
}

fn keep_first<T: Clone + Eq + Hash>(fact: &mut Gathered<T>) {
    let mut seen = HashSet::new();
    fact.found.retain(|sighted| seen.insert(sighted.value.clone()));
    if fact.found.len() > CODES_MAX {
        fact.found.truncate(CODES_MAX);
        fact.lacking.insert(Lack::TooMany);
    }
}
