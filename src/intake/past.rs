//! Reading the past, because a person asked for it: a little at a time, beside everything else, from where it was left.
//!
//! Must stay true: a backfill records and never sends by itself; what it makes due comes one by one, so that no fresh report waits
//! behind it; a step is counted once it is whole, and whoever repeats it changes nothing.

use std::time::Duration;

use super::hearing::{HearAs, Tally, Walked};
use super::patients::fails_for_all;
use super::poll::{PAGE_COUNT, wait_after};
use super::{HeardEhr, Intake, IntakeError, Seeks};
use crate::audit::{AuditEvent, Chain};
use crate::base::{ResourceType, UtcMillis, hours, millis, minutes};
use crate::fhir::{Sought, Window};
use crate::store::{self, LEASE, Past, PastRow, PastState, Reached};

/// So much of the past is searched at a time.
const SLICE: Duration = hours(24);
/// A backfilled report is read so long after the one before: five a second are well under what one EHR's workers read.
const BACKFILL_APART: Duration = millis(200);
/// What is read again by a person's word is waited for.
const AGAIN_APART: Duration = millis(50);
/// Calls that one reading makes, or somewhat fewer.
const CALLS_A_READING: u32 = 8;
/// Of the calls that an EHR allows, the past takes this part: one in so many.
const PART_OF_CALLS: u32 = 2;
/// Patients that are asked about in one step.
const PATIENTS_A_STEP: i64 = 20;
const SOME_FAIL: &str = "some patients of the panel could not be asked about and were left out";

/// How a step went.
enum Stepped {
    /// It is made; `None`: of this type there is nothing left.
    On {
        reached: Option<Reached>,
        /// Patients about whom nothing could be learnt.
        left_out: u64,
    },
    Fault {
        why: String,
        wait: Duration,
    },
}

impl Intake {
    pub(super) async fn past_turn(&self, ehr: &HeardEhr, what: Past) -> Result<usize, IntakeError> {
        let (id, now) = (ehr.client.id().clone(), self.clock.now());
        let asked = id.clone();
        if !self.store.read(move |conn| store::is_past_due(conn, &asked, now)).await? {
            return Ok(0);
        }
        let row = self.store.write(move |tx| store::lease_past(tx, &id, what, now, now.plus(LEASE))).await?;
        let Some(row) = row else { return Ok(0) };
        let renew = |held| {
            let until = self.clock.now().plus(LEASE);
            self.store.write(move |tx| store::renew_past(tx, held, until))
        };
        let stepped = store::while_kept(self.step(ehr, &row, now), row.clone(), self.renew_every, renew).await?;
        let Some(((stepped, tally), held)) = stepped else { return Ok(1) };
        let (after, apart) = (after(held, stepped, tally, now), apart(ehr, what));
        let after = match after.why {
            // No heap of work: what this step made due is read before the next one begins.
            None => PastRow {
                next_at: now.plus(apart.saturating_mul(u32::try_from(tally.due).unwrap_or(u32::MAX))),
                ..after
            },
            Some(_) => after,
        };
        self.store
            .write(move |tx| {
                if store::settle_past(tx, &after)? && after.state == PastState::Done {
                    let (what, seen, heard) = (after.what.as_str().to_owned(), after.seen, after.heard);
                    let event = AuditEvent::PastRead { what, seen, heard, left_out: after.left_out };
                    store::record(tx, Chain::Ehr(after.ehr.clone()), now, event)?;
                }
                Ok(())
            })
            .await?;
        Ok(1)
    }

    async fn step(&self, ehr: &HeardEhr, row: &PastRow, now: UtcMillis) -> Result<(Stepped, Tally), IntakeError> {
        match &ehr.seeks {
            Seeks::Everybody => self.step_by_time(ehr, row, now).await,
            Seeks::Patients(_) => self.step_by_patient(ehr, row, now).await,
        }
    }

    /// The next day of the past, or as much of it as the EHR shows at once.
    async fn step_by_time(
        &self,
        ehr: &HeardEhr,
        row: &PastRow,
        now: UtcMillis,
    ) -> Result<(Stepped, Tally), IntakeError> {
        let (kind, since) = (row.reached.kind, row.reached.at);
        let (mut until, mut tally) = (since.plus(SLICE).min(row.until), Tally::default());
        while until > since {
            let walk = ehr.client.walk(kind, Sought::Changed(Window { since, until }), PAGE_COUNT);
            let (walked, found) = self.hear_walk(ehr, kind, walk, hear_as(ehr, row.what), now).await?;
            // Of a walk that is repeated in parts, what it made due counts once: the parts find it known.
            tally.due += found.due;
            match walked {
                Walked::Whole { .. } => {
                    tally.seen += found.seen;
                    let reached = Reached { at: until, ..row.reached };
                    return Ok((on(Some(reached).filter(|_| until < row.until)), tally));
                }
                Walked::TooMuch => until = UtcMillis(i64::midpoint(since.0, until.0)),
                walked @ (Walked::Incomplete { .. } | Walked::Forgotten | Walked::Failed(_)) => {
                    return Ok((fault(walked, ehr), tally));
                }
            }
        }
        // Either there was nothing to read, or the shortest time there is holds more than is taken at once: that is no end.
        let is_over = since >= row.until;
        Ok((if is_over { on(None) } else { fault(Walked::TooMuch, ehr) }, tally))
    }

