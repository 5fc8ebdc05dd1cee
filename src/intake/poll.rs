//! Polling: what makes sure that nothing is missed, whatever the hooks do.

use std::num::NonZeroU16;
use std::time::Duration;

use super::{HeardEhr, Intake, IntakeError};
use crate::audit::{Actor, AuditEvent, Chain, Entry, HeardBy};
use crate::base::{ResourceKey, ResourceType, UtcMillis, hours, minutes, random};
use crate::fhir::{
    Changes, Completeness, EhrError, Heard, SEARCH_CLOCK_DRIFT, SEARCH_COMMIT_LAG, SearchAnswer, Window,
};
use crate::store::{self, Beginning, CLOCK_OFF_MAX, Hearing, LEASE, PollEnd, PollRow};

/// How far before the watermark each search reaches back: a transaction may commit late with an early time.
const OVERLAP: Duration = minutes(10);
/// How far ahead of our clock a server's may be and still have its newest resources found.
const AHEAD: Duration = hours(1);
/// How far back the EHR's clock may lead a beginning or a watermark. More than any mistake about zones; a clock that died
/// would lead to everything there ever was.
const BACK_MAX: Duration = hours(24);
const FORGOTTEN: &str = "the EHR forgot its page links; the search begins again";
const PAGE_COUNT: NonZeroU16 = NonZeroU16::MIN.saturating_add(199);
/// Resources noted in one transaction.
const CHUNK: usize = 200;

impl Intake {
    pub(super) async fn poll_turn(&self, ehr: &HeardEhr, kind: ResourceType) -> Result<usize, IntakeError> {
        let (id, now) = (ehr.client.id().clone(), self.clock.now());
        let row = self.store.write(move |tx| store::lease_poll(tx, &id, kind, now, now.plus(LEASE))).await?;
        let Some(row) = row else { return Ok(0) };
        let renew = |held| {
            let until = self.clock.now().plus(LEASE);
            self.store.write(move |tx| store::renew_poll(tx, held, until))
        };
        // A walk may take longer than any one lease, and what it heard of stands.
        let polled = store::while_kept(self.poll(ehr, &row, now), row.clone(), self.renew_every, renew).await?;
        if let Some((end, row)) = polled {
            self.store.write(move |tx| store::settle_poll(tx, &row, &end, now)).await?;
        }
        Ok(1)
    }

    async fn poll(&self, ehr: &HeardEhr, row: &PollRow, now: UtcMillis) -> Result<PollEnd, IntakeError> {
        let since = row.watermark.minus(OVERLAP).max(row.search_from.unwrap_or(row.started_at));
        let ahead = Duration::from_millis(row.clock_off_ms.and_then(|off| off.try_into().ok()).unwrap_or(0));
        let until = now.plus(AHEAD + ahead);
        let mut answer = ehr.client.search_changed(row.kind, Window { since, until }, PAGE_COUNT).await;
        if let Some(since) = self.begin_by_their_clock(row, &answer, now).await? {
            answer = ehr.client.search_changed(row.kind, Window { since, until }, PAGE_COUNT).await;
        }
        let next_at = now.plus(ehr.poll_every);
        match answer {
            Ok(SearchAnswer::Walked(Changes { heard, completeness, server_date, .. })) => {
                if let Some(theirs) = server_date {
                    self.compare_clocks(row, theirs, now).await?;
                }
                self.hear_all(row, heard, now).await?;
                match completeness {
                    Completeness::Complete => {
                        let reached = server_date.unwrap_or(now).minus(SEARCH_COMMIT_LAG).minus(SEARCH_CLOCK_DRIFT);
                        // It follows the EHR's clock, which may be set back; what was not asked for was not seen.
                        let watermark = reached.max(row.watermark.minus(BACK_MAX)).min(until);
                        Ok(PollEnd { watermark: Some(watermark), next_at, why: None })
                    }
                    Completeness::Incomplete { why } => self.fault(row, why.to_owned(), next_at, now).await,
                }
            }
            Ok(SearchAnswer::RestartWindow) => {
                // At once, but not for ever.
                let again = if row.why.as_deref() == Some(FORGOTTEN) { next_at } else { now };
                self.fault(row, FORGOTTEN.to_owned(), again, now).await
            }
            Ok(SearchAnswer::WindowTooLarge) => self.narrower(ehr, row, since, now).await,
            Err(error) => {
                let wait = if let EhrError::Overloaded { retry_after: Some(pause) } = &error {
                    (*pause).max(ehr.poll_every)
                } else {
                    ehr.poll_every
                };
                self.fault(row, error.to_string(), now.plus(wait), now).await
            }
        }
    }

