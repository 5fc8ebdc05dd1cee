//! What happened to a delivery becomes what its EHR is to be told.

use diesel::prelude::*;

use super::schema::write_back;
use super::{ToldState, tells};
use crate::base::{DeliveryId, EhrId, LinkId, ToldId, UtcMillis, VersionId};
use crate::record::{EverOpened, Fact, Link, ToDo, Told};
use crate::store::conn::{Conn, Tx};
use crate::store::deliveries::{Delivery, Mode};
use crate::store::error::StoreError;
use crate::store::links;
use crate::store::prepared::Prepare as _;
use crate::store::rows::{parse, to_json};
use crate::store::schema::{delivery, source};

/// Tasks of one EHR that may stand open, or be about to, at a time.
const TASKS_OPEN_MAX: i64 = 200;
const TOO_MANY_TASKS: &str = "200 Tasks are open there already: `chartseal deliveries list` shows what waits";

/// Of which delivery something is noted.
#[derive(Clone, Copy)]
pub(in crate::store) struct Whose<'a> {
    pub(in crate::store) id: &'a DeliveryId,
    pub(in crate::store) ehr: &'a EhrId,
    pub(in crate::store) mode: Mode,
}

impl<'a> Whose<'a> {
    pub(in crate::store) const fn of(delivery: &'a Delivery) -> Self {
        Self { id: &delivery.id, ehr: &delivery.ehr, mode: delivery.mode }
    }
}

/// What is noted of a delivery.
struct Noted<'a> {
    of: Whose<'a>,
    link: Option<&'a LinkId>,
    fact: Fact,
    at: UtcMillis,
}

/// The message with the link was handed over.
///
/// # Errors
/// [`StoreError`].
pub(in crate::store) fn note_sent(
    tx: &mut Tx,
    owner: &Delivery,
    link: &LinkId,
    at: UtcMillis,
) -> Result<(), StoreError> {
    note(tx, &Noted { of: Whose::of(owner), link: Some(link), fact: Fact::Sent, at })
}

/// The link was opened; only the first time is told.
///
/// # Errors
/// [`StoreError`].
pub fn note_opened(tx: &mut Tx, owner: &Delivery, link: &LinkId, at: UtcMillis) -> Result<(), StoreError> {
    if links::link(tx.conn(), link)?.is_some_and(|link| link.opened > 1) {
        return Ok(());
    }
    note(tx, &Noted { of: Whose::of(owner), link: Some(link), fact: Fact::Opened, at })
}

/// The delivery came to a state: what it asked of a person before is over, and it may ask for something new. `from` is `None`
/// where it begins in that state.
///
/// # Errors
/// [`StoreError`].
pub(in crate::store) fn note_state(
    tx: &mut Tx,
    of: Whose<'_>,
    from: Option<&Link>,
    to: &Link,
    at: UtcMillis,
) -> Result<(), StoreError> {
    // Most steps ask nobody for anything, and cost nothing here.
    if !ToDo::is_asked_in(to) && !from.is_some_and(ToDo::is_asked_in) {
        return Ok(());
    }
    if of.mode == Mode::Shadow || !tells(tx.conn(), of.ehr)?.contains(&Told::Task) {
        return Ok(());
    }
    let opened = if links::opened_of(tx.conn(), of.id)? > 0 { EverOpened::Yes } else { EverOpened::No };
    let next = ToDo::of(to, opened);
    let mut stands = false;
    for (id, fact) in open_tasks(tx.conn(), of.id)? {
        if next.is_some_and(|next| fact == Fact::ToDo(next)) {
            stands = true;
        } else if matches!(fact, Fact::ToDo(to_do) if to_do.ends_with_its_state()) {
            end_task(tx, &id, at)?;
        }
    }
    match next {
        Some(to_do) if !stands => note(tx, &Noted { of, link: None, fact: Fact::ToDo(to_do), at }),
        Some(_) | None => Ok(()),
    }
}