    async fn step_by_patient(
        &self,
        ehr: &HeardEhr,
        row: &PastRow,
        now: UtcMillis,
    ) -> Result<(Stepped, Tally), IntakeError> {
        let (id, kind, after) = (ehr.client.id().clone(), row.reached.kind, row.reached.patient);
        let patients =
            self.store.read(move |conn| store::next_patients(conn, &id, kind, after, PATIENTS_A_STEP)).await?;
        let (mut tally, mut left_out) = (Tally::default(), 0);
        for patient in &patients {
            let id = self.opened(ehr.client.id(), patient)?;
            let window = Window { since: row.since, until: row.until };
            let walk = ehr.client.walk(kind, Sought::ChangedOf(id, window), PAGE_COUNT);
            let (walked, found) = self.hear_walk(ehr, kind, walk, hear_as(ehr, row.what), now).await?;
            tally = Tally { seen: tally.seen + found.seen, due: tally.due + found.due };
            match walked {
                Walked::Whole { .. } => {}
                Walked::Failed(error) if fails_for_all(&error) => {
                    return Ok((fault(Walked::Failed(error), ehr), tally));
                }
                Walked::Incomplete { .. } | Walked::Forgotten | Walked::TooMuch | Walked::Failed(_) => {
                    tracing::warn!(ehr = %row.ehr, kind = %kind, what = row.what.as_str(), SOME_FAIL);
                    left_out += 1;
                }
            }
        }
        let reached = patients.last().map(|last| Reached { patient: Some(last.index), ..row.reached });
        Ok((Stepped::On { reached, left_out }, tally))
    }
}

const fn on(reached: Option<Reached>) -> Stepped {
    Stepped::On { reached, left_out: 0 }
}

fn fault(walked: Walked, ehr: &HeardEhr) -> Stepped {
    let (why, wait) = match walked {
        Walked::Whole { .. } | Walked::TooMuch => ("it shows more at once than is taken".to_owned(), ehr.poll_every),
        Walked::Incomplete { why } => (why.to_owned(), ehr.poll_every),
        Walked::Forgotten => ("the EHR forgot its page links".to_owned(), ehr.poll_every),
        Walked::Failed(error) => (error.to_string(), wait_after(&error, ehr)),
    };
    Stepped::Fault { why, wait }
}

/// Where the search stands after a step.
fn after(row: PastRow, stepped: Stepped, tally: Tally, now: UtcMillis) -> PastRow {
    let (seen, heard) = (row.seen + tally.seen, row.heard + tally.due);
    let row = PastRow { seen, heard, ..row };
    let (reached, left_out) = match stepped {
        Stepped::Fault { why, wait } => return PastRow { why: Some(why), next_at: now.plus(wait), ..row },
        Stepped::On { reached, left_out } => (reached, row.left_out + left_out),
    };
    let row = PastRow { why: None, left_out, ..row };
    match (reached, row.reached.kind) {
        (Some(reached), _) => PastRow { reached, ..row },
        (None, ResourceType::DiagnosticReport) => {
            let reached = Reached { kind: ResourceType::DocumentReference, at: row.since, patient: None };
            PastRow { reached, ..row }
        }
        (None, ResourceType::DocumentReference) => {
            let reached = Reached { at: row.until, ..row.reached };
            PastRow { reached, state: PastState::Done, ended_at: Some(now), ..row }
        }
    }
}

/// Slowly enough for fresh reports to find their turn, also where calls are few.
fn apart(ehr: &HeardEhr, what: Past) -> Duration {
    let usual = match what {
        Past::Backfill => BACKFILL_APART,
        Past::ListenAgain => AGAIN_APART,
    };
    let a_reading = |calls: std::num::NonZeroU32| minutes(1) * (CALLS_A_READING * PART_OF_CALLS) / calls.get();
    ehr.client.calls_per_minute().map_or(usual, |calls| usual.max(a_reading(calls)))
}

fn hear_as(ehr: &HeardEhr, what: Past) -> HearAs {
    match what {
        Past::Backfill => HearAs::Past { apart: apart(ehr, what) },
        Past::ListenAgain => HearAs::Again { apart: apart(ehr, what) },
    }
}
