//! Events that stay missing by number: asked for by number where the EHR offers it, else searched.
//!
//! Must stay true: a gap is closed in the transaction that hears what it hid, or that makes the polls due which will find it;
//! until then it stays in the database, and any replica takes it up.

use super::count::{Numbering, Run, fill, runs};
use super::extract::hear_one;
use super::topic::{REORDER_GRACE, fault};
use super::{HeardEhr, Intake, IntakeError, LEASE};
use crate::audit::{AuditEvent, HeardBy};
use crate::base::{EhrId, FhirId, UtcMillis};
use crate::fhir::{Beside, EhrError, EventsSaid, Heard, HookContent, HookSaid};
use crate::store::{self, GapRow, StoreError, TopicRow, Tx};

/// Gaps that one turn looks into.
const GAPS_A_TURN: usize = 20;

/// How a gap was looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Events,
    Search,
}

impl Intake {
    pub(super) async fn missing_turn(&self, ehr: &HeardEhr) -> Result<usize, IntakeError> {
        match ehr.hook.as_ref().map_or(Numbering::None, |hook| hook.numbering) {
            Numbering::None => return Ok(0),
            Numbering::Strict | Numbering::Resetting => {}
        }
        let mut closed = 0;
        while closed < GAPS_A_TURN {
            let Some((row, gap)) = self.take(ehr.client.id()).await? else { break };
            self.look_for(ehr, &row, gap).await?;
            closed += 1;
        }
        if closed > 0 {
            self.due.ring();
        }
        Ok(closed)
    }

    async fn take(&self, ehr: &EhrId) -> Result<Option<(TopicRow, GapRow)>, IntakeError> {
        let (id, now) = (ehr.clone(), self.clock.now());
        // Most often there is none: a look costs no write.
        let gaps = self.store.read(move |conn| store::gaps_of(conn, &id)).await?;
        if !gaps.iter().any(|gap| gap.due_at <= now) {
            return Ok(None);
        }
        let id = ehr.clone();
        Ok(self.store.write(move |tx| store::take_gap(tx, &id, now, now.plus(LEASE))).await?)
    }

    async fn look_for(&self, ehr: &HeardEhr, row: &TopicRow, gap: GapRow) -> Result<(), IntakeError> {
        let whose = row.numbered.as_deref().or(row.remote_id.as_deref()).and_then(|id| FhirId::parse(id).ok());
        let said = match whose {
            Some(id) => ehr.client.missed_events(&id, gap.first, gap.last).await,
            None => Ok(EventsSaid::NotOffered),
        };
        let (id, now) = (row.ehr.clone(), self.clock.now());
        Ok(self.store.write(move |tx| close(tx, &id, gap, said, now)).await?)
    }
}

fn close(
    tx: &mut Tx,
    ehr: &EhrId,
    gap: GapRow,
    said: Result<EventsSaid, EhrError>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    if store::hold_topic_quietly(tx, ehr)?.is_none() {
        return Ok(());
    }
    let asked = Run { first: gap.first, last: gap.last };
    let gaps = store::gaps_of(tx.conn(), ehr)?;
    // What arrived late while the EHR was asked is no longer missing.
    let is_open = gaps.iter().any(|one| one.first <= asked.last && asked.first <= one.last);
    let (heard, how) = match said {
        Ok(EventsSaid::Says(said)) => answered(said, asked),
        Ok(EventsSaid::NotOffered) | Err(_) => (Vec::new(), How::Search),
    };
    // Before sources and polls: whoever else tells of this EHR takes its chain first.
    if is_open {
        fault(tx, ehr, in_words(asked, how), now)?;
    }
    for one in heard {
        hear_one(tx, ehr, one, AuditEvent::Heard { sha256: String::new(), by: HeardBy::Poll }, now)?;
    }
    if !is_open {
        return Ok(());
    }
    let left: Vec<GapRow> = gaps.into_iter().filter(|one| one.last < asked.first || asked.last < one.first).collect();
    store::set_gaps(tx, ehr, &left)?;
    if how == How::Search {
        store::poll_sooner(tx, ehr, now)?;
    }
    Ok(())
}

/// What the EHR told of `asked`, and whether a search must find the rest.
fn answered(said: HookSaid, asked: Run) -> (Vec<Heard>, How) {
    let mut left = vec![asked];
    for run in said.notification.iter().flat_map(|one| runs(&one.numbers)) {
        fill(&mut left, run);
    }
    let is_clear = left.is_empty() && said.beside == Beside::Nothing;
    let how = if is_clear { How::Events } else { How::Search };
    match said.content {
        HookContent::Changed(mut heard) => {
            heard.sort_by(|one, other| one.place().cmp(&other.place()));
            (heard, how)
        }
        // Only of types that nobody asked for.
        HookContent::Other(_) => (Vec::new(), how),
        // It numbers events and names nothing.
        HookContent::Ping | HookContent::Unreadable { .. } => (Vec::new(), How::Search),
    }
}

fn in_words(gap: Run, how: How) -> String {
    let seconds = REORDER_GRACE.as_secs();
    let which = if gap.first == gap.last {
        format!("event {} did not arrive", gap.first)
    } else {
        format!("events {} to {} did not arrive", gap.first, gap.last)
    };
    let done = match how {
        How::Events => "the EHR told of them when it was asked by number",
        How::Search => "the EHR is searched for what they would have told",
    };
    format!("{which} within {seconds} s; {done}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::{HookMethod, HookPath, read_hook};

    fn said(numbers: &[u64], focus: Option<&str>) -> HookSaid {
        let events: Vec<_> = numbers
            .iter()
            .map(|number| match focus {
                Some(focus) => serde_json::json!({"eventNumber": number, "focus": {"reference": focus}}),
                None => serde_json::json!({"eventNumber": number}),
            })
            .collect();
        let body = serde_json::json!({"resourceType": "SubscriptionStatus", "type": "query-event", "notificationEvent": events});
        read_hook(body.to_string().as_bytes(), HookPath::Bare, HookMethod::Post)
    }

    #[test]
    fn a_search_finds_what_the_answer_leaves_out() {
        let asked = Run { first: 22, last: 23 };
        let search = |numbers: &[u64], focus| {
            let (heard, how) = answered(said(numbers, focus), asked);
            (heard.len(), how == How::Search)
        };
        assert_eq!(search(&[22, 23], Some("DiagnosticReport/r1")), (1, false));
        assert_eq!(search(&[22], Some("DiagnosticReport/r1")), (1, true));
        assert_eq!(search(&[22, 23], Some("Patient/p1")), (0, false));
        assert_eq!(search(&[22, 23], None), (0, true));
        assert_eq!(search(&[], None), (0, true));
        // Two events, of which one does not say of what.
        let two = serde_json::json!({"resourceType": "SubscriptionStatus", "type": "query-event", "notificationEvent": [
            {"eventNumber": 22, "focus": {"reference": "DiagnosticReport/r1"}}, {"eventNumber": 23, "focus": {"identifier": {}}},
        ]});
        let (heard, how) = answered(read_hook(two.to_string().as_bytes(), HookPath::Bare, HookMethod::Post), asked);
        assert!(heard.len() == 1 && how == How::Search);
        assert!(in_words(asked, How::Events).contains("events 22 to 23"));
    }
}
