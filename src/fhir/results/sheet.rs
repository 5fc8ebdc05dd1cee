//! From the resources to the paper: panels become tables, their panels become groups.
//!
//! Must stay true: every result that the report names stands on the paper, in the report's order; a member of a panel stands
//! inside it and nothing else does; panels that a reader could not tell apart, or one that holds itself, make no paper; rows are
//! bounded.

use std::collections::HashSet;

use super::observation::{self, Around, Seen};
use super::overview::{self, Overview};
use super::shelf::{Found, Lead, OBSERVATION, ROOT, Shelf};
use super::specimen;
use super::strict::Unfaithful;
use crate::base::{FhirId, VersionId};
use crate::fhir::gather::word;
use crate::fhir::service::ServiceBase;
use crate::paper::{Fact, Group, Paper, Row, Said, Section, Told};

/// Results of one document: a member of two panels stands in both.
const ROWS_MAX: usize = 2000;

pub(super) fn paper(
    shelf: &Shelf,
    patient: &FhirId,
    base: &ServiceBase,
    version: Option<&VersionId>,
) -> Result<Paper, Unfaithful> {
    let report = shelf.get(ROOT).ok_or_else(|| Unfaithful("the report was not read".to_owned()))?;
    let overview = overview::read(&report.value)?;
    let specimens = specimen::facts(shelf, ROOT, "", patient, base)?;
    let around = Around {
        shelf,
        patient,
        base,
        effective: overview.effective.clone(),
        specimens: specimens.clone(),
        performers: overview.performers.clone(),
    };
    let sections = Sheet::of(&around)?;
    let about = overview.about(&specimens);
    let Overview { title, standing, conclusion, .. } = overview;
    Ok(Paper { title, standing, about, sections, conclusion, sources: sources(shelf, version) })
}

/// What it was made of, for whoever must know whether anything of it changed.
fn sources(shelf: &Shelf, version: Option<&VersionId>) -> Vec<(String, Option<String>)> {
    let alone = shelf.all().filter(|(name, found)| *name == found.owner);
    let version_of = |name: &str, found: &Found| {
        let own = found.value.get("meta").and_then(|meta| word(meta, "versionId"));
        if name == ROOT { version.map(ToString::to_string) } else { own.map(str::to_owned) }
    };
    alone.map(|(name, found)| (name.to_owned(), version_of(name, found))).collect()
}

struct Sheet<'a> {
    around: &'a Around<'a>,
    sections: Vec<Section>,
    /// Results that stand on the paper.
    placed: HashSet<String>,
    rows_left: usize,
}

/// The panels that stand beside each other, by all that a reader sees of each before its rows.
#[derive(Default)]
struct Beside(Vec<(Said, Option<Told>, Vec<Fact>)>);

impl Beside {
    /// Two cultures' susceptibilities under one name, say: nobody could tell which is whose.
    fn add(&mut self, panel: &Seen, at: &str) -> Result<(), Unfaithful> {
        let seen = (panel.name.clone(), panel.value.clone(), panel.facts.clone());
        if self.0.contains(&seen) {
            return Err(Unfaithful::at(at, "is a panel like another beside it, and nothing tells them apart"));
        }
        self.0.push(seen);
        Ok(())
    }
}

/// Where the rows of a panel go.
enum Open {
    /// Behind the last one: nothing came between.
    Here,
    /// Another panel stands there now.
    Anew,
}

impl<'a> Sheet<'a> {
    fn of(around: &'a Around<'a>) -> Result<Vec<Section>, Unfaithful> {
        let results = around.shelf.leads(ROOT, "result", "", around.base)?;
        let members = members(around)?;
        let mut sheet = Self { around, sections: Vec::new(), placed: HashSet::new(), rows_left: ROWS_MAX };
        let mut beside = Beside::default();
        for lead in &results {
            if !members.contains(&lead.name) && !sheet.placed.contains(&lead.name) {
                sheet.add_result(lead, &mut beside)?;
            }
        }
        // Each of a circle of panels is a member of another.
        if let Some(lead) = results.iter().find(|lead| !sheet.placed.contains(&lead.name)) {
            return Err(Unfaithful::at(&lead.at, "is a panel that holds itself"));
        }
        let is_left_out = |(name, found): (&str, &Found)| {
            word(&found.value, "resourceType") == Some(OBSERVATION) && !sheet.placed.contains(name)
        };
        if around.shelf.all().any(is_left_out) {
            return Err(Unfaithful("the report holds a result that nothing names".to_owned()));
        }
        Ok(sheet.sections)
    }

