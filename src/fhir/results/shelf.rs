//! The resources that a report's results stand in: inside the report, or read from the EHR.
//!
//! Must stay true: each is read once; number, bytes, depth and time are bounded; what is not there now is told apart from what
//! is not there.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::strict::Unfaithful;
use crate::base::FhirId;
use crate::fhir::client::{EhrClient, Fetched, FhirBody, apart};
use crate::fhir::error::{EhrError, FaultClass, Malformed};
use crate::fhir::gate::parse_json;
use crate::fhir::gather::{Place, Pointer, items, pointers, word};
use crate::fhir::project::{Schema, sanitise, unknown_modifiers};
use crate::fhir::service::ServiceBase;
use crate::policy::facts::Lack;

/// A panel's member of a member of a member of the report's result.
const DEPTH_MAX: usize = 5;
/// Readings of one report on their way at the same time.
const READS_AT_ONCE: usize = 6;
/// The largest resource of a result.
const RESOURCE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// All resources of one report together.
const RESULTS_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) const OBSERVATION: &str = "Observation";
pub(super) const SPECIMEN: &str = "Specimen";
/// The report itself.
pub(super) const ROOT: &str = "";

/// Sanitised resources by their names: [`ROOT`], `Type/id`, and `#id` behind the name of the resource around it.
pub(super) struct Shelf {
    found: HashMap<String, Found>,
    /// The names in the order in which they were met.
    order: Vec<String>,
}

pub(super) struct Found {
    pub value: Value,
    /// The resource that it is written in; its own name where it stands alone.
    pub owner: String,
}

/// Why there is no shelf.
pub(super) enum NotFilled {
    /// Perhaps later.
    Unread {
        why: String,
    },
    Unfaithful(Unfaithful),
}

impl From<Unfaithful> for NotFilled {
    fn from(why: Unfaithful) -> Self {
        Self::Unfaithful(why)
    }
}

/// What a resource names: where, and under which name it stands on the shelf.
pub(super) struct Lead {
    pub at: String,
    pub name: String,
    target: Target,
}

enum Target {
    Ehr { kind: &'static str, id: FhirId },
    Inside,
}

impl Shelf {
    /// Reads everything that `report` names as its results and their specimens.
    pub(super) async fn fill(client: &EhrClient, report: Value) -> Result<Self, NotFilled> {
        let deadline = Instant::now() + client.limits.gather_timeout;
        let mut shelf = Self { found: HashMap::new(), order: Vec::new() };
        shelf.put(ROOT.to_owned(), report)?;
        let mut seen = HashSet::new();
        let mut level = shelf.leads_of(ROOT, "", &client.base)?;
        let bytes_left = Mutex::new(RESULTS_BYTES_MAX);
        for _ in 0..DEPTH_MAX {
            level.retain(|lead| seen.insert(lead.name.clone()));
            if seen.len() > client.limits.members_max {
                return Err(Unfaithful("the report names more results than Chartseal reads".to_owned()).into());
            }
            shelf.read_level(client, &level, &bytes_left, deadline).await?;
            let mut next = Vec::new();
            for lead in &level {
                next.extend(shelf.leads_of(&lead.name, &lead.at, &client.base)?);
            }
            level = next;
        }
        level.retain(|lead| !seen.contains(&lead.name));
        if let Some(lead) = level.first() {
            return Err(Unfaithful::at(&lead.at, "is nested deeper than Chartseal reads").into());
        }
        Ok(shelf)
    }

    async fn read_level(
        &mut self,
        client: &EhrClient,
        level: &[Lead],
        bytes_left: &Mutex<usize>,
        deadline: Instant,
    ) -> Result<(), NotFilled> {
        let wanted = level.iter().filter_map(|lead| match &lead.target {
            Target::Ehr { kind, id } => Some((lead, *kind, id)),
            Target::Inside => None,
        });
        let read = |(lead, kind, id)| async move { (lead, read_one(client, lead, (kind, id), bytes_left).await) };
        let readings: Vec<_> = wanted.map(read).collect();
        let mut arriving = stream::iter(readings).buffer_unordered(READS_AT_ONCE);
        let mut arrived = HashMap::new();
        loop {
            match timeout_at(deadline, arriving.next()).await {
                Ok(Some((lead, value))) => arrived.insert(lead.name.as_str(), value?),
                Ok(None) => break,
                Err(_) => return Err(NotFilled::Unread { why: "the EHR did not show all results in time".to_owned() }),
            };
        }
        // In the order of the report, however late each came.
        for lead in level {
            if let Some(value) = arrived.remove(lead.name.as_str()) {
                self.put(lead.name.clone(), value)?;
            }
        }
        Ok(())
    }

    /// Keeps a resource with what is written inside it. Nothing inside may take another's place, and no result stand there
    /// unnamed.
    fn put(&mut self, name: String, value: Value) -> Result<(), Unfaithful> {
        for (at, inner) in items(&value, "contained") {
            let Some(id) = word(inner, "id") else {
                match word(inner, "resourceType") {
                    Some(OBSERVATION | SPECIMEN) => {
                        return Err(Unfaithful::at(&at, "is a result that nothing can name"));
                    }
                    Some(_) | None => continue,
                }
            };
            let inside = format!("{name}#{id}");
            if self.found.insert(inside.clone(), Found { value: inner.clone(), owner: name.clone() }).is_some() {
                return Err(Unfaithful::at(&at, "has the id of another beside it"));
            }
            self.order.push(inside);
        }
        self.order.push(name.clone());
        self.found.insert(name.clone(), Found { value, owner: name });
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Found> {
        self.found.get(name)
    }

    /// Every resource with its name, in the order of the report.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Found)> {
        self.order.iter().filter_map(|name| Some((name.as_str(), self.found.get(name)?)))
    }

