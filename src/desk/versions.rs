//! Changing the rules: propose, approve, withdraw, go back.
//!
//! Must stay true: nobody approves what they wrote; rules with a fault, a failing test, or something looser that the approver
//! did not count are not approved; every change of what is in force is in the audit, by name.
//! Must not know: how rules are written or compared, beyond what [`judge`] asks the policy room.

use super::operators::{Duty, Person, StaffRefusal};
use super::refusals::VersionRefusal;
use super::{Desk, DeskError, installation};
use crate::audit::AuditEvent;
use crate::base::UtcMillis;
use crate::policy::cases;
use crate::policy::loosenings::loosenings;
use crate::store::{
    self, ActivatedBy, ActivationRow, Approval, Bundle, NewVersion, Proposed, Reactivated, StoreError, Tx, VersionRow,
    VersionState, Withdrawn,
};

/// Of a hash, what a person has to type at least.
const HASH_PREFIX_MIN: usize = 6;

/// What speaks against proposed rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Faults, each with its place and remedy.
    pub lint_errors: Vec<String>,
    /// Tests of the rules that fail, by name.
    pub failing_tests: Vec<String>,
    /// What would be looser than under the rules in force, one by one.
    pub loosenings: Vec<String>,
}

/// Judges proposed rules against those in force. `None`: nothing is in force that could be compared.
#[must_use]
pub fn judge(active: Option<&Bundle>, proposed: &Bundle) -> Judgement {
    let mut judgement = Judgement::default();
    let rules = match proposed.compile() {
        Ok(rules) => rules,
        Err(faults) => {
            judgement.lint_errors = faults.0.iter().map(ToString::to_string).collect();
            return judgement;
        }
    };
    judgement.failing_tests = cases::run_all(&rules).iter().filter_map(failure).collect();
    // What is in force and cannot be read any more cannot be compared; a person sees that it was replaced.
    if let Some(active) = active {
        judgement.loosenings = match active.compile() {
            Ok(active) => loosenings(&active, &rules).iter().map(ToString::to_string).collect(),
            Err(_) => vec!["the rules in force cannot be read by this program, so nothing can be compared".to_owned()],
        };
    }
    judgement
}

/// A test that fails, with its line and what came out otherwise.
fn failure(ran: &cases::Ran) -> Option<String> {
    let misses = ran.misses.iter().map(|miss| format!("{} is {}, not {}", miss.what, miss.got, miss.expected));
    let misses: Vec<String> = misses.collect();
    (!misses.is_empty()).then(|| format!("'{}' (line {}): {}", ran.name, ran.line, misses.join("; ")))
}

/// Whether a change waits for a second person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    Usual,
    /// In force at once by one person's word, if nothing becomes looser.
    Emergency,
}

/// A version in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionEntry {
    pub row: VersionRow,
    /// When it came or comes into force, oldest first.
    pub activations: Vec<ActivationRow>,
    pub is_in_force: bool,
}

/// A version, whole.
#[derive(Clone, Debug)]
pub struct VersionText {
    pub entry: VersionEntry,
    pub bundle: Bundle,
    /// Against what is in force now.
    pub judgement: Judgement,
}

/// What an approval came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub hash: String,
    pub effective_at: UtcMillis,
}

/// What a rollback came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    pub hash: String,
    /// What is looser now than before, which was approved in its time.
    pub loosenings: Vec<String>,
    /// What is scheduled to come into force all the same.
    pub coming: Vec<ActivationRow>,
}

/// What is in force, and the stamp under which that was read.
struct Standing {
    hash: Option<String>,
    bundle: Option<Bundle>,
    stamp: Option<String>,
}

