//! A Task of ours, as it stands at the EHR.
//!
//! Must stay true: what is not certainly ours, or was turned into something else, is never taken for an answer.

use serde_json::Value;

use super::Telling;
use super::resources::{TASK_END_SYSTEM, TO_DO_SYSTEM, TOLD_SYSTEM};
use crate::base::VersionId;
use crate::fhir::offers::{items, text};
use crate::record::ToDo;

/// The word by which a clinician may say in `businessStatus` that the talk took place.
pub const DISCUSSED: &str = "discussed";

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Somebody is still to end it.
    Open,
    Completed,
    /// Somebody will not do it.
    TurnedDown,
    /// It was a mistake.
    EnteredInError,
    /// A word of no release that is known here.
    Unclear,
}

impl TaskState {
    fn named(status: &str) -> Self {
        match status {
            "draft" | "requested" | "received" | "accepted" | "ready" | "in-progress" | "on-hold" => Self::Open,
            "completed" => Self::Completed,
            "cancelled" | "rejected" | "failed" => Self::TurnedDown,
            "entered-in-error" => Self::EnteredInError,
            _ => Self::Unclear,
        }
    }
}

/// What the Task says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSaid {
    pub state: TaskState,
    /// `Practitioner/7` or `PractitionerRole/7`: the person who has it, where that is one.
    pub practitioner: Option<String>,
    pub end: TaskEnd,
    /// Whether it still is about what it was written for.
    pub stands: TaskStands,
    pub(super) version: Option<VersionId>,
}

/// What `businessStatus` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    Unsaid,
    Discussed,
    /// Anything else; whose word it is, is not looked at.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStands {
    AsWritten,
    /// It has another patient, report, code or identifier.
    Changed,
}

impl TaskSaid {
    /// `resource` is what the EHR gave for the id under which `telling` was written.
    pub(super) fn read(resource: &Value, telling: &Telling<'_>, to_do: ToDo) -> Self {
        let coded = |member: &Value, system: &str, code: &str| {
            items(member, "coding").any(|one| text(one, "system") == Some(system) && text(one, "code") == Some(code))
        };
        let null = Value::Null;
        let member = |name: &str| resource.get(name).unwrap_or(&null);
        let is_ours = items(resource, "identifier")
            .any(|one| text(one, "system") == Some(TOLD_SYSTEM) && text(one, "value") == Some(telling.id.as_str()));
        let refers = |name: &str, wanted: &str| {
            let reference = text(member(name), "reference").map(|found| telling.base.relative(found));
            // A server may leave out the version, or keep the whole address.
            let bare = |reference: &str| reference.split("/_history/").next().unwrap_or_default().to_owned();
            reference.is_some_and(|found| bare(found) == bare(wanted))
        };
        let has_patient = telling.patient.is_none_or(|patient| refers("for", &format!("Patient/{patient}")));
        let has_focus = telling.about.first().is_none_or(|report| refers("focus", report))
            || member("focus").get("identifier").is_some() && to_do == ToDo::ReadThenTakenBack;
        let stands = is_ours
            && text(resource, "resourceType") == Some("Task")
            && has_patient
            && has_focus
            && coded(member("code"), TO_DO_SYSTEM, to_do.as_str());
        let business = member("businessStatus");
        let end = if business.is_null() {
            TaskEnd::Unsaid
        } else if coded(business, TASK_END_SYSTEM, DISCUSSED) || text(business, "text") == Some(DISCUSSED) {
            TaskEnd::Discussed
        } else {
            TaskEnd::Other
        };
        let owner = text(member("owner"), "reference").map(|found| telling.base.relative(found));
        Self {
            state: TaskState::named(text(resource, "status").unwrap_or_default()),
            practitioner: owner.filter(|owner| is_practitioner(owner)).map(str::to_owned),
            end,
            stands: if stands { TaskStands::AsWritten } else { TaskStands::Changed },
            version: text(member("meta"), "versionId").and_then(|version| VersionId::parse(version).ok()),
        }
    }
}

fn is_practitioner(reference: &str) -> bool {
    crate::fhir::service::split_reference(reference)
        .is_some_and(|(kind, _, version)| matches!(kind, "Practitioner" | "PractitionerRole") && version.is_none())
}