    /// Everything that must be on the shelf because `name` is.
    fn leads_of(&self, name: &str, at: &str, base: &ServiceBase) -> Result<Vec<Lead>, Unfaithful> {
        let mut leads =
            if name == ROOT { self.leads(name, "result", at, base)? } else { self.leads(name, "hasMember", at, base)? };
        leads.extend(self.specimens(name, at, base)?);
        Ok(leads)
    }

    /// The results that `name` lists under `element`.
    pub(super) fn leads(
        &self,
        name: &str,
        element: &str,
        at: &str,
        base: &ServiceBase,
    ) -> Result<Vec<Lead>, Unfaithful> {
        let Some(found) = self.get(name) else { return Ok(Vec::new()) };
        pointers(&found.value, element, at, base).into_iter().map(|one| self.lead(one, OBSERVATION, found)).collect()
    }

    /// The specimens that `name` refers to; one that is named by words alone is none of these.
    pub(super) fn specimens(&self, name: &str, at: &str, base: &ServiceBase) -> Result<Vec<Lead>, Unfaithful> {
        let Some(found) = self.get(name) else { return Ok(Vec::new()) };
        let is_reference = |(_, one): &(String, &Value)| one.get("reference").is_some();
        let has: Vec<bool> = items(&found.value, "specimen").iter().map(is_reference).collect();
        let named = pointers(&found.value, "specimen", at, base).into_iter().zip(has);
        named.filter(|(_, is_reference)| *is_reference).map(|(one, _)| self.lead(one, SPECIMEN, found)).collect()
    }

    fn lead(&self, pointer: Pointer, kind: &'static str, holder: &Found) -> Result<Lead, Unfaithful> {
        let Pointer { at, kind: told, place } = pointer;
        match place {
            Place::Here(id) if told.as_deref() == Some(kind) => {
                Ok(Lead { at, name: format!("{kind}/{}", id.as_str()), target: Target::Ehr { kind, id } })
            }
            Place::Here(_) => Err(Unfaithful::at(&at, "is of a type that is not shown")),
            Place::Inside(id) => {
                let name = format!("{}#{id}", holder.owner);
                match self.get(&name).and_then(|inner| word(&inner.value, "resourceType")) {
                    Some(inner) if inner == kind => Ok(Lead { at, name, target: Target::Inside }),
                    Some(_) => Err(Unfaithful::at(&at, "is of a type that is not shown")),
                    None => Err(Unfaithful::at(&at, "is not inside the report, as it says")),
                }
            }
            Place::Away(_) => Err(Unfaithful::at(&at, "is on another server")),
            Place::Lost(why) => Err(Unfaithful(format!("{at} cannot be read: {}", lost(why)))),
        }
    }
}

const fn lost(why: Lack) -> &'static str {
    why.as_str()
}

async fn read_one(
    client: &EhrClient,
    lead: &Lead,
    (kind, id): (&'static str, &FhirId),
    bytes_left: &Mutex<usize>,
) -> Result<Value, NotFilled> {
    let limit_bytes = RESOURCE_BYTES_MAX.min(client.limits.resource_bytes_max);
    let body = match client.fetch(kind, id, limit_bytes).await {
        Ok(Fetched::Body { body, .. }) => body,
        Ok(Fetched::Gone(FhirBody::Yes)) => return Err(Unfaithful::at(&lead.at, "is no longer in the EHR").into()),
        Ok(Fetched::Gone(FhirBody::No)) => return Err(unread(&EhrError::NotFhir)),
        Err(error) => {
            return Err(match error.class() {
                FaultClass::Transient | FaultClass::Settings => unread(&error),
                FaultClass::Permanent => Unfaithful(format!("{} cannot be read: {error}", lead.at)).into(),
            });
        }
    };
    take(bytes_left, body.len()).map_err(|why| Unfaithful::at(&lead.at, why))?;
    let asked = id.clone();
    let read = apart(kind, move || read_resource(kind, &asked, &body)).await.and_then(|read| read);
    let value = read.map_err(|why| Unfaithful(format!("{} cannot be read: {why}", lead.at)))?;
    Ok(value)
}

fn unread(error: &EhrError) -> NotFilled {
    NotFilled::Unread { why: format!("a result of the report cannot be read: {error}") }
}

fn take(bytes_left: &Mutex<usize>, bytes: usize) -> Result<(), &'static str> {
    let mut left = bytes_left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *left = left.checked_sub(bytes).ok_or("makes the report larger than Chartseal writes")?;
    Ok(())
}

fn read_resource(kind: &'static str, asked: &FhirId, body: &[u8]) -> Result<Value, Malformed> {
    let mut value = parse_json(body)?;
    sanitise(&mut value);
    if word(&value, "resourceType") != Some(kind) {
        return Err(Malformed::new("resourceType", "is not the type that was asked for"));
    }
    if word(&value, "id") != Some(asked.as_str()) {
        return Err(Malformed::new(format!("{kind}.id"), "is not the id that was asked for"));
    }
    Ok(value)
}

/// Whether something in `value`, outside what is inside it, may change what it means.
pub(super) fn has_unknown_modifier(value: &Value) -> bool {
    static ANY: Schema = Schema { kind: "", fields: &[] };
    !unknown_modifiers(value, &ANY).is_empty()
}
