//! What is known of a document's names, each by itself: what stands of it, what it says, what it replaces.
//!
//! Must stay true: a name that is no longer one with others is read again with all of them, so that what they say by themselves
//! is seen.

use super::plan::{self, Now};
use super::prepare::Prepared;
use crate::base::{FhirId, ResourceKey, ResourceType, SourceId, UtcMillis};
use crate::policy::ReportStatus;
use crate::record::Link;
use crate::store::{self, Alike, Delivery, Place, SourceRow, StoreError, Tx};

/// What is under way of the document under all its names, this one's last: a recall under one refuses all.
pub(super) fn under_all_names(tx: &mut Tx, source: &SourceRow) -> Result<Vec<Delivery>, StoreError> {
    let mut open = Vec::new();
    for other in store::hold_family(tx, &source.id)? {
        open.extend(held_deliveries(tx, &other)?);
    }
    open.extend(held_deliveries(tx, &source.id)?);
    Ok(open)
}

/// It was taken back under this name, which counts no more for the others, nor for what it replaced: they are read again, and
/// a person sees what they say by themselves.
pub(super) fn part(tx: &mut Tx, source: &SourceRow, now: UtcMillis) -> Result<(), StoreError> {
    leave(tx, source, now)?;
    replace(tx, source, &[], now)
}

/// It counts no more for its other names, which are read again.
pub(super) fn leave(tx: &mut Tx, source: &SourceRow, now: UtcMillis) -> Result<(), StoreError> {
    for other in store::family_of(tx.conn(), &source.id)? {
        store::read_again(tx, &other, now)?;
    }
    store::leave_family(tx, &source.id)
}

/// Keeps what a document that was read says it replaces, as far as its status lets it say so.
pub(super) fn note_replaced(
    tx: &mut Tx,
    source: &SourceRow,
    prepared: &Prepared,
    read: &Now,
    now: UtcMillis,
) -> Result<(), StoreError> {
    match read.status {
        ReportStatus::Final | ReportStatus::Amended | ReportStatus::Corrected | ReportStatus::Appended => {
            replace(tx, source, &prepared.replaces, now)?;
            if source.status == Some(ReportStatus::Unknown) {
                // What only waited for this.
                for old in store::replaced_by(tx.conn(), &source.id)? {
                    store::read_again_for_all(tx, &old.key, now)?;
                }
            }
            Ok(())
        }
        ReportStatus::Unknown => replace(tx, source, &prepared.replaces, now),
        // What was never finished replaces nothing.
        ReportStatus::Unfinished if source.content_hash.is_none() => replace(tx, source, &[], now),
        ReportStatus::Unfinished
        | ReportStatus::Superseded
        | ReportStatus::Cancelled
        | ReportStatus::EnteredInError => Ok(()),
    }
}

/// Keeps what this document replaces. What it newly replaces, or no longer does, is read again.
fn replace(tx: &mut Tx, source: &SourceRow, replaced: &[FhirId], now: UtcMillis) -> Result<(), StoreError> {
    // What it replaces it replaces for everybody.
    if source.key.kind != ResourceType::DocumentReference || !source.addressee.is_patient() {
        return Ok(());
    }
    for id in store::set_replaced(tx, &source.id, &source.key.ehr, replaced)? {
        let key = ResourceKey { id, ..source.key.clone() };
        store::read_again_for_all(tx, &key, now)?;
    }
    Ok(())
}

/// Whether nobody ever understood what this name says: it vouches for nothing, and yet the EHR may take it back.
pub(super) fn is_unclear_from_the_first(source: &SourceRow, status: Option<ReportStatus>) -> bool {
    source.content_hash.is_none() && status == Some(ReportStatus::Unknown)
}

/// Whether it is the document by what it says now, as far as anybody knows.
pub(super) fn still_says(tx: &mut Tx, alike: &Alike) -> Result<bool, StoreError> {
    let Some(row) = store::source(tx.conn(), &alike.source)?.filter(|row| row.gone_at.is_none()) else {
        return Ok(false);
    };
    // One that was replaced, and was not read again yet.
    if store::place_of(tx.conn(), &row.key)? == Place::Taken {
        return Ok(false);
    }
    if is_unclear_from_the_first(&row, row.status) {
        let latest = store::latest_delivery_of(tx.conn(), &row.id)?;
        return Ok(latest.is_some_and(|latest| alike.is_what(&latest)));
    }
    Ok(row.content_hash == Some(alike.content_hash) && row.status.is_some_and(plan::is_understood))
}

/// Whether the EHR took back what this name said, and it is still that.
pub(super) fn is_taken_back(tx: &mut Tx, alike: &Alike) -> Result<bool, StoreError> {
    let Some(row) = store::source(tx.conn(), &alike.source)? else { return Ok(false) };
    let is_that = row.content_hash.is_none_or(|content| content == alike.content_hash);
    Ok(is_that && row.status.is_some_and(plan::is_refused))
}

/// Whether nothing was to be said against it when it was last read.
pub(super) fn is_in_good_standing(tx: &mut Tx, id: &SourceId) -> Result<bool, StoreError> {
    let Some(row) = store::source(tx.conn(), id)? else { return Ok(false) };
    let says_nothing_against =
        row.status.is_some_and(plan::is_understood) || is_unclear_from_the_first(&row, row.status);
    Ok(says_nothing_against && row.gone_at.is_none() && row.why.is_none())
}

/// Whether staff said of this very content that it shall not be out.
pub(super) fn is_put_aside(tx: &mut Tx, source: &SourceRow, read: &Now) -> Result<bool, StoreError> {
    let latest = store::latest_delivery_of(tx.conn(), &source.id)?;
    Ok(latest.is_some_and(|latest| latest.state.is_put_aside() && latest.content_hash == read.content_hash))
}

/// Whether a person must look at it by itself, since nobody can say what its status means.
pub(super) fn waits_unheard(delivery: &Delivery) -> bool {
    matches!(delivery.state, Link::Review { .. }) && delivery.decision.is_of_unclear_status()
}

/// What is under way of a resource, held until the transaction ends.
pub(super) fn held_deliveries(tx: &mut Tx, source: &SourceId) -> Result<Vec<Delivery>, StoreError> {
    let mut held = Vec::new();
    for delivery in store::open_deliveries_of(tx.conn(), source)? {
        held.extend(store::hold_delivery(tx, &delivery.id)?.filter(|delivery| !delivery.state.is_final()));
    }
    Ok(held)
}
