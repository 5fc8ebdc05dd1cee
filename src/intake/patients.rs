//! Polling one patient after the other, where an EHR refuses searches over all.
//!
//! Must stay true: who was asked about longest ago comes first; a patient about whom the EHR cannot be asked keeps nobody else
//! waiting; an EHR that fails altogether is left alone, not asked about everybody in vain.

use std::time::Duration;

use futures_util::future::join_all;

use super::hearing::{HearAs, Walked};
use super::listing::{Panel, place_of};
use super::poll::{OVERLAP, PAGE_COUNT, seen_until, until, wait_after};
use super::{HeardEhr, Intake, IntakeError};
use crate::base::{EhrId, FhirId, UtcMillis, minutes};
use crate::fhir::{EhrError, FaultClass, Sought, Window};
use crate::keys::VaultError;
use crate::sealing::Purpose;
use crate::store::{self, PanelPatient, PatientEnd, PollEnd, PollRow};

/// Patients that one turn asks about.
const PATIENTS_A_TURN: usize = 20;
/// Of those, so many at the same time.
const AT_ONCE: usize = 4;
/// How soon it is looked again whether somebody's turn has come.
const LOOK_EVERY: Duration = minutes(1);
const EMPTY: &str = "its patient panel is empty: nobody is asked about";
const SOME_FAIL: &str = "some patients of the panel could not be asked about";

/// How asking about one patient went.
struct Asked {
    end: PatientEnd,
    /// The EHR itself fails, not this patient.
    ehr_fails: Option<EhrError>,
}

impl Intake {
    pub(super) async fn poll_patients(
        &self,
        ehr: &HeardEhr,
        panel: &Panel,
        row: &PollRow,
        now: UtcMillis,
    ) -> Result<PollEnd, IntakeError> {
        let (id, kind) = (ehr.client.id().clone(), row.kind);
        let due =
            self.store.read(move |conn| store::due_patients(conn, &id, kind, now, as_count(PATIENTS_A_TURN))).await?;
        let (count, mut failing) = (due.len(), 0);
        for batch in due.chunks(AT_ONCE) {
            let asked = join_all(batch.iter().map(|patient| self.ask_about(ehr, row, patient, now))).await;
            let mut ehr_fails = None;
            for (patient, asked) in batch.iter().zip(asked) {
                let Asked { end, ehr_fails: fails } = asked?;
                failing += usize::from(end.why.is_some());
                ehr_fails = ehr_fails.or(fails);
                let (id, patient) = (ehr.client.id().clone(), patient.clone());
                self.store.write(move |tx| store::settle_patient(tx, &id, kind, &patient, &end)).await?;
            }
            if let Some(error) = ehr_fails {
                return self.fault(row, error.to_string(), now.plus(wait_after(&error, ehr)), now).await;
            }
        }
        if failing > 0 && failing == count {
            return self.fault(row, SOME_FAIL.to_owned(), now.plus(ehr.poll_every), now).await;
        }
        self.conclude_turn(ehr, panel, row, count, now).await
    }

    /// Everything of everybody has been seen up to where the one is who waited longest.
    async fn conclude_turn(
        &self,
        ehr: &HeardEhr,
        panel: &Panel,
        row: &PollRow,
        count: usize,
        now: UtcMillis,
    ) -> Result<PollEnd, IntakeError> {
        let (id, kind) = (ehr.client.id().clone(), row.kind);
        let summary = self.store.read(move |conn| store::panel_summary(conn, &id, kind)).await?;
        let soon = now.plus(ehr.poll_every.min(LOOK_EVERY).min(panel.refresh_every));
        if summary.patients == 0 {
            return self.fault(row, EMPTY.to_owned(), soon, now).await;
        }
        // More may wait.
        let next_at = if count == PATIENTS_A_TURN { now } else { soon };
        let why =
            if summary.failing > 0 { self.fault(row, SOME_FAIL.to_owned(), next_at, now).await?.why } else { None };
        Ok(PollEnd { watermark: summary.watermark, next_at, why })
    }