impl Desk {
    /// All versions, newest proposal first.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn rules_versions(&self) -> Result<Vec<VersionEntry>, DeskError> {
        let now = self.clock.now();
        let read = self
            .store
            .read(move |conn| {
                Ok((store::versions(conn)?, store::activations(conn)?, store::rules_in_force(conn, now)?))
            })
            .await?;
        let (rows, activations, in_force) = read;
        let entry = |row: VersionRow| VersionEntry {
            activations: activations.iter().filter(|one| one.hash == row.hash).cloned().collect(),
            is_in_force: in_force.as_ref().is_some_and(|one| one.hash == row.hash),
            row,
        };
        Ok(rows.into_iter().map(entry).collect())
    }

    /// One version with its text, judged against what is in force. `of_file` is in force as long as no version was.
    ///
    /// # Errors
    /// [`DeskError::Rules`].
    pub async fn rules_version(&self, asked: &str, of_file: Option<Bundle>) -> Result<VersionText, DeskError> {
        let entry = self.find_version(asked).await?;
        let hash = entry.row.hash.clone();
        let bundle = self.store.read(move |conn| store::bundle_of(conn, &hash)).await?;
        let bundle = bundle.ok_or_else(|| VersionRefusal::Unknown { asked: asked.to_owned() })?;
        let standing = self.standing(of_file).await?;
        let judgement = judged(standing.bundle, bundle.clone()).await?;
        Ok(VersionText { entry, bundle, judgement })
    }

    async fn find_version(&self, asked: &str) -> Result<VersionEntry, DeskError> {
        let unknown = || VersionRefusal::Unknown { asked: asked.to_owned() };
        let wanted = asked.trim().to_ascii_lowercase();
        if wanted.len() < HASH_PREFIX_MIN {
            return Err(unknown().into());
        }
        let mut found = self.rules_versions().await?;
        found.retain(|entry| entry.row.hash.starts_with(&wanted));
        match (found.pop(), found.is_empty()) {
            (Some(entry), true) => Ok(entry),
            (Some(_), false) => Err(VersionRefusal::Ambiguous { asked: asked.to_owned() }.into()),
            (None, _) => Err(unknown().into()),
        }
    }

    /// The text of what is in force: of a version, or `of_file` as long as no version was.
    pub(super) async fn bundle_in_force(&self, of_file: Option<Bundle>) -> Result<Option<Bundle>, DeskError> {
        Ok(self.standing(of_file).await?.bundle)
    }

    async fn standing(&self, of_file: Option<Bundle>) -> Result<Standing, DeskError> {
        let now = self.clock.now();
        let standing = self
            .store
            .read(move |conn| {
                let stamp = store::rules_stamp(conn)?;
                let hash = store::rules_in_force(conn, now)?.map(|row| row.hash);
                let bundle = match &hash {
                    Some(hash) => store::bundle_of(conn, hash)?,
                    None => of_file,
                };
                Ok(Standing { hash, bundle, stamp })
            })
            .await?;
        Ok(standing)
    }

    /// Keeps a draft; in an emergency it is in force at once. Returns its hash.
    ///
    /// # Errors
    /// [`DeskError::Rules`], [`DeskError::Staff`].
    pub async fn propose_rules(
        &self,
        by: &Person,
        bundle: Bundle,
        note: Option<String>,
        urgency: Urgency,
        of_file: Option<Bundle>,
    ) -> Result<String, DeskError> {
        by.may_by_key(Duty::WriteRules)?;
        let standing = self.standing(of_file).await?;
        let judgement = judged(standing.bundle, bundle.clone()).await?;
        let faulty = VersionRefusal::Faulty { faults: judgement.lint_errors.clone() };
        let Ok(rules) = bundle.compile() else { return Err(faulty.into()) };
        match urgency {
            Urgency::Usual if !judgement.lint_errors.is_empty() => return Err(faulty.into()),
            Urgency::Usual => {}
            Urgency::Emergency => may_be_alone(&judgement)?,
        }
        let new = NewVersion {
            hash: rules.rules_hash_hex(),
            rules_id: rules.id().to_owned(),
            version: rules.version().to_owned(),
            bundle,
            author: by.name.clone(),
            note,
        };
        let (hash, now, by, stamp) = (new.hash.clone(), self.clock.now(), by.clone(), standing.stamp);
        let done = self
            .store
            .write(move |tx| {
                if !by.still_may(tx.conn(), Duty::WriteRules)? {
                    return Ok(Err(StaffRefusal::NotProven { name: by.name }.into()));
                }
                propose(tx, &new, urgency, stamp.as_deref(), now)
            })
            .await?;
        done.map(|()| hash)
    }

    /// Approves what another person proposed, in force from `effective` on, at once where that is past or not said.
    /// `looser_count` is the number of loosenings that the approver says they saw.
    ///
    /// # Errors
    /// [`DeskError::Rules`], [`DeskError::Staff`].
    pub async fn approve_rules(
        &self,
        by: &Person,
        asked: &str,
        effective: Option<UtcMillis>,
        looser_count: usize,
        of_file: Option<Bundle>,
    ) -> Result<Approved, DeskError> {
        by.may_by_key(Duty::ApproveRules)?;
        let row = self.find_version(asked).await?.row;
        if row.author == by.name {
            return Err(VersionRefusal::Own.into());
        }
        let hash = row.hash.clone();
        let bundle = self.store.read(move |conn| store::bundle_of(conn, &hash)).await?;
        let bundle = bundle.ok_or_else(|| VersionRefusal::Unknown { asked: asked.to_owned() })?;
        let standing = self.standing(of_file).await?;
        may_be_approved(&judged(standing.bundle, bundle).await?, looser_count)?;
        let (now, by, stamp) = (self.clock.now(), by.clone(), standing.stamp);
        let effective = effective.unwrap_or(now);
        self.store
            .write(move |tx| {
                if !by.still_may(tx.conn(), Duty::ApproveRules)? {
                    return Ok(Err(StaffRefusal::NotProven { name: by.name }.into()));
                }
                store::hold_rules(tx)?;
                if store::rules_stamp(tx.conn())? != stamp {
                    return Ok(Err(VersionRefusal::Overtaken.into()));
                }
                let hash = row.hash;
                match store::approve_version(tx, &hash, &by.name, effective, ActivatedBy::Normal, now)? {
                    Approval::Done { effective_at } => {
                        let (rules_hash, author, looser) = (hash.clone(), row.author, looser_count as u64);
                        let event = AuditEvent::RulesApproved { rules_hash, author, effective_at, looser };
                        store::append(tx, &installation(now, by.name, event))?;
                        Ok(Ok(Approved { hash, effective_at }))
                    }
                    refused @ (Approval::Unknown | Approval::Own | Approval::NotADraft { .. }) => {
                        Ok(Err(not_approved(refused, hash).into()))
                    }
                }
            })
            .await?
    }

    /// Takes back a draft, or an approved version that is not in force yet.
    ///
    /// # Errors
    /// [`DeskError::Rules`], [`DeskError::Staff`].
    pub async fn withdraw_rules(&self, by: &Person, asked: &str) -> Result<String, DeskError> {
        by.may_by_key(Duty::WriteRules)?;
        let hash = self.find_version(asked).await?.row.hash;
        let (now, by) = (self.clock.now(), by.clone());
        self.store
            .write(move |tx| {
                if !by.still_may(tx.conn(), Duty::WriteRules)? {
                    return Ok(Err(StaffRefusal::NotProven { name: by.name }.into()));
                }
                match store::withdraw_version(tx, &hash, &by.name, now)? {
                    Withdrawn::Done => {
                        let event = AuditEvent::RulesWithdrawn { rules_hash: hash.clone() };
                        store::append(tx, &installation(now, by.name, event))?;
                        Ok(Ok(hash))
                    }
                    Withdrawn::Unknown => Ok(Err(VersionRefusal::Unknown { asked: hash }.into())),
                    Withdrawn::WasInForce => Ok(Err(VersionRefusal::WasInForce { hash }.into())),
                    Withdrawn::Already => Ok(Err(VersionRefusal::Withdrawn { hash }.into())),
                }
            })
            .await?
    }

    /// Brings a version into force again that had been before: `asked`, or the one before the present one.
    ///
    /// # Errors
    /// [`DeskError::Rules`], [`DeskError::Staff`].
    pub async fn roll_back_rules(&self, by: &Person, asked: Option<&str>) -> Result<RolledBack, DeskError> {
        by.may_by_key(Duty::ApproveRules)?;
        let standing = self.standing(None).await?;
        let hash = match asked {
            Some(asked) => self.find_version(asked).await?.row.hash,
            None => self.version_before(standing.hash.clone()).await?.ok_or(VersionRefusal::NothingBefore)?,
        };
        let wanted = hash.clone();
        let bundle = self.store.read(move |conn| store::bundle_of(conn, &wanted)).await?;
        let bundle = bundle.ok_or_else(|| VersionRefusal::Unknown { asked: hash.clone() })?;
        let judgement = judged(standing.bundle, bundle).await?;
        if !judgement.lint_errors.is_empty() {
            return Err(VersionRefusal::Faulty { faults: judgement.lint_errors }.into());
        }
        let (now, by, from, loosenings) = (self.clock.now(), by.clone(), standing.hash, judgement.loosenings);
        self.store
            .write(move |tx| {
                if !by.still_may(tx.conn(), Duty::ApproveRules)? {
                    return Ok(Err(StaffRefusal::NotProven { name: by.name }.into()));
                }
                match store::reactivate_version(tx, &hash, &by.name, now)? {
                    Reactivated::Never => return Ok(Err(VersionRefusal::NeverInForce { hash }.into())),
                    Reactivated::InForce => return Ok(Err(VersionRefusal::InForce { hash }.into())),
                    Reactivated::Done => {}
                }
                let looser = loosenings.len() as u64;
                let event = AuditEvent::RulesRolledBack { from, rules_hash: hash.clone(), looser };
                store::append(tx, &installation(now, by.name, event))?;
                let mut coming = store::timetable(tx.conn(), now)?;
                coming.retain(|row| row.effective_at > now);
                Ok(Ok(RolledBack { hash, loosenings, coming }))
            })
            .await?
    }

    async fn version_before(&self, present: Option<String>) -> Result<Option<String>, DeskError> {
        let now = self.clock.now();
        let past = self.store.read(store::activations).await?;
        let mut before = past.into_iter().filter(|row| row.effective_at <= now).rev();
        Ok(before.find(|row| Some(&row.hash) != present.as_ref()).map(|row| row.hash))
    }
}