    fn add_result(&mut self, lead: &Lead, beside: &mut Beside) -> Result<(), Unfaithful> {
        let seen = observation::read(self.around, &lead.name, &lead.at)?;
        self.placed.insert(lead.name.clone());
        if seen.is_single() {
            let row = self.row(seen, &lead.at)?;
            if let Some(Section { name: None, groups }) = self.sections.last_mut()
                && let Some(group) = groups.last_mut()
            {
                group.rows.push(row);
            } else {
                let group = Group { path: Vec::new(), facts: Vec::new(), rows: vec![row] };
                self.sections.push(Section { name: None, groups: vec![group] });
            }
            return Ok(());
        }
        beside.add(&seen, &lead.at)?;
        let name = seen.name.clone();
        let mut groups = Vec::new();
        self.add_panel(seen, &lead.at, &[], &mut vec![lead.name.clone()], &mut groups)?;
        groups.retain(|group| !group.facts.is_empty() || !group.rows.is_empty());
        self.sections.push(Section { name: Some(name), groups });
        Ok(())
    }

    /// `trail`: the panels around it, and itself.
    fn add_panel(
        &mut self,
        panel: Seen,
        at: &str,
        path: &[Said],
        trail: &mut Vec<String>,
        groups: &mut Vec<Group>,
    ) -> Result<(), Unfaithful> {
        self.take_rows(panel.components.len() + 1, at)?;
        let (panel, parts, leads) = parted(panel);
        let heading = if path.is_empty() { vec![panel.name.clone()] } else { path.to_vec() };
        let (own, facts) = panel.into_row();
        groups.push(Group { path: path.to_vec(), facts, rows: own.into_iter().chain(parts).collect() });
        let (mut open, mut beside) = (Open::Here, Beside::default());
        for lead in leads {
            if trail.contains(&lead.name) {
                return Err(Unfaithful::at(&lead.at, "is a panel that holds itself"));
            }
            let seen = observation::read(self.around, &lead.name, &lead.at)?;
            self.placed.insert(lead.name.clone());
            if seen.is_single() {
                let row = self.row(seen, &lead.at)?;
                let group = match open {
                    Open::Here => groups.pop(),
                    Open::Anew => None,
                };
                // Behind another panel it says again whose rows these are.
                let group =
                    group.unwrap_or_else(|| Group { path: heading.clone(), facts: Vec::new(), rows: Vec::new() });
                groups.push(with_row(group, row));
                open = Open::Here;
            } else {
                beside.add(&seen, &lead.at)?;
                open = Open::Anew;
                let inner: Vec<_> = path.iter().cloned().chain([seen.name.clone()]).collect();
                trail.push(lead.name.clone());
                self.add_panel(seen, &lead.at, &inner, trail, groups)?;
                trail.pop();
            }
        }
        Ok(())
    }

    fn row(&mut self, seen: Seen, at: &str) -> Result<Row, Unfaithful> {
        self.take_rows(1, at)?;
        seen.into_row().0.ok_or_else(|| Unfaithful::at(at, "has no value, and does not say why"))
    }

    fn take_rows(&mut self, rows: usize, at: &str) -> Result<(), Unfaithful> {
        let left = self.rows_left.checked_sub(rows);
        self.rows_left = left.ok_or_else(|| Unfaithful::at(at, "makes the report longer than Chartseal writes"))?;
        Ok(())
    }
}

/// A panel apart from what it holds.
fn parted(mut panel: Seen) -> (Seen, Vec<Row>, Vec<Lead>) {
    let (parts, leads) = (std::mem::take(&mut panel.components), std::mem::take(&mut panel.members));
    (panel, parts, leads)
}

fn with_row(mut group: Group, row: Row) -> Group {
    group.rows.push(row);
    group
}

/// Every result that is a member of another.
fn members(around: &Around<'_>) -> Result<HashSet<String>, Unfaithful> {
    let mut members = HashSet::new();
    for (name, found) in around.shelf.all() {
        if word(&found.value, "resourceType") == Some(OBSERVATION) {
            let leads = around.shelf.leads(name, "hasMember", name, around.base)?;
            members.extend(leads.into_iter().map(|lead| lead.name));
        }
    }
    Ok(members)
}