fn note(tx: &mut Tx, noted: &Noted<'_>) -> Result<(), StoreError> {
    if noted.of.mode == Mode::Shadow {
        return Ok(());
    }
    let told = tells(tx.conn(), noted.of.ehr)?;
    let told: Vec<Told> = noted.fact.told_by().iter().copied().filter(|one| told.contains(one)).collect();
    if told.is_empty() {
        return Ok(());
    }
    let about = to_json("write_back.about", &about(tx.conn(), noted)?)?;
    for one in told {
        let begins = begins_as(tx.conn(), noted, one)?;
        let link = noted.link.map_or("", LinkId::as_str);
        let at = noted.at.0.to_be_bytes();
        let parts = [noted.of.id.as_str(), link, noted.fact.as_str(), one.as_str()].map(str::as_bytes);
        let [delivery, link_bytes, fact, resource] = parts;
        let id = ToldId::of(&[b"chartseal/1/told", delivery, link_bytes, fact, resource, &at]);
        tx.insert_unless_there(|conn| {
            diesel::insert_into(write_back::table)
                .values((
                    write_back::id.eq(id.as_str()),
                    write_back::ehr.eq(noted.of.ehr.as_str()),
                    write_back::delivery_id.eq(noted.of.id.as_str()),
                    write_back::link_id.eq(noted.link.map(LinkId::as_str)),
                    write_back::fact.eq(noted.fact.as_str()),
                    write_back::resource.eq(one.as_str()),
                    write_back::at.eq(noted.at.0),
                    write_back::about.eq(&about),
                    write_back::state.eq(begins.as_str()),
                    write_back::due_at.eq((begins == ToldState::Waiting).then_some(noted.at.0)),
                    write_back::ended_at.eq((begins != ToldState::Waiting).then_some(noted.at.0)),
                    write_back::why.eq((begins != ToldState::Waiting).then_some(TOO_MANY_TASKS)),
                    write_back::tries.eq(0),
                ))
                .prepared()
                .execute(conn)
        })?;
    }
    Ok(())
}

/// Where many reports come to review at once, as after a restore, their list is here and not the EHR's tasks.
fn begins_as(conn: &mut Conn, noted: &Noted<'_>, told: Told) -> Result<ToldState, StoreError> {
    match told {
        Told::Communication | Told::AuditEvent | Told::Provenance => return Ok(ToldState::Waiting),
        Told::Task => {}
    }
    let open: i64 = write_back::table
        .filter(write_back::ehr.eq(noted.of.ehr.as_str()))
        .filter(write_back::due_at.is_not_null())
        .filter(write_back::resource.eq(Told::Task.as_str()))
        .count()
        .get_result(conn)?;
    Ok(if open < TASKS_OPEN_MAX { ToldState::Waiting } else { ToldState::Skipped })
}

/// The reports of the link, or the delivery's own, each in the version that it stands for.
fn about(conn: &mut Conn, noted: &Noted<'_>) -> Result<Vec<String>, StoreError> {
    let reports = delivery::table.inner_join(source::table.on(source::id.eq(delivery::source_id)));
    let columns = (source::kind, source::resource_id, delivery::report_version);
    let rows: Vec<(String, String, String)> = match noted.link {
        Some(link) => {
            let sharing = reports.filter(delivery::link_id.eq(link.as_str()));
            sharing.order((delivery::created_at.asc(), delivery::id.asc())).select(columns).load(conn)?
        }
        None => reports.filter(delivery::id.eq(noted.of.id.as_str())).select(columns).load(conn)?,
    };
    rows.into_iter()
        .map(|(kind, id, version)| {
            let version: VersionId = parse("delivery.report_version", &version)?;
            Ok(if version.is_asked_for() { format!("{kind}/{id}/_history/{version}") } else { format!("{kind}/{id}") })
        })
        .collect()
}

/// What of this delivery asks a person for something, or is about to.
fn open_tasks(conn: &mut Conn, of: &DeliveryId) -> Result<Vec<(ToldId, Fact)>, StoreError> {
    let rows: Vec<(String, String)> = write_back::table
        .filter(write_back::delivery_id.eq(of.as_str()))
        .filter(write_back::resource.eq(Told::Task.as_str()))
        .filter(write_back::state.eq_any([ToldState::Waiting.as_str(), ToldState::Open.as_str()]))
        .filter(write_back::over_at.is_null())
        .select((write_back::id, write_back::fact))
        .load(conn)?;
    let typed = |(id, fact): (String, String)| {
        let fact = fact.parse().map_err(|()| StoreError::BadRow { column: "write_back.fact" })?;
        Ok((parse("write_back.id", &id)?, fact))
    };
    rows.into_iter().map(typed).collect()
}

fn end_task(tx: &mut Tx, id: &ToldId, at: UtcMillis) -> Result<(), StoreError> {
    diesel::update(
        write_back::table
            .find(id.as_str())
            .filter(write_back::over_at.is_null())
            .filter(write_back::state.eq_any([ToldState::Waiting.as_str(), ToldState::Open.as_str()])),
    )
    .set((write_back::over_at.eq(at.0), write_back::due_at.eq(at.0)))
    .prepared()
    .execute(tx.conn())?;
    Ok(())
}