/// Reading, testing and comparing rules takes the processor, not the caller's thread.
async fn judged(active: Option<Bundle>, proposed: Bundle) -> Result<Judgement, DeskError> {
    tokio::task::spawn_blocking(move || judge(active.as_ref(), &proposed)).await.map_err(|_| DeskError::Stopped)
}

fn may_be_approved(judgement: &Judgement, looser_count: usize) -> Result<(), VersionRefusal> {
    is_sound(judgement)?;
    if judgement.loosenings.len() != looser_count {
        return Err(VersionRefusal::Looser { loosenings: judgement.loosenings.clone() });
    }
    Ok(())
}

fn may_be_alone(judgement: &Judgement) -> Result<(), VersionRefusal> {
    is_sound(judgement)?;
    if !judgement.loosenings.is_empty() {
        return Err(VersionRefusal::LooserInEmergency { loosenings: judgement.loosenings.clone() });
    }
    Ok(())
}

fn is_sound(judgement: &Judgement) -> Result<(), VersionRefusal> {
    if !judgement.lint_errors.is_empty() {
        return Err(VersionRefusal::Faulty { faults: judgement.lint_errors.clone() });
    }
    if !judgement.failing_tests.is_empty() {
        return Err(VersionRefusal::TestsFail { tests: judgement.failing_tests.clone() });
    }
    Ok(())
}

