//! Link behaviour 7: after delivery, nothing of a link or of its report is left where a thief could look.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::clinic::{self, Wishes};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::part::{EndWith, Part, Recipe};
use crate::support::place::Place;
use crate::support::planted::{self, *};
use crate::support::service::{Installation, Service};
use crate::support::{ehr, pdf, wait};

/// What files and memory do hold, so that a scan of them can be seen to work.
const CLINIC: Planted = Planted { what: "the clinic's name", value: "Riverside Clinic" };

/// Database and its log, sealed files, outbox, keys, the service's log, and in place of a core dump all the memory that the
/// running process can write to. What is searched for is found by the same scan in a process that was given it.
///
/// Not shown: the sixteen bytes of the secret, as numbers and not as text, can stay in the dead part of a thread's stack.
#[tokio::test(flavor = "multi_thread")]
async fn link_07_no_secret_at_rest() {
    let (ehr, mailbox) = (ehr::lease().await, Mailbox::start(Manner::Plain).await);
    let quick = [("CHARTSEAL__EHR__0__POLL_SECONDS", "1")];
    let installation = Installation::write(&Wishes::default(), ehr.base_url(), mailbox.port, &quick).await;
    let service = Service::start(&installation).await;
    let paper = pdf::with_pages(&[REPORT_TEXT.value, FAMILY.value]);
    ehr.lab().update(&patient()).await;
    ehr.lab().post(&report(&paper)).await;
    let link = mailbox.wait_for(EMAIL.value, 1).await.link();
    assert_eq!(Holder::new(&link).read().await, paper);

    let text = link.split_once('#').unwrap().1;
    let markers = [FAMILY, GIVEN, BIRTH_DATE, MRN, EMAIL, REPORT_TEXT, REPORT_TITLE];
    let everything =
        [markers.as_slice(), &[Planted { what: "the link's secret", value: text.to_owned().leak() }]].concat();
    assert_scan_of_memory_finds(&everything).await;
    let folder: &Path = &service.folder;
    for there in [planted::found_in_files(&[folder], &[CLINIC]), planted::found_in(memory_of(service.pid()), &[CLINIC])]
    {
        assert!(!there.is_empty(), "the scan does not find what has to be there");
    }

    // What is freed, checkpointed and overwritten goes within moments of the receipt.
    wait::until("disk and memory to hold nothing of it", || {
        let found = planted::found_in(memory_of(service.pid()), &everything);
        (found.is_empty() && planted::found_in_files(&[folder], &everything).is_empty()).then_some(())
    })
    .await;
    planted::assert_absent("the log", service.stop().await.as_bytes(), &everything);
}

fn patient() -> Value {
    let mut patient = ehr::patient(PATIENT_ID.value, FAMILY.value, GIVEN.value, BIRTH_DATE.value, EMAIL.value);
    patient["identifier"][0]["value"] = json!(MRN.value);
    patient
}

fn report(paper: &[u8]) -> Value {
    let mut report = ehr::report(PATIENT_ID.value, "58410-2", &clinic::real_now(), paper);
    report["conclusion"] = json!(REPORT_TEXT.value);
    report["presentedForm"][0]["title"] = json!(REPORT_TITLE.value);
    report
}

/// A process whose environment, and so its memory, holds every value.
async fn assert_scan_of_memory_finds(everything: &[Planted]) {
    let values: Vec<&str> = everything.iter().map(|planted| planted.value).collect();
    let environment = vec![("CONTROL", values.join(" ").into())];
    let command = vec!["sleep".into(), "600".into()];
    let knows = Part::start(
        Recipe { name: "sleep", command, environment, end_with: EndWith::Terminate },
        Place::new("control"),
    );
    for planted in everything {
        wait::until(planted.what, || {
            let found = planted::found_in(memory_of(knows.pid()?), &[*planted]);
            (!found.is_empty()).then_some(())
        })
        .await;
    }
}
