//! Polling: what makes sure that nothing is missed, whatever the hooks do.

use std::num::NonZeroU16;
use std::time::Duration;

use super::hearing::{HearAs, Walked};
use super::{HeardEhr, Intake, IntakeError, Seeks};
use crate::audit::{AuditEvent, Chain};
use crate::base::{ResourceType, UtcMillis, hours, minutes};
use crate::fhir::{EhrError, SEARCH_CLOCK_DRIFT, SEARCH_COMMIT_LAG, Sought, Window};
use crate::store::{self, Beginning, CLOCK_OFF_MAX, LEASE, PollEnd, PollRow};

/// How far before the watermark each search reaches back: a transaction may commit late with an early time.
pub(super) const OVERLAP: Duration = minutes(10);
/// How far ahead of our clock a server's may be and still have its newest resources found.
const AHEAD: Duration = hours(1);
/// How far back the EHR's clock may lead a beginning or a watermark. More than any mistake about zones; a clock that died
/// would lead to everything there ever was.
const BACK_MAX: Duration = hours(24);
pub(super) const FORGOTTEN: &str = "the EHR forgot its page links; the search begins again";
pub(super) const PAGE_COUNT: NonZeroU16 = NonZeroU16::MIN.saturating_add(199);

impl Intake {
    pub(super) async fn poll_turn(&self, ehr: &HeardEhr, kind: ResourceType) -> Result<usize, IntakeError> {
        let (id, now) = (ehr.client.id().clone(), self.clock.now());
        let row = self.store.write(move |tx| store::lease_poll(tx, &id, kind, now, now.plus(LEASE))).await?;
        let Some(row) = row else { return Ok(0) };
        let renew = |held| {
            let until = self.clock.now().plus(LEASE);
            self.store.write(move |tx| store::renew_poll(tx, held, until))
        };
        let poll = async {
            match &ehr.seeks {
                Seeks::Everybody => self.poll(ehr, &row, now).await,
                Seeks::Patients(panel) => self.poll_patients(ehr, panel, &row, now).await,
            }
        };
        // A walk may take longer than any one lease, and what it heard of stands.
        let polled = store::while_kept(poll, row.clone(), self.renew_every, renew).await?;
        if let Some((end, row)) = polled {
            self.store.write(move |tx| store::settle_poll(tx, &row, &end, now)).await?;
        }
        Ok(1)
    }

    async fn poll(&self, ehr: &HeardEhr, row: &PollRow, now: UtcMillis) -> Result<PollEnd, IntakeError> {
        let since = row.watermark.minus(OVERLAP).max(row.search_from.unwrap_or(row.started_at));
        let until = until(row, now);
        let seek = |since| ehr.client.walk(row.kind, Sought::Changed(Window { since, until }), PAGE_COUNT);
        let mut walk = seek(since);
        let mut first = walk.step().await;
        if let Some(since) = self.begin_by_their_clock(row, walk.server_date(), now).await? {
            walk = seek(since);
            first = walk.step().await;
        }
        let walked = self.hear_on(ehr, row.kind, &mut walk, first, HearAs::Changed, now).await?.0;
        if let Some(theirs) = walk.server_date() {
            self.compare_clocks(row, theirs, now).await?;
        }
        let next_at = now.plus(ehr.poll_every);
        match walked {
            Walked::Whole { date } => {
                Ok(PollEnd { watermark: Some(seen_until(row.watermark, date, until, now)), next_at, why: None })
            }
            Walked::Incomplete { why } => self.fault(row, why.to_owned(), next_at, now).await,
            Walked::Forgotten => {
                // At once, but not for ever.
                let again = if row.why.as_deref() == Some(FORGOTTEN) { next_at } else { now };
                self.fault(row, FORGOTTEN.to_owned(), again, now).await
            }
            Walked::TooMuch => self.narrower(ehr, row, since, now).await,
            Walked::Failed(error) => self.fault(row, error.to_string(), now.plus(wait_after(&error, ehr)), now).await,
        }
    }

    /// The beginning was read from our clock. A server whose clock is behind stamps what is new with an earlier time: at
    /// its first answer the beginning moves there. One that is so far behind that it may be its `Date` alone is searched
    /// from there too, yet what was issued before our beginning goes to a person. Returns where to search when it moved.
    pub(super) async fn begin_by_their_clock(
        &self,
        row: &PollRow,
        theirs: Option<UtcMillis>,
        now: UtcMillis,
    ) -> Result<Option<UtcMillis>, IntakeError> {
        let Some(theirs) = theirs else { return Ok(None) };
        let behind = now.since(theirs);
        if row.last_ok_at.is_some() || row.search_from.is_some() || behind <= SEARCH_CLOCK_DRIFT {
            return Ok(None);
        }
        let search_from = row.started_at.minus(behind.min(BACK_MAX));
        let started_at = if behind <= CLOCK_OFF_MAX { search_from } else { row.started_at };
        let (ehr, kind, began) = (row.ehr.clone(), row.kind, Beginning { started_at, search_from });
        self.store.write(move |tx| store::begin_poll_at(tx, &ehr, kind, began)).await?;
        Ok(Some(search_from))
    }