fn propose(
    tx: &mut Tx,
    new: &NewVersion,
    urgency: Urgency,
    stamp: Option<&str>,
    now: UtcMillis,
) -> Result<Result<(), DeskError>, StoreError> {
    store::hold_rules(tx)?;
    if let Proposed::AlreadyThere(row) = store::propose_version(tx, new, now)? {
        let (hash, state, author) = (row.hash, in_words(row.state), row.author.to_string());
        return Ok(Err(VersionRefusal::AlreadyThere { hash, state, author }.into()));
    }
    let (id, version, rules_hash) = (new.rules_id.clone(), new.version.clone(), new.hash.clone());
    let note = new.note.clone();
    let event = match urgency {
        Urgency::Usual => AuditEvent::RulesProposed { id, version, rules_hash, note },
        Urgency::Emergency => {
            if store::rules_stamp(tx.conn())?.as_deref() != stamp {
                // Nothing may be kept of it.
                return Err(StoreError::Moved);
            }
            let approval = store::approve_version(tx, &new.hash, &new.author, now, ActivatedBy::Emergency, now)?;
            if !matches!(approval, Approval::Done { .. }) {
                return Err(StoreError::Moved);
            }
            AuditEvent::RulesInEmergency { id, version, rules_hash, note }
        }
    };
    store::append(tx, &installation(now, new.author.clone(), event)).map(Ok)
}

