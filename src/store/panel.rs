//! The patients that an EHR is asked about one by one, and whose turn it is.
//!
//! Must stay true: whom a row names is sealed; the one that was asked about longest ago comes first. Whoever changes a row beyond
//! listing it holds the lease of the poll of its EHR and type.

use diesel::prelude::*;

use super::conn::{Conn, Tx};
use super::error::StoreError;
use super::looks::Look;
use super::prepared::Prepare as _;
use super::rows::{hash32, unsigned};
use super::schema::{look, panel_patient};
use crate::base::{EhrId, ResourceType, UtcMillis};

/// One patient of the panel.
#[derive(Clone)]
pub struct PanelPatient {
    pub index: [u8; 32],
    pub id_sealed: Vec<u8>,
    /// Everything of theirs up to here has been seen.
    pub watermark: UtcMillis,
    /// When they were last searched by the reports' own date.
    pub dated_at: UtcMillis,
    pub why: Option<String>,
}

/// A patient as a list names them.
pub struct Listed {
    pub index: [u8; 32],
    pub id_sealed: Vec<u8>,
    /// Where the first search begins.
    pub watermark: UtcMillis,
}

/// What is told of a panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelSummary {
    pub patients: u64,
    /// How many could not be asked about the last time.
    pub failing: u64,
    /// Everything of every patient up to here has been seen; `None` while the panel is empty.
    pub watermark: Option<UtcMillis>,
}

type Row = (Vec<u8>, Vec<u8>, i64, i64, Option<String>);

macro_rules! columns {
    () => {
        (
            panel_patient::patient_index,
            panel_patient::id_sealed,
            panel_patient::watermark,
            panel_patient::dated_at,
            panel_patient::why,
        )
    };
}

fn typed((index, id_sealed, watermark, dated_at, why): Row) -> Result<PanelPatient, StoreError> {
    Ok(PanelPatient {
        index: hash32("panel_patient.patient_index", &index)?,
        id_sealed,
        watermark: UtcMillis(watermark),
        dated_at: UtcMillis(dated_at),
        why,
    })
}

/// Notes that `listed` belongs to the panel; who is new is asked about first of all.
///
/// # Errors
/// [`StoreError`].
pub fn list_patient(
    tx: &mut Tx,
    ehr: &EhrId,
    kind: ResourceType,
    listed: &Listed,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let this = panel_patient::table.find((ehr.as_str(), kind.as_str(), listed.index.as_slice()));
    let known = diesel::update(this).set(panel_patient::listed_at.eq(now.0)).prepared().execute(tx.conn())?;
    if known == 1 {
        return Ok(());
    }
    tx.insert_unless_there(|conn| {
        diesel::insert_into(panel_patient::table)
            .values((
                panel_patient::ehr.eq(ehr.as_str()),
                panel_patient::kind.eq(kind.as_str()),
                panel_patient::patient_index.eq(listed.index.as_slice()),
                panel_patient::id_sealed.eq(listed.id_sealed.as_slice()),
                panel_patient::watermark.eq(listed.watermark.0),
                panel_patient::next_at.eq(now.0),
                panel_patient::listed_at.eq(now.0),
                panel_patient::dated_at.eq(now.0),
            ))
            .prepared()
            .execute(conn)
    })
}

/// Removes whom no list has named since `before`. Returns how many rows.
///
/// # Errors
/// [`StoreError`].
pub fn forget_unlisted(tx: &mut Tx, ehr: &EhrId, before: UtcMillis) -> Result<usize, StoreError> {
    let unlisted =
        panel_patient::table.filter(panel_patient::ehr.eq(ehr.as_str())).filter(panel_patient::listed_at.lt(before.0));
    Ok(diesel::delete(unlisted).prepared().execute(tx.conn())?)
}

