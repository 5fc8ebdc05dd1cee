//! The elements that Chartseal reads, and nothing else: the allow-list of the gate.

use super::project::{Field, Kind, Schema, many, optional, required};
use crate::base::ResourceType;

const CODING: &[Field] = &[optional("system", Kind::Text), optional("code", Kind::Text)];
const CONCEPT: &[Field] = &[many("coding", Kind::Group(CODING))];
const META: &[Field] = &[
    optional("versionId", Kind::VersionId),
    optional("lastUpdated", Kind::Instant),
    many("security", Kind::Group(CODING)),
];
const IDENTIFIER: &[Field] = &[optional("value", Kind::Text)];
const REFERENCE: &[Field] = &[
    optional("reference", Kind::Text),
    optional("identifier", Kind::Group(IDENTIFIER)),
    optional("display", Kind::Text),
];
/// A reference of which nothing is used but where it leads.
const LEAD: &[Field] = &[optional("reference", Kind::Text)];
const ATTACHMENT: &[Field] = &[
    optional("contentType", Kind::Text),
    optional("language", Kind::Text),
    optional("title", Kind::Text),
    optional("data", Kind::Base64),
    optional("url", Kind::Text),
    optional("size", Kind::UnsignedInt),
    optional("hash", Kind::Digest(20)),
];
const CONTENT: &[Field] = &[optional("attachment", Kind::Group(ATTACHMENT))];
const RELATES_TO: &[Field] = &[optional("code", Kind::Text), optional("target", Kind::Group(REFERENCE))];

static DIAGNOSTIC_REPORT: Schema = Schema {
    kind: "DiagnosticReport",
    fields: &[
        required("id", Kind::Id),
        optional("meta", Kind::Group(META)),
        optional("status", Kind::Text),
        many("category", Kind::Group(CONCEPT)),
        optional("code", Kind::Group(CONCEPT)),
        optional("subject", Kind::Group(REFERENCE)),
        optional("issued", Kind::Instant),
        many("performer", Kind::Group(LEAD)),
        many("result", Kind::Group(LEAD)),
        optional("conclusion", Kind::Text),
        many("conclusionCode", Kind::Group(CONCEPT)),
        many("presentedForm", Kind::Group(ATTACHMENT)),
    ],
};

static DOCUMENT_REFERENCE: Schema = Schema {
    kind: "DocumentReference",
    fields: &[
        required("id", Kind::Id),
        optional("meta", Kind::Group(META)),
        optional("status", Kind::Text),
        optional("docStatus", Kind::Text),
        optional("type", Kind::Group(CONCEPT)),
        many("category", Kind::Group(CONCEPT)),
        optional("subject", Kind::Group(REFERENCE)),
        optional("date", Kind::Instant),
        many("author", Kind::Group(LEAD)),
        optional("custodian", Kind::Group(LEAD)),
        many("relatesTo", Kind::Group(RELATES_TO)),
        many("securityLabel", Kind::Group(CONCEPT)),
        many("content", Kind::Group(CONTENT)),
    ],
};

static DIAGNOSTIC_REPORT_STATUS: Schema =
    Schema { kind: "DiagnosticReport", fields: &[required("id", Kind::Id), optional("status", Kind::Text)] };

static DOCUMENT_REFERENCE_STATUS: Schema = Schema {
    kind: "DocumentReference",
    fields: &[required("id", Kind::Id), optional("status", Kind::Text), optional("docStatus", Kind::Text)],
};

const PERIOD: &[Field] = &[optional("start", Kind::DateTime), optional("end", Kind::DateTime)];
const TELECOM: &[Field] = &[
    optional("system", Kind::Text),
    optional("value", Kind::Text),
    optional("use", Kind::Text),
    optional("rank", Kind::PositiveInt),
    optional("period", Kind::Group(PERIOD)),
];
const COMMUNICATION: &[Field] = &[optional("language", Kind::Group(CONCEPT)), optional("preferred", Kind::Boolean)];
const LINK: &[Field] = &[optional("other", Kind::Group(REFERENCE)), optional("type", Kind::Text)];

pub(super) static PATIENT: Schema = Schema {
    kind: "Patient",
    fields: &[
        required("id", Kind::Id),
        optional("meta", Kind::Group(META)),
        optional("active", Kind::Boolean),
        many("telecom", Kind::Group(TELECOM)),
        optional("deceasedBoolean", Kind::Boolean),
        optional("deceasedDateTime", Kind::DateTime),
        many("communication", Kind::Group(COMMUNICATION)),
        many("link", Kind::Group(LINK)),
    ],
};

pub(super) fn report(kind: ResourceType) -> &'static Schema {
    match kind {
        ResourceType::DiagnosticReport => &DIAGNOSTIC_REPORT,
        ResourceType::DocumentReference => &DOCUMENT_REFERENCE,
    }
}

/// Just enough to see that a report was taken back, when the rest of it cannot be read.
pub(super) fn report_status(kind: ResourceType) -> &'static Schema {
    match kind {
        ResourceType::DiagnosticReport => &DIAGNOSTIC_REPORT_STATUS,
        ResourceType::DocumentReference => &DOCUMENT_REFERENCE_STATUS,
    }
}