    /// The beginning was read from our clock. A server whose clock is behind stamps what is new with an earlier time: at
    /// its first answer the beginning moves there. One that is so far behind that it may be its `Date` alone is searched
    /// from there too, yet what was issued before our beginning goes to a person. Returns where to search when it moved.
    async fn begin_by_their_clock(
        &self,
        row: &PollRow,
        answer: &Result<SearchAnswer, EhrError>,
        now: UtcMillis,
    ) -> Result<Option<UtcMillis>, IntakeError> {
        let Ok(SearchAnswer::Walked(Changes { server_date: Some(theirs), .. })) = answer else { return Ok(None) };
        let behind = now.since(*theirs);
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
    async fn compare_clocks(&self, row: &PollRow, theirs: UtcMillis, now: UtcMillis) -> Result<(), IntakeError> {
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
            match ehr.client.search_changed(row.kind, Window { since, until }, PAGE_COUNT).await {
                Ok(SearchAnswer::Walked(Changes { heard, completeness: Completeness::Complete, .. })) => {
                    self.hear_all(row, heard, now).await?;
                    // Past the overlap, so that the next search begins after this one.
                    let watermark = Some(until.plus(OVERLAP).min(now.minus(SEARCH_COMMIT_LAG)).max(row.watermark));
                    return Ok(PollEnd { watermark, next_at: now, why: None });
                }
                Ok(SearchAnswer::WindowTooLarge) => until = UtcMillis(i64::midpoint(since.0, until.0)),
                Ok(SearchAnswer::Walked(_) | SearchAnswer::RestartWindow) | Err(_) => break,
            }
        }
        let why = "too much changed at once for one search; it is tried again in smaller parts".to_owned();
        self.fault(row, why, now.plus(ehr.poll_every), now).await
    }

    async fn hear_all(&self, row: &PollRow, heard: Vec<Heard>, now: UtcMillis) -> Result<(), IntakeError> {
        let mut heard = heard;
        heard.sort_by(|one, other| one.place().cmp(&other.place()));
        let mut due = 0_u64;
        while !heard.is_empty() {
            let chunk: Vec<Heard> = heard.drain(..heard.len().min(CHUNK)).collect();
            let ehr = row.ehr.clone();
            due += self
                .store
                .write(move |tx| {
                    let mut due = 0;
                    for heard in chunk {
                        let key = ResourceKey { ehr: ehr.clone(), kind: heard.kind, id: heard.id };
                        let hearing = store::hear(tx, &key, heard.version.as_ref(), now, &mut random::system())?;
                        if let Hearing::Due(source) = hearing {
                            due += 1;
                            let event = AuditEvent::Heard { sha256: String::new(), by: HeardBy::Poll };
                            let actor = Actor::Ehr(ehr.clone());
                            store::append(
                                tx,
                                &Entry { chain: Chain::Source(source), at: now, clinic: None, actor, event },
                            )?;
                        }
                    }
                    Ok(due)
                })
                .await?;
        }
        if due > 0 {
            self.due.ring();
        }
        Ok(())
    }

    async fn fault(
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

fn is_within(off_ms: i64, span: Duration) -> bool {
    Duration::from_millis(off_ms.unsigned_abs()) <= span
}