    /// Notes how far the EHR's clock is from ours, and tells it once when that is far.
    pub(super) async fn compare_clocks(
        &self,
        row: &PollRow,
        theirs: UtcMillis,
        now: UtcMillis,
    ) -> Result<(), IntakeError> {
        let off_ms = theirs.0.saturating_sub(now.0);
        if row.clock_off_ms.is_some_and(|noted| is_within(noted.saturating_sub(off_ms), SEARCH_CLOCK_DRIFT)) {
            return Ok(());
        }
        let was_near = row.clock_off_ms.is_none_or(|noted| is_within(noted, CLOCK_OFF_MAX));
        if was_near && !is_within(off_ms, CLOCK_OFF_MAX) {
            tracing::warn!(ehr = %row.ehr, kind = %row.kind, off_seconds = off_ms / 1000, "the EHR's clock is far from ours");
        }
        let (ehr, kind) = (row.ehr.clone(), row.kind);
        Ok(self.store.write(move |tx| store::note_poll_clock(tx, &ehr, kind, off_ms)).await?)
    }

    /// Walks a window that is too large by halves, oldest first, so that it gets done whatever its size.
    async fn narrower(
        &self,
        ehr: &HeardEhr,
        row: &PollRow,
        since: UtcMillis,
        now: UtcMillis,
    ) -> Result<PollEnd, IntakeError> {
        let mut until = UtcMillis(i64::midpoint(since.0, now.0));
        while until > since {
            let walk = ehr.client.walk(row.kind, Sought::Changed(Window { since, until }), PAGE_COUNT);
            match self.hear_walk(ehr, row.kind, walk, HearAs::Changed, now).await?.0 {
                Walked::Whole { .. } => {
                    // Past the overlap, so that the next search begins after this one.
                    let watermark = Some(until.plus(OVERLAP).min(now.minus(SEARCH_COMMIT_LAG)).max(row.watermark));
                    return Ok(PollEnd { watermark, next_at: now, why: None });
                }
                Walked::TooMuch => until = UtcMillis(i64::midpoint(since.0, until.0)),
                Walked::Incomplete { .. } | Walked::Forgotten | Walked::Failed(_) => break,
            }
        }
        let why = "too much changed at once for one search; it is tried again in smaller parts".to_owned();
        self.fault(row, why, now.plus(ehr.poll_every), now).await
    }

    pub(super) async fn fault(
        &self,
        row: &PollRow,
        why: String,
        next_at: UtcMillis,
        now: UtcMillis,
    ) -> Result<PollEnd, IntakeError> {
        if row.why.as_deref() != Some(&why) {
            tracing::warn!(ehr = %row.ehr, kind = %row.kind, why, "polling failed; it is tried again");
            let event = AuditEvent::PollFault { kind: row.kind.to_string(), why: why.clone() };
            let chain = Chain::Ehr(row.ehr.clone());
            self.store.write(move |tx| store::record(tx, chain, now, event)).await?;
        }
        Ok(PollEnd { watermark: None, next_at, why: Some(why) })
    }
}

/// Where a search ends: what the EHR stamps by a clock that is ahead of ours is found too.
pub(super) fn until(row: &PollRow, now: UtcMillis) -> UtcMillis {
    let ahead = Duration::from_millis(row.clock_off_ms.and_then(|off| off.try_into().ok()).unwrap_or(0));
    now.plus(AHEAD + ahead)
}

/// How far a whole walk has seen: up to the EHR's own time at its beginning, less what a transaction may still hold back and
/// what its clocks may differ.
pub(super) fn seen_until(watermark: UtcMillis, date: Option<UtcMillis>, until: UtcMillis, now: UtcMillis) -> UtcMillis {
    let reached = date.unwrap_or(now).minus(SEARCH_COMMIT_LAG).minus(SEARCH_CLOCK_DRIFT);
    // It follows the EHR's clock, which may be set back; what was not asked for was not seen.
    reached.max(watermark.minus(BACK_MAX)).min(until)
}

/// How long an EHR is left alone after `error`.
pub(super) fn wait_after(error: &EhrError, ehr: &HeardEhr) -> Duration {
    match error {
        EhrError::Overloaded { retry_after: Some(pause) } => (*pause).max(ehr.poll_every),
        _ => ehr.poll_every,
    }
}

fn is_within(off_ms: i64, span: Duration) -> bool {
    Duration::from_millis(off_ms.unsigned_abs()) <= span
}