    async fn ask_about(
        &self,
        ehr: &HeardEhr,
        row: &PollRow,
        patient: &PanelPatient,
        now: UtcMillis,
    ) -> Result<Asked, IntakeError> {
        let id = self.opened(ehr.client.id(), patient)?;
        let (since, until) = (patient.watermark.minus(OVERLAP), until(row, now));
        let sought = Sought::ChangedOf(id.clone(), Window { since, until });
        let mut walk = ehr.client.walk(row.kind, sought, PAGE_COUNT);
        let first = walk.step().await;
        self.begin_by_their_clock(row, walk.server_date(), now).await?;
        let walked = self.hear_on(ehr, row.kind, &mut walk, first, HearAs::Changed, now).await?.0;
        if let Some(theirs) = walk.server_date() {
            self.compare_clocks(row, theirs, now).await?;
        }
        let next_at = now.plus(ehr.poll_every);
        let date = match walked {
            Walked::Whole { date } => date,
            walked => return Ok(Asked::in_vain(walked, next_at)),
        };
        let watermark = Some(seen_until(patient.watermark, date, until, now));
        let mut end = PatientEnd { watermark, dated_at: None, next_at, why: None };
        if ehr.by_date_every > Duration::ZERO && now.since(patient.dated_at) >= ehr.by_date_every {
            self.ask_by_date(ehr, row, id, &mut end, now).await?;
        }
        Ok(Asked { end, ehr_fails: None })
    }

    /// What it finds is a gain, and what it does not find costs nothing but another try: an EHR need not offer it.
    async fn ask_by_date(
        &self,
        ehr: &HeardEhr,
        row: &PollRow,
        id: FhirId,
        end: &mut PatientEnd,
        now: UtcMillis,
    ) -> Result<(), IntakeError> {
        let Ok(sought) = self.sought_by_date(ehr, row.kind, Some(id), now).await? else { return Ok(()) };
        let walk = ehr.client.walk(row.kind, sought, PAGE_COUNT);
        match self.hear_walk(ehr, row.kind, walk, HearAs::Shown, now).await?.0 {
            Walked::Whole { .. } | Walked::Failed(EhrError::Rejected { .. }) => end.dated_at = Some(now),
            Walked::Incomplete { .. } | Walked::Forgotten | Walked::TooMuch | Walked::Failed(_) => {}
        }
        Ok(())
    }

    pub(super) fn opened(&self, ehr: &EhrId, patient: &PanelPatient) -> Result<FhirId, IntakeError> {
        let place = place_of(ehr, &patient.index);
        let id = self.vault.open_record(Purpose::Record, &place, &patient.id_sealed)?;
        let id = std::str::from_utf8(&id).ok().and_then(|id| FhirId::parse(id).ok());
        Ok(id.ok_or(VaultError::NotOurs)?)
    }
}

impl Asked {
    fn in_vain(walked: Walked, next_at: UtcMillis) -> Self {
        let (why, ehr_fails) = match walked {
            Walked::Whole { .. } => (None, None),
            Walked::Incomplete { why } => (Some(why.to_owned()), None),
            Walked::Forgotten => (Some("the EHR forgot its page links".to_owned()), None),
            Walked::TooMuch => (Some("there is more of this patient than is taken at once".to_owned()), None),
            Walked::Failed(error) => (Some(error.to_string()), Some(error).filter(fails_for_all)),
        };
        Self { end: PatientEnd { watermark: None, dated_at: None, next_at, why }, ehr_fails }
    }
}

/// Whether the next patient would fare no better. A server may well fail of one patient alone, and keep some records to itself.
pub(super) fn fails_for_all(error: &EhrError) -> bool {
    let is_of_one = matches!(error, EhrError::Server { .. } | EhrError::CutShort | EhrError::Refused { status: 403 });
    match error.class() {
        FaultClass::Transient | FaultClass::Settings => !is_of_one,
        FaultClass::Permanent => false,
    }
}

fn as_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
