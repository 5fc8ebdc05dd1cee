//! What the rules in force would do otherwise about deliveries that were decided before, and a person's word about it.
//!
//! Must stay true: only what the rules in force say is confirmed, never what earlier ones said.

use serde::Serialize;

use super::calls::brief_of;
use super::refusals::VersionRefusal;
use super::shown::Brief;
use super::words;
use super::{Desk, DeskError};
use crate::audit::{Actor, AuditEvent, Redecided};
use crate::base::{DeliveryId, UtcMillis};
use crate::policy::HoldBasis;
use crate::record::{HoldEnd, Link, LinkEvent};
use crate::store::{self, Delivery, Noted, NotedVerdict, StoreError, Tx};

/// A delivery about which the rules in force would decide otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Otherwise {
    #[serde(flatten)]
    pub brief: Brief,
    /// What was decided.
    pub decided: String,
    /// What the rules in force say.
    pub would_be: String,
    pub rules_hash: String,
}

impl Desk {
    /// What is on its way and would be decided otherwise, oldest first.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn decided_otherwise(&self, verdict: NotedVerdict) -> Result<Vec<Otherwise>, DeskError> {
        let found = self
            .store
            .read(move |conn| {
                let mut found = Vec::new();
                for noted in store::noted_redecisions(conn, verdict)? {
                    let Some(delivery) = store::delivery(conn, &noted.delivery)? else { continue };
                    found.push(Otherwise {
                        brief: brief_of(conn, &delivery)?,
                        decided: words::of_decision(&delivery.decision),
                        would_be: words::of_decision(&noted.decision),
                        rules_hash: noted.rules_hash,
                    });
                }
                Ok(found)
            })
            .await?;
        Ok(found)
    }

    /// Lets the looser decision of the rules in force count for one delivery.
    ///
    /// # Errors
    /// [`DeskError::Rules`] where they decide nothing looser about it.
    pub async fn redecide(&self, asked: &str) -> Result<DeliveryId, DeskError> {
        let id = self.find(asked).await?.id;
        let (now, actor, wanted) = (self.clock.now(), Actor::Operator(self.operator.clone()), id.clone());
        let done = self.store.write(move |tx| confirm(tx, &wanted, actor, now)).await?;
        if done { Ok(id) } else { Err(VersionRefusal::NothingLooser { asked: asked.to_owned() }.into()) }
    }
}

fn confirm(tx: &mut Tx, id: &DeliveryId, actor: Actor, now: UtcMillis) -> Result<bool, StoreError> {
    store::share_rules(tx)?;
    let in_force = store::rules_in_force(tx.conn(), now)?;
    let Some(delivery) = store::hold_delivery(tx, id)? else { return Ok(false) };
    let noted = store::noted_redecision(tx.conn(), id)?.filter(|noted| {
        let is_of_now = in_force.as_ref().is_some_and(|row| row.hash == noted.rules_hash);
        noted.verdict == NotedVerdict::Looser && is_of_now && is_unsent(&delivery.state)
    });
    let Some(noted) = noted else { return Ok(false) };
    let event = AuditEvent::Redecided {
        rules_hash: noted.rules_hash.clone(),
        decision: serde_json::to_string(&noted.decision)
            .map_err(|_| StoreError::BadRow { column: "delivery.decision" })?,
        how: Redecided::Confirmed,
    };
    store::append(tx, &delivery.entry(now, actor.clone(), event))?;
    let decided = store::set_decision(tx, &delivery, &noted.decision, &noted.trace, &noted.rules_hash)?;
    store::forget_redecision(tx, id)?;
    if let Some(event) = way_to(&noted, &decided, now) {
        let step = decided.state.clone().step(event, now)?;
        store::advance(tx, &decided, &step, actor, now)?;
    }
    Ok(true)
}

const fn is_unsent(state: &Link) -> bool {
    match state {
        Link::Recorded | Link::Held { .. } | Link::Review { .. } => true,
        Link::Live { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => false,
    }
}

/// The step from where it stands to where the looser decision leads; `None`: it stays.
fn way_to(noted: &Noted, delivery: &Delivery, now: UtcMillis) -> Option<LinkEvent> {
    if delivery.state == noted.state {
        return None;
    }
    match &noted.state {
        Link::Held { until, basis } => Some(LinkEvent::Wait { until: *until, basis: *basis }),
        // A hold that is over: it leaves by itself.
        Link::Recorded => Some(LinkEvent::Wait { until: HoldEnd::At(now), basis: HoldBasis::ClinicPolicy }),
        // It is in review for another reason already.
        Link::Review { .. }
        | Link::Live { .. }
        | Link::Suspended { .. }
        | Link::Blocked
        | Link::Spent
        | Link::Expired
        | Link::Revoked { .. }
        | Link::Recalled
        | Link::Superseded { .. } => None,
    }
}