fn not_approved(approval: Approval, hash: String) -> VersionRefusal {
    match approval {
        Approval::Own => VersionRefusal::Own,
        Approval::NotADraft { state } => VersionRefusal::NotADraft { hash, state: in_words(state) },
        Approval::Unknown | Approval::Done { .. } => VersionRefusal::Unknown { asked: hash },
    }
}

const fn in_words(state: VersionState) -> &'static str {
    match state {
        VersionState::Draft => "a draft",
        VersionState::Approved => "approved",
        VersionState::Withdrawn => "withdrawn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("number {number}")).collect()
    }

    #[test]
    fn what_fails_or_was_not_counted_is_not_approved() {
        let judgement = |faults, tests, looser| Judgement {
            lint_errors: lines(faults),
            failing_tests: lines(tests),
            loosenings: lines(looser),
        };
        assert_eq!(may_be_approved(&judgement(0, 0, 0), 0), Ok(()));
        assert_eq!(may_be_approved(&judgement(0, 0, 2), 2), Ok(()));
        for (judgement, counted) in [
            (judgement(1, 0, 0), 0),
            (judgement(0, 1, 0), 0),
            (judgement(0, 0, 2), 0),
            (judgement(0, 0, 2), 1),
            (judgement(0, 0, 0), 1),
        ] {
            assert!(may_be_approved(&judgement, counted).is_err(), "{judgement:?} {counted}");
        }
        let said = may_be_approved(&judgement(0, 0, 2), 0).unwrap_err().to_string();
        assert!(said.contains("--accept-looser 2") && said.contains("number 1"), "{said}");
        assert_eq!(may_be_alone(&judgement(0, 0, 0)), Ok(()));
        assert!(may_be_alone(&judgement(0, 0, 1)).is_err() && may_be_alone(&judgement(0, 1, 0)).is_err());
    }

    #[test]
    fn rules_with_a_fault_are_judged_by_it_alone() {
        let bundle = |rules: &str| Bundle { rules: rules.to_owned(), files: std::collections::BTreeMap::new() };
        let faulty = judge(None, &bundle("[policy]\nid = 5\n"));
        assert!(!faulty.lint_errors.is_empty() && faulty.loosenings.is_empty());
        assert_eq!(judge(None, &bundle(crate::policy::STARTER_RULES)), Judgement::default());
    }
}
