//! Resources that are one document, documents that others replace, and what is read first.

use chartseal::base::{FhirId, ResourceKey, ResourceType, SourceId, UtcMillis, random};
use chartseal::policy::{Decision, ReportStatus, ReviewReason};
use chartseal::record::{Link, LinkEvent};
use chartseal::store::{self, Hearing, Mark, MarkKind, Place, Said, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, after, version};

const SAYS: [u8; 32] = [1; 32];
const SAYS_MORE: [u8; 32] = [2; 32];

fn key(kind: ResourceType, id: &str) -> ResourceKey {
    ResourceKey { ehr: stage::ehr(), kind, id: FhirId::parse(id).unwrap() }
}

fn heard(tx: &mut Tx, kind: ResourceType, id: &str) -> Result<SourceId, StoreError> {
    match store::hear(tx, &key(kind, id), Some(&version("1")), NOW, &mut random::system())? {
        Hearing::Due(id) | Hearing::Known(id) => Ok(id),
    }
}

fn a_report(tx: &mut Tx, id: &str) -> Result<SourceId, StoreError> {
    heard(tx, ResourceType::DiagnosticReport, id)
}

fn a_document(tx: &mut Tx, id: &str) -> Result<SourceId, StoreError> {
    heard(tx, ResourceType::DocumentReference, id)
}

/// A report whose link is out.
fn out(tx: &mut Tx, number: u16) -> Result<store::Delivery, StoreError> {
    let released = stage::handed_over(tx, number, 1)?;
    Ok(store::delivery(tx.conn(), &released.delivery)?.expect("it was released"))
}

fn mark(kind: MarkKind, number: u8) -> Mark {
    Mark { kind, mark: [number; 32] }
}

/// The resources of kind document that are alike one with these marks.
fn alike(tx: &mut Tx, id: &SourceId, marks: &[Mark]) -> Result<Vec<SourceId>, StoreError> {
    let found = store::alike(tx.conn(), (id, ResourceType::DocumentReference), marks)?;
    Ok(found.into_iter().map(|one| one.source).collect())
}

