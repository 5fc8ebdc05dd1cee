//! Keeping a link that was made: the reports' steps, the link, its message and their lines in the audit, in one transaction.
//!
//! Must stay true: a document that has its link under another name gets no second one; what a report replaces ends when it leaves.

use super::link::{Ready, Sharer};
use crate::audit::{Actor, AuditEvent, HealthLinkEvent};
use crate::base::{DeliveryId, UtcMillis};
use crate::keys::Vault;
use crate::policy::HealthLink;
use crate::record::LinkEvent;
use crate::sealing::Purpose;
use crate::store::{self, Delivery, Mark, MarkKind, NewFile, SourceRow, StoreError, Tx};

pub(super) enum Committed {
    Done,
    /// Nothing was kept: the file of this one has its link under another name.
    SameElsewhere(DeliveryId),
}

impl Ready {
    fn files_of<'a>(&'a self, sharer: &'a Sharer) -> impl Iterator<Item = &'a NewFile> {
        self.link.files.iter().filter(|file| file.delivery == sharer.delivery.id)
    }
}

/// The mark of what each report consists of, with whose it is: now that its files were read, it can be told from every other.
fn marks_of(tx: &mut Tx, vault: &Vault, ready: &Ready) -> Result<Vec<(SourceRow, Delivery, Mark)>, StoreError> {
    let mut marks = Vec::new();
    for sharer in &ready.sharers {
        let files: Vec<_> = ready.files_of(sharer).map(|file| file.plain_index).collect();
        let Some(source) = store::source(tx.conn(), &sharer.delivery.source)? else { continue };
        let (Some(patient), Some(file)) = (source.subject_index, vault.files_index(&files)) else { continue };
        let theirs = vault.documents_index(&patient, source.addressee);
        let mark = Mark { kind: MarkKind::Sha256, mark: vault.file_likeness(&theirs, &file) };
        marks.push((source, sharer.delivery.clone(), mark));
    }
    Ok(marks)
}

/// Keeps by what each report is recognised from now on; the delivery of one that has its link under another name already.
fn recognise(tx: &mut Tx, vault: &Vault, ready: &Ready, now: UtcMillis) -> Result<Option<DeliveryId>, StoreError> {
    let marks = marks_of(tx, vault, ready)?;
    let all: Vec<Mark> = marks.iter().map(|(_, _, mark)| mark.clone()).collect();
    store::hold_documents(tx, &all, std::iter::empty())?;
    for (source, delivery, mark) in marks {
        store::note_marks(tx, &source.id, std::slice::from_ref(&mark), &delivery.content_hash, now)?;
        let mut alike = Vec::new();
        for one in store::alike(tx.conn(), (&source.id, source.key.kind), &[mark])? {
            if store::is_still_the_same(tx.conn(), &one, now)? {
                alike.push(one);
            }
        }
        if store::lead_elsewhere(tx.conn(), &alike, &delivery)?.is_some() {
            return Ok(Some(delivery.id));
        }
    }
    Ok(None)
}

pub(super) fn commit_link(tx: &mut Tx, vault: &Vault, ready: &Ready, now: UtcMillis) -> Result<Committed, StoreError> {
    let link = &ready.link;
    if let Some(known) = recognise(tx, vault, ready, now)? {
        return Ok(Committed::SameElsewhere(known));
    }
    for (key, fingerprint) in &ready.fingerprints {
        store::use_dated_key(tx, key.kind().as_str(), key.as_str(), fingerprint, now)?;
    }
    store::hold_deliveries(tx, ready.sharers.iter().map(|sharer| &sharer.delivery.id))?;
    for Sharer { delivery, card, contact_index, .. } in &ready.sharers {
        let step = delivery.state.clone().step(LinkEvent::Released, now)?;
        store::advance(tx, delivery, &step, Actor::System, now)?;
        let card = vault.seal_record(Purpose::PatientCard, delivery.id.as_str(), &card.to_bytes());
        store::set_card(tx, &delivery.id, &card, contact_index)?;
    }
    for sharer in &ready.sharers {
        end_replaced(tx, &sharer.delivery, now)?;
    }
    store::insert_link(tx, link, now)?;
    store::insert_notice(tx, &ready.notice, now)?;
    for sharer in &ready.sharers {
        store::forget_note(tx, &sharer.delivery.id)?;
        note_release(tx, ready, sharer, now)?;
    }
    tracing::info!(delivery = %link.delivery, link = %link.id, expires_after_s = ready.terms.expiry_seconds, "released");
    Ok(Committed::Done)
}

/// What a document says that it replaces ends when it leaves. Of most that was done when it was decided; of one whose status nobody
/// understands, only whoever released it could say so.
fn end_replaced(tx: &mut Tx, delivery: &Delivery, now: UtcMillis) -> Result<(), StoreError> {
    for old in store::replaced_by(tx.conn(), &delivery.source)? {
        for open in store::under_way_of(tx.conn(), &old, &delivery.source)? {
            if let Some(held) = store::hold_delivery(tx, &open.id)?.filter(|held| !held.state.is_final()) {
                let step = held.state.clone().step(LinkEvent::Supersede { by: delivery.id.clone() }, now)?;
                store::advance(tx, &held, &step, Actor::System, now)?;
            }
        }
        store::leave_family(tx, &old.id)?;
    }
    Ok(())
}

fn note_release(tx: &mut Tx, ready: &Ready, sharer: &Sharer, now: UtcMillis) -> Result<(), StoreError> {
    let link = &ready.link;
    let scanned = sharer.scanned.iter().filter_map(|scanned| scanned.told());
    let mut note = |event| store::append(tx, &sharer.delivery.entry(now, Actor::System, event));
    for event in scanned {
        note(event)?;
    }
    let files = u16::try_from(ready.files_of(sharer).count()).unwrap_or(u16::MAX);
    note(AuditEvent::Sealed { link: link.id.clone(), files, bytes: sharer.bytes, epoch: link.epoch.clone() })?;
    if let Some(challenge) = &link.challenge {
        let what = challenge.asks.iter().map(|ask| ask.ask).collect();
        note(AuditEvent::Asks { link: link.id.clone(), what, attempts: challenge.attempts })?;
    }
    if link.secret_kept_sealed.is_some() {
        note(AuditEvent::SecretKept { link: link.id.clone() })?;
    }
    if let Some((offered, _)) = &link.health_link {
        let asks = if offered.passcode_sealed.is_some() { HealthLink::Passcode } else { HealthLink::Plain };
        let what = HealthLinkEvent::Made { asks: asks.as_str().to_owned(), bytes: offered.file_bytes };
        note(AuditEvent::HealthLink { link: link.id.clone(), what })?;
    }
    let others = ready.sharers.iter().map(|other| &other.delivery.id);
    let with: Vec<_> = others.filter(|other| **other != sharer.delivery.id).cloned().collect();
    if !with.is_empty() {
        note(AuditEvent::SharesLink { link: link.id.clone(), with, noted_with: link.delivery.clone() })?;
    }
    note(AuditEvent::NoticeQueued { notice: ready.notice.id.clone(), channel: ready.notice.channel })
}
