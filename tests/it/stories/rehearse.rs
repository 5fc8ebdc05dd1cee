//! What would have become of an EHR's reports, before Chartseal ever follows it.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::bad_input::{good_report, put_patient};
use crate::support::clinic::{Clinic, Wishes};
use crate::support::ehr_double::{Act, EhrDouble};
use crate::support::part::{EndWith, Part, Recipe};
use crate::support::place::Place;
use crate::support::planted::{self, assert_absent};
use crate::support::service::Installation;
use crate::support::{ehr, pdf, program, python, wait};

const HBA1C: &str = "4548-4";
const UNMAPPED: &str = "2106-3";

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_reads_the_past_and_leaves_neither_mail_nor_row() {
    let clinic = Clinic::spawn(Wishes::default()).await;
    let page = pdf::with_pages(&["a page"]);
    clinic.report("ana-1@example.test", HBA1C, &page).await;
    clinic.report(planted::EMAIL.value, UNMAPPED, &page).await;
    let (_, taken_back) = clinic.report("ana-3@example.test", HBA1C, &page).await;
    clinic.lab().change("DiagnosticReport", &taken_back, |report| report["status"] = json!("entered-in-error")).await;
    let patient = ehr::new_patient_id();
    let mut unreachable = ehr::patient(&patient, planted::FAMILY.value, "Ana", "1984-05-06", "ana-4@example.test");
    unreachable["telecom"] = json!([]);
    clinic.lab().update(&unreachable).await;
    clinic.lab().post(&ehr::report(&patient, HBA1C, &crate::support::clinic::real_now(), &page)).await;

    let ran = program::run(&clinic.config_path, &["rehearse", "--since", "1d"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(ran.err, "", "how far it is belongs on a terminal alone");
    assert_absent("the rehearsal", ran.all().as_bytes(), &planted::PATIENT_DATA);
    for line in ["Nothing was sent", "sent at once    1", "unreachable     1", "not final       1", "for a person    1"]
    {
        assert!(ran.out.contains(line), "no '{line}' in {}", ran.out);
    }
    let found = program::run(&clinic.config_path, &["rehearse", "--since", "1d", "--ehr", "lab", "--json"]).json();
    assert_eq!((&found["seen"], &found["sent"], &found["not_final"]), (&json!(4), &json!(1), &json!(1)), "{found}");
    assert_eq!(found["unmapped"][0], json!({"code": format!("http://loinc.org|{UNMAPPED}"), "reports": 1}));
    assert_eq!((&found["ended"], &found["unread"]), (&json!("whole"), &json!({})), "{found}");
    let bounded = program::run(&clinic.config_path, &["rehearse", "--since", "1d", "--reports-max", "1"]);
    assert!(bounded.out.contains("There is more: it ended after"), "{}", bounded.out);
    let unknown = program::run(&clinic.config_path, &["rehearse", "--since", "1d", "--ehr", "nowhere"]);
    assert!(unknown.code == 2 && unknown.err.contains("no such EHR"), "{}", unknown.all());

    let rules = clinic.folder.join("all-looked-at.toml");
    let text = crate::support::clinic::RULES.replace("\"send\"", "\"manual_review\"");
    std::fs::write(&rules, text).unwrap();
    let other =
        program::run(&clinic.config_path, &["rehearse", "--since", "1d", "--rules", rules.to_str().unwrap(), "--json"])
            .json();
    assert_eq!(other["sent"], 0, "{other}");

    assert!(clinic.deliveries().await.is_empty() && clinic.mailbox.mails().is_empty(), "a rehearsal was for real");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_sees_how_far_a_rehearsal_is_and_ctrl_c_ends_it_with_what_was_found_so_far() {
    let slow = EhrDouble::start().await;
    for number in 0..9 {
        let id = format!("r{number}");
        put_patient(&slow, &format!("patient-of-{id}"), &format!("ana-{number}@example.test"));
        slow.put(&good_report(&id));
    }
    // Four are read at once; of the next four nothing comes.
    let read = AtomicUsize::new(0);
    slow.behave(move |asked| {
        let is_late = asked.reads("DiagnosticReport") && read.fetch_add(1, Ordering::SeqCst) >= 4;
        if is_late { Act::Silence } else { Act::AsUsual }
    });
    let installation = Installation::write(&Wishes::default(), &slow.base_url, 9, &[]).await;
    assert_eq!(installation.command(&["migrate"]).code, 0);

    let program = program::command(&installation.config);
    let mut command = vec![python::program("python").into(), python::script("in_terminal.py").into()];
    command.push(program.get_program().to_owned());
    command.extend(program.get_args().map(ToOwned::to_owned));
    command.extend(["rehearse", "--since", "1d"].map(Into::into));
    let recipe = Recipe { name: "rehearsal", command, environment: Vec::new(), end_with: EndWith::Interrupt };
    let mut terminal = Part::start(recipe, Place::new("rehearsal"));
    wait::until("the first four", || {
        terminal.assert_running();
        terminal.log().contains("\r4 read").then_some(())
    })
    .await;
    terminal.signal("INT");
    let code = wait::until("the rehearsal to end", || terminal.exit_code()).await;
    let shown = terminal.log();
    assert_eq!(code, 0, "{shown}");
    for line in [
        "It was stopped: this is what was found so far.",
        "4 reports changed since",
        "sent at once    4",
        "Nothing was sent, nothing was stored.",
    ] {
        assert!(shown.contains(line), "no '{line}' in {shown}");
    }
    assert!(!shown.contains("8 read") && !shown.contains("There is more"), "{shown}");
    let stored = installation.command(&["deliveries", "list", "--json"]);
    assert_eq!(stored.json(), json!([]), "{}", stored.all());
}
