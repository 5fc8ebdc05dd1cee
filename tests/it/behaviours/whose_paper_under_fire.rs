//! The right patient's paper, while the process that reads it hangs, dies or lies: nothing is lost, nothing is sent unread or twice.

use std::time::Duration;

use chartseal::cell::CellLimits;

use super::whose_paper::{ANA, own_paper, post};
use crate::support::clinic::{Clinic, Wishes, desk_at, place_false_reader, place_reader};
use crate::support::holder::Holder;

const HANGS: &str = "exec /bin/sleep 1000";
const DIES: &str = "kill -9 $$";
const LIES: &str = "/bin/cat";
const RTF: &[u8] = b"{\\rtf1\\ansi Patient: Ana Garcia\\par HbA1c 5.4 %\\par}";

fn wishes() -> Wishes {
    Wishes { reading: CellLimits { work_max: Duration::from_secs(4), ..CellLimits::default() }, ..Wishes::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_leaves_when_its_reader_is_well_again() {
    let clinic = Clinic::spawn(wishes()).await;
    let kinds = [("application/pdf", own_paper()), ("application/rtf", RTF.to_vec())];
    let mut sent = 0;
    for script in [DIES, LIES, HANGS] {
        for (kind, bytes) in &kinds {
            place_false_reader(&clinic.folder, script);
            let report = post(&clinic, kind, bytes).await;
            clinic.hear_and_settle().await;
            let waits = clinic.delivery_of(&report).await;
            assert_eq!((waits.state, clinic.mails_to(ANA).len()), ("recorded", sent), "{script} {kind}");
            place_reader(&clinic.folder);
            clinic.forward(Duration::from_hours(1));
            clinic.settle().await;
            sent += 1;
            assert_eq!(
                (clinic.delivery_of(&report).await.state, clinic.mails_to(ANA).len()),
                ("live", sent),
                "{script} {kind}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_read_for_hours_waits_for_a_person_and_leaves_by_their_word() {
    let clinic = Clinic::spawn(wishes()).await;
    place_false_reader(&clinic.folder, DIES);
    let pdf = post(&clinic, "application/pdf", &own_paper()).await;
    clinic.hear_and_settle().await;
    for _ in 0..10 {
        clinic.forward(Duration::from_hours(1));
        clinic.settle().await;
    }
    let held = clinic.delivery_of(&pdf).await;
    assert_eq!(held.state, "review");
    assert!(held.note.contains("whose the attachment is could not be looked at"), "{}", held.note);
    assert_eq!(clinic.mails_to(ANA).len(), 0);
    // The reader is as ill as before: a person has looked instead.
    desk_at(&clinic.ground).release(&held.id, None).await.unwrap();
    clinic.settle().await;
    let (_, bytes) = Holder::new(&clinic.mailbox.wait_for(ANA, 1).await.link()).claim_and_read().await;
    assert!(bytes == own_paper());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_reader_can_be_confined_a_person_looks_at_once() {
    let clinic = Clinic::spawn(wishes()).await;
    place_false_reader(&clinic.folder, "exit 71");
    for (kind, bytes) in [("application/pdf", own_paper()), ("application/rtf", RTF.to_vec())] {
        let report = post(&clinic, kind, &bytes).await;
        clinic.hear_and_settle().await;
        let held = clinic.delivery_of(&report).await;
        assert_eq!(held.state, "review");
        assert!(held.note.contains("this machine cannot confine"), "{}", held.note);
    }
    assert_eq!(clinic.mails_to(ANA).len(), 0);
}