/// Removes everybody: this EHR is searched over all patients, or again.
///
/// # Errors
/// [`StoreError`].
pub fn end_panel(tx: &mut Tx, ehr: &EhrId) -> Result<(), StoreError> {
    diesel::delete(panel_patient::table.filter(panel_patient::ehr.eq(ehr.as_str()))).prepared().execute(tx.conn())?;
    diesel::delete(look::table.find((ehr.as_str(), Look::Panel.to_string()))).prepared().execute(tx.conn())?;
    Ok(())
}

/// Up to `count` patients whose turn has come, the longest waiting first.
///
/// # Errors
/// [`StoreError`].
pub fn due_patients(
    conn: &mut Conn,
    ehr: &EhrId,
    kind: ResourceType,
    now: UtcMillis,
    count: i64,
) -> Result<Vec<PanelPatient>, StoreError> {
    let rows: Vec<Row> = panel_patient::table
        .filter(panel_patient::ehr.eq(ehr.as_str()))
        .filter(panel_patient::kind.eq(kind.as_str()))
        .filter(panel_patient::next_at.le(now.0))
        .order(panel_patient::next_at.asc())
        .limit(count)
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(typed).collect()
}

/// Up to `count` patients in the order of their index, after `after`.
///
/// # Errors
/// [`StoreError`].
pub fn next_patients(
    conn: &mut Conn,
    ehr: &EhrId,
    kind: ResourceType,
    after: Option<[u8; 32]>,
    count: i64,
) -> Result<Vec<PanelPatient>, StoreError> {
    let after = after.map(|index| index.to_vec()).unwrap_or_default();
    let rows: Vec<Row> = panel_patient::table
        .filter(panel_patient::ehr.eq(ehr.as_str()))
        .filter(panel_patient::kind.eq(kind.as_str()))
        .filter(panel_patient::patient_index.gt(after))
        .order(panel_patient::patient_index.asc())
        .limit(count)
        .select(columns!())
        .load(conn)?;
    rows.into_iter().map(typed).collect()
}

/// How asking about one patient ended.
pub struct PatientEnd {
    /// `Some`: the search was whole.
    pub watermark: Option<UtcMillis>,
    /// When they were searched by date, if that was done.
    pub dated_at: Option<UtcMillis>,
    pub next_at: UtcMillis,
    pub why: Option<String>,
}

/// # Errors
/// [`StoreError`].
pub fn settle_patient(
    tx: &mut Tx,
    ehr: &EhrId,
    kind: ResourceType,
    patient: &PanelPatient,
    end: &PatientEnd,
) -> Result<(), StoreError> {
    diesel::update(panel_patient::table.find((ehr.as_str(), kind.as_str(), patient.index.as_slice())))
        .set((
            panel_patient::watermark.eq(end.watermark.unwrap_or(patient.watermark).0),
            panel_patient::dated_at.eq(end.dated_at.unwrap_or(patient.dated_at).0),
            panel_patient::next_at.eq(end.next_at.0),
            panel_patient::why.eq(end.why.as_deref()),
        ))
        .prepared()
        .execute(tx.conn())?;
    Ok(())
}

/// # Errors
/// [`StoreError`].
pub fn panel_summary(conn: &mut Conn, ehr: &EhrId, kind: ResourceType) -> Result<PanelSummary, StoreError> {
    let of_panel = || {
        panel_patient::table.filter(panel_patient::ehr.eq(ehr.as_str())).filter(panel_patient::kind.eq(kind.as_str()))
    };
    let (patients, watermark): (i64, Option<i64>) =
        of_panel().select((diesel::dsl::count_star(), diesel::dsl::min(panel_patient::watermark))).first(conn)?;
    let failing: i64 = of_panel().filter(panel_patient::why.is_not_null()).count().get_result(conn)?;
    Ok(PanelSummary {
        patients: unsigned("panel_patient.count", patients)?,
        failing: unsigned("panel_patient.count", failing)?,
        watermark: watermark.map(UtcMillis),
    })
}
