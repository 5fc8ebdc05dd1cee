//! What tells that two resources are one document: the file that they deliver, or that one names the other.
//!
//! Must stay true: only a file that would be delivered alone counts, never one beside it: a leaflet that lies in every report
//! makes no two of them the same; bytes are told by digests alone.

use serde_json::Value;

use super::gather::{items, word};
use super::identity::Form;
use super::report::{AttachmentSource, Relation, RelationCode};
use super::service::{ServiceBase, Target};
use crate::base::{FhirId, ResourceType};

/// So many resources that a document says it belongs to are looked at.
const RELATED_MAX: usize = 20;

/// One mark of a document. May hold an address of the EHR: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Likeness {
    /// Of the bytes, which were in the resource.
    Sha256([u8; 32]),
    /// Of the bytes, or as declared.
    Sha1([u8; 20]),
    /// Where the bytes are, where that alone says which.
    Address(String),
    /// The resource itself, as another may name it.
    Itself(String),
    /// It is that resource in another form, or signs it.
    Restates(String),
    /// It belongs to that resource, whose file may be another all the same.
    BelongsTo(String),
}

/// What a report may be recognised by, besides what it says that it belongs to.
pub(super) fn likenesses(
    (kind, id): (ResourceType, &FhirId),
    alone: Option<&Form>,
    relates_to: &[Relation],
    base: &ServiceBase,
) -> Vec<Likeness> {
    let mut found = vec![Likeness::Itself(format!("{kind}/{id}"))];
    if let Some(form) = alone {
        of_file(form, base, &mut found);
    }
    for relation in relates_to {
        match (&relation.code, &relation.target) {
            (RelationCode::Transforms | RelationCode::Signs, Some(target)) => {
                found.push(Likeness::Restates(format!("{}/{target}", ResourceType::DocumentReference)));
            }
            (
                RelationCode::Replaces
                | RelationCode::Transforms
                | RelationCode::Signs
                | RelationCode::Appends
                | RelationCode::Unrecognised,
                _,
            ) => {}
        }
    }
    found
}

fn of_file(form: &Form, base: &ServiceBase, found: &mut Vec<Likeness>) {
    match &form.reference.source {
        AttachmentSource::Inline(_) => {
            if let Some((sha256, sha1)) = form.digests() {
                found.extend([Likeness::Sha256(sha256), Likeness::Sha1(sha1)]);
            }
        }
        AttachmentSource::Url(url) => {
            let asked_for = url.expose().split('#').next().unwrap_or_default();
            let (address, query) = asked_for.split_once('?').unwrap_or((asked_for, ""));
            match base.target(address) {
                // One report's attachment may be another report.
                Target::Here { kind: kind @ ("DocumentReference" | "DiagnosticReport"), id } => {
                    found.push(Likeness::Restates(format!("{kind}/{id}")));
                }
                // The query may name the file, and all files of a patient lie at one address. Or it is a token of this reading
                // alone. The bytes tell, when they are fetched.
                Target::Here { .. } | Target::Contained | Target::Elsewhere | Target::Unclear if !query.is_empty() => {}
                // With its version, where it has one: another version may be another file.
                Target::Here { .. } => found.push(Likeness::Address(base.relative(address).to_owned())),
                Target::Contained | Target::Elsewhere | Target::Unclear => {
                    found.push(Likeness::Address(address.to_owned()));
                }
            }
            found.extend(form.reference.sha1.map(Likeness::Sha1));
        }
        AttachmentSource::Absent => {}
    }
}

/// The reports that a document says it belongs to: `context.related` of R4. R5 has it elsewhere, and is not asked.
pub(super) fn related(kind: ResourceType, value: &Value, base: &ServiceBase) -> Vec<Likeness> {
    match kind {
        ResourceType::DocumentReference => {}
        ResourceType::DiagnosticReport => return Vec::new(),
    }
    let Some(context) = value.get("context").filter(|context| context.is_object()) else { return Vec::new() };
    let named = items(context, "related").into_iter().take(RELATED_MAX).filter_map(|(_, one)| word(one, "reference"));
    let reports = named.filter_map(|reference| match base.target(reference) {
        Target::Here { kind: "DiagnosticReport", id } => {
            Some(Likeness::BelongsTo(format!("{}/{id}", ResourceType::DiagnosticReport)))
        }
        Target::Here { .. } | Target::Contained | Target::Elsewhere | Target::Unclear => None,
    });
    reports.collect()
}