on_both! {
    async fn a_file_in_common_counts_between_a_report_and_a_document_alone(bed: Bed) {
        bed.write(|tx| {
            let (report, document, other) = (a_report(tx, "r")?, a_document(tx, "d")?, a_document(tx, "e")?);
            for kind in [MarkKind::Sha256, MarkKind::Sha1, MarkKind::Address] {
                store::note_marks(tx, &report, &[mark(kind, 1)], &SAYS, NOW)?;
                store::note_marks(tx, &other, &[mark(kind, 1)], &SAYS, NOW)?;
                assert_eq!(alike(tx, &document, &[mark(kind, 1)])?, vec![report.clone()], "{kind:?}");
                assert_eq!(alike(tx, &document, &[mark(kind, 2)])?, Vec::new());
            }
            Ok(())
        })
        .await;
    }

    async fn a_name_in_common_counts_where_one_bears_it_and_files_that_differ_may_speak_against_it(bed: Bed) {
        bed.write(|tx| {
            let (report, document) = (a_report(tx, "r")?, a_document(tx, "d")?);
            let itself = [mark(MarkKind::Itself, 1), mark(MarkKind::Sha1, 2)];
            store::note_marks(tx, &report, &itself, &SAYS, NOW)?;
            let belongs = mark(MarkKind::BelongsTo, 1);
            let perhaps = |tx: &mut Tx, marks: &[Mark]| {
                let found = store::find_alike(tx.conn(), (&document, ResourceType::DocumentReference), marks)?;
                Ok::<_, StoreError>(found.perhaps.into_iter().map(|one| one.source).collect::<Vec<_>>())
            };
            let untold = [belongs.clone(), mark(MarkKind::Sha256, 3)];
            for marks in [std::slice::from_ref(&belongs), &untold] {
                assert_eq!(alike(tx, &document, marks)?, Vec::new(), "nothing tells");
                assert_eq!(perhaps(tx, marks)?, vec![report.clone()]);
                let would_tell = store::would_digest_tell(tx.conn(), (&document, ResourceType::DocumentReference), marks)?;
                assert!(!would_tell, "no digest of bytes is known of the other");
            }
            let another = [belongs.clone(), mark(MarkKind::Sha1, 3)];
            assert_eq!((alike(tx, &document, &another)?, perhaps(tx, &another)?), (Vec::new(), Vec::new()), "another file");
            let same = [belongs, mark(MarkKind::Sha1, 2)];
            assert_eq!((alike(tx, &document, &same)?, perhaps(tx, &same)?), (vec![report.clone()], Vec::new()));
            let restates = [mark(MarkKind::Restates, 1), mark(MarkKind::Sha1, 3)];
            assert_eq!(alike(tx, &document, &restates)?, vec![report], "another form of it");
            // Two that name a third are not one by that.
            let other = a_document(tx, "e")?;
            store::note_marks(tx, &document, &restates, &SAYS, NOW)?;
            assert_eq!(alike(tx, &other, &[mark(MarkKind::Restates, 1)])?.len(), 1);
            Ok(())
        })
        .await;
    }

    async fn one_address_is_one_file_unless_digests_of_what_was_said_then_tell_otherwise(bed: Bed) {
        bed.write(|tx| {
            let (report, document) = (a_report(tx, "r")?, a_document(tx, "d")?);
            let at = mark(MarkKind::Address, 1);
            store::note_marks(tx, &report, &[at.clone(), mark(MarkKind::Sha1, 2)], &SAYS, NOW)?;
            assert_eq!(alike(tx, &document, std::slice::from_ref(&at))?, vec![report.clone()]);
            assert_eq!(alike(tx, &document, &[at.clone(), mark(MarkKind::Sha1, 2)])?, vec![report.clone()]);
            assert_eq!(alike(tx, &document, &[at.clone(), mark(MarkKind::Sha1, 3)])?, Vec::new());
            // What lay there before is no witness of what lies there now.
            store::note_marks(tx, &report, &[at.clone(), mark(MarkKind::Sha1, 3)], &SAYS_MORE, NOW.plus(after(60)))?;
            let found = store::alike(
                tx.conn(),
                (&document, ResourceType::DocumentReference),
                &[at, mark(MarkKind::Sha1, 2)],
            )?;
            let contents: Vec<_> = found.into_iter().map(|one| one.content_hash).collect();
            assert_eq!(contents, [SAYS], "the file that it was, not the one that it is");
            Ok(())
        })
        .await;
    }

    async fn of_two_names_that_are_read_at_once_the_second_sees_the_first(bed: Bed) {
        for round in 0..10 {
            let marks = [mark(MarkKind::Sha256, round), mark(MarkKind::Itself, round + 100)];
            let seen = bed
                .all_at_once(2, move |tx, number| {
                    let kind = if number == 0 { ResourceType::DiagnosticReport } else { ResourceType::DocumentReference };
                    let id = heard(tx, kind, &format!("round-{round}"))?;
                    // Each in an order of its own.
                    let marks = if number == 0 { marks.to_vec() } else { marks.iter().rev().cloned().collect() };
                    store::hold_documents(tx, &marks, std::iter::empty())?;
                    let found = store::alike(tx.conn(), (&id, kind), &marks)?.len();
                    store::note_marks(tx, &id, &marks, &SAYS, NOW)?;
                    Ok(found)
                })
                .await;
            let seen: usize = seen.into_iter().map(Result::unwrap).sum();
            assert_eq!(seen, 1, "both, or neither, took itself for the first");
        }
    }

    async fn what_it_was_recognised_by_stays_with_what_it_said_then(bed: Bed) {
        bed.write(|tx| {
            let (report, document) = (a_report(tx, "r")?, a_document(tx, "d")?);
            store::note_marks(tx, &report, &[mark(MarkKind::Sha256, 1)], &SAYS, NOW)?;
            store::note_marks(tx, &report, &[mark(MarkKind::Sha256, 2)], &SAYS_MORE, NOW.plus(after(60)))?;
            let of = |tx: &mut Tx, number| {
                let found = store::alike(
                    tx.conn(),
                    (&document, ResourceType::DocumentReference),
                    &[mark(MarkKind::Sha256, number)],
                )?;
                Ok::<_, StoreError>(found.into_iter().map(|one| (one.content_hash, one.noted_at)).collect::<Vec<_>>())
            };
            assert_eq!(of(tx, 1)?, vec![(SAYS, NOW)]);
            assert_eq!(of(tx, 2)?, vec![(SAYS_MORE, NOW.plus(after(60)))]);
            assert_eq!(store::marks_of(tx.conn(), &report, &SAYS_MORE)?, vec![mark(MarkKind::Sha256, 2)]);
            assert_eq!(store::forget_marks(tx, NOW.plus(after(1)))?, 1);
            assert_eq!((of(tx, 1)?.len(), of(tx, 2)?.len()), (0, 1));
            Ok(())
        })
        .await;
    }

    async fn families_grow_together_and_one_that_leaves_leaves_alone(bed: Bed) {
        bed.write(|tx| {
            let ids: Vec<SourceId> =
                (0..4).map(|number| a_document(tx, &format!("d{number}"))).collect::<Result<_, _>>()?;
            assert_eq!(store::family_of(tx.conn(), &ids[0])?, Vec::new());
            store::make_one(tx, &ids[0], &ids[1], NOW)?;
            store::make_one(tx, &ids[2], &ids[3], NOW)?;
            store::make_one(tx, &ids[1], &ids[2], NOW)?;
            store::make_one(tx, &ids[1], &ids[2], NOW)?;
            for id in &ids {
                let mut others: Vec<SourceId> = ids.iter().filter(|other| *other != id).cloned().collect();
                others.sort();
                assert_eq!(store::hold_family(tx, id)?, others);
            }
            store::leave_family(tx, &ids[1])?;
            assert_eq!(store::family_of(tx.conn(), &ids[1])?, Vec::new());
            assert_eq!(store::family_of(tx.conn(), &ids[0])?.len(), 2);
            Ok(())
        })
        .await;
    }

    async fn what_the_rules_say_of_one_of_several_is_kept_and_of_one_alone_is_not(bed: Bed) {
        bed.write(|tx| {
            let (report, document) = (a_report(tx, "r")?, a_document(tx, "d")?);
            let decision = Decision::Review { why: ReviewReason::RuleAsks { rule: "x".to_owned() }, terms: None };
            let said = Said { decision: decision.clone(), trace: "{}".to_owned(), rules_hash: "h".to_owned() };
            store::note_said(tx, &report, &said, NOW)?;
            assert!(store::said_of(tx.conn(), &report)?.is_none());
            store::make_one(tx, &report, &document, NOW)?;
            store::note_said(tx, &report, &said, NOW)?;
            let kept = store::said_of(tx.conn(), &report)?.unwrap();
            assert_eq!((kept.decision, kept.trace.as_str(), kept.rules_hash.as_str()), (decision, "{}", "h"));
            assert!(store::said_of(tx.conn(), &document)?.is_none());
            Ok(())
        })
        .await;
    }

    async fn a_document_is_replaced_as_long_as_another_says_so_whether_it_is_known_or_not(bed: Bed) {
        bed.write(|tx| {
            let new = a_document(tx, "new")?;
            let ids = |names: &[&str]| names.iter().map(|name| FhirId::parse(name).unwrap()).collect::<Vec<_>>();
            let place = |tx: &mut Tx, name: &str| store::place_of(tx.conn(), &key(ResourceType::DocumentReference, name));
            assert_eq!(store::set_replaced(tx, &new, &stage::ehr(), &ids(&["a", "b"]))?, ids(&["a", "b"]));
            assert_eq!(store::set_replaced(tx, &new, &stage::ehr(), &ids(&["b", "a"]))?, ids(&[]));
            assert_eq!([place(tx, "a")?, place(tx, "b")?, place(tx, "c")?], [Place::Taken, Place::Taken, Place::Kept]);
            assert_eq!(store::place_of(tx.conn(), &key(ResourceType::DiagnosticReport, "a"))?, Place::Kept);
            assert_eq!(store::set_replaced(tx, &new, &stage::ehr(), &ids(&["b", "c"]))?, ids(&["a", "c"]));
            assert_eq!([place(tx, "a")?, place(tx, "c")?], [Place::Kept, Place::Taken]);
            Ok(())
        })
        .await;
    }

    async fn a_document_of_unclear_status_disputes_a_place_until_staff_put_it_aside(bed: Bed) {
        bed.write(|tx| {
            let new = a_document(tx, "new")?;
            let old = a_document(tx, "old")?;
            for row in store::lease_sources(tx, &stage::ehr(), NOW, NOW.plus(after(120)), 10)? {
                let status = if row.id == new { ReportStatus::Unknown } else { ReportStatus::Final };
                store::finish_source(tx, &row, &store::SourceReading { status: Some(status), ..stage::reading(NOW, "1") })?;
            }
            store::set_replaced(tx, &new, &stage::ehr(), &[FhirId::parse("old").unwrap()])?;
            let place = |tx: &mut Tx| store::place_of(tx.conn(), &key(ResourceType::DocumentReference, "old"));
            assert_eq!(place(tx)?, Place::Disputed);
            let replaced = store::replaced_by(tx.conn(), &new)?;
            assert_eq!(replaced.into_iter().map(|row| row.id).collect::<Vec<_>>(), [old]);
            let waiting = Link::Review { why: ReviewReason::UnknownStatus };
            let own = stage::keep(tx, &store::NewDelivery { state: waiting, ..stage::new_delivery(&new) })?;
            assert_eq!(place(tx)?, Place::Disputed);
            stage::revoke(tx, &own.id, NOW)?;
            assert_eq!(place(tx)?, Place::Kept);
            Ok(())
        })
        .await;
    }

    async fn what_the_ehr_says_of_a_report_that_is_out_is_read_before_everything_else(bed: Bed) {
        let out = bed.write(|tx| out(tx, 1)).await;
        bed.write(move |tx| {
            // The other name of what is out counts as well.
            let twin = a_document(tx, "twin")?;
            store::make_one(tx, &out.source, &twin, NOW)?;
            for number in 100..140 {
                a_report(tx, &format!("report-{number}"))?;
            }
            let later = NOW.plus(after(60));
            for (key, version_heard) in
                [(stage::report(1), "9"), (key(ResourceType::DocumentReference, "twin"), "9")]
            {
                store::hear(tx, &key, Some(&version(version_heard)), later, &mut random::system())?;
            }
            let looked = store::is_anything_urgent(tx.conn(), &stage::ehr(), later)?;
            assert!(looked);
            let leased = store::lease_sources(tx, &stage::ehr(), later, later.plus(after(120)), 3)?;
            let ids: Vec<&SourceId> = leased.iter().map(|row| &row.id).collect();
            assert!(ids.contains(&&out.source) && ids.contains(&&twin), "new reports came first");
            assert_eq!(leased.len(), 3, "and one that waited");
            assert!(!store::is_anything_urgent(tx.conn(), &stage::ehr(), later)?);
            assert_eq!(
                store::lease_urgent_sources(tx, &stage::ehr(), later, later.plus(after(120)), 10)?.len(),
                0,
                "what nobody has out is not urgent"
            );
            // A reading that failed stays urgent, one that was finished does not.
            for row in leased {
                if row.id == twin {
                    store::fail_source(tx, &row, "slow", Some(later))?;
                } else {
                    store::finish_source(tx, &row, &stage::reading(later, "9"))?;
                }
            }
            let again = store::lease_urgent_sources(tx, &stage::ehr(), later, later.plus(after(120)), 10)?;
            assert_eq!(again.len(), 1);
            assert_eq!(again[0].id, twin);
            // What the EHR's history says is gone is read as fast.
            store::heard_to_be_gone(tx, &stage::report(1), later)?;
            let gone = store::lease_urgent_sources(tx, &stage::ehr(), later, later.plus(after(120)), 10)?;
            assert_eq!(gone.iter().map(|row| &row.id).collect::<Vec<_>>(), [&out.source]);
            Ok(())
        })
        .await;
    }

    async fn an_index_run_adds_nothing_and_makes_nothing_urgent(bed: Bed) {
        const REPORTS: u16 = 1000;
        const AT_ONCE: i64 = 100;
        let marks = |number: u16| {
            let [high, low] = number.to_be_bytes();
            let mut mark = [0; 32];
            mark[..2].copy_from_slice(&[high, low]);
            [Mark { kind: MarkKind::Sha256, mark }]
        };
        bed.write(move |tx| {
            for run in 1..=3_u8 {
                let (said, at) = (version(&run.to_string()), NOW.plus(after(u64::from(run) * 60)));
                for number in 0..REPORTS {
                    store::hear(tx, &stage::report(number), Some(&said), at, &mut random::system())?;
                }
                assert!(!store::is_anything_urgent(tx.conn(), &stage::ehr(), at)?);
                let mut read = 0;
                loop {
                    let leased = store::lease_sources(tx, &stage::ehr(), at, at.plus(after(120)), AT_ONCE)?;
                    if leased.is_empty() {
                        break;
                    }
                    read += leased.len();
                    for row in leased {
                        let number = row.key.id.as_str().trim_start_matches("report-").parse().unwrap();
                        store::note_marks(tx, &row.id, &marks(number), &SAYS, at)?;
                        store::finish_source(tx, &row, &stage::reading(at, &run.to_string()))?;
                    }
                }
                assert_eq!(read, usize::from(REPORTS), "each is read once a run");
            }
            // Of all runs together there is one mark of each, as old as the first.
            let second_run = NOW.plus(after(120));
            assert_eq!(store::forget_marks(tx, second_run)?, u64::from(REPORTS));
            assert_eq!(store::forget_marks(tx, UtcMillis(i64::MAX))?, 0);
            Ok(())
        })
        .await;
    }

    async fn the_other_names_of_what_is_out_are_looked_for_as_well(bed: Bed) {
        let out = bed.write(|tx| out(tx, 1)).await;
        bed.write(move |tx| {
            let (twin, stranger) = (a_document(tx, "twin")?, a_document(tx, "stranger")?);
            for row in store::lease_sources(tx, &stage::ehr(), NOW, NOW.plus(after(120)), 10)? {
                store::finish_source(tx, &row, &stage::reading(NOW, "1"))?;
            }
            store::make_one(tx, &out.source, &twin, NOW)?;
            let later = NOW.plus(after(3600));
            assert_eq!(store::due_for_recheck(tx, &stage::ehr(), later, later)?, 2);
            let leased = store::lease_sources(tx, &stage::ehr(), later, later.plus(after(120)), 10)?;
            assert!(leased.iter().any(|row| row.id == twin) && leased.iter().all(|row| row.id != stranger));
            Ok(())
        })
        .await;
    }

    async fn the_delivery_of_the_same_document_is_the_one_that_left_or_was_decided_first(bed: Bed) {
        bed.write(|tx| {
            let out = out(tx, 1)?;
            let document = a_document(tx, "d")?;
            let own = stage::keep(tx, &store::NewDelivery { state: Link::Recorded, ..stage::new_delivery(&document) })?;
            let alike = |source: &SourceId| {
                vec![store::Alike { source: source.clone(), content_hash: SAYS, noted_at: NOW }]
            };
            let lead = |tx: &mut Tx, source: &SourceId, own: &store::Delivery| {
                Ok::<_, StoreError>(store::lead_elsewhere(tx.conn(), &alike(source), own)?.map(|lead| lead.id))
            };
            assert_eq!(lead(tx, &out.source, &own)?, Some(out.id.clone()));
            assert_eq!(lead(tx, &document, &own)?, None, "one's own is no other");
            // What took its place counts in its place, and nothing where that is one's own.
            stage::step(tx, &out.id, LinkEvent::Supersede { by: own.id.clone() }, NOW)?;
            assert_eq!(lead(tx, &out.source, &own)?, None);
            Ok(())
        })
        .await;
    }
}
