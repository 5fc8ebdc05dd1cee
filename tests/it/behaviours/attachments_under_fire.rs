//! Attachments behind addresses that lead astray. That a wrong hash or size and a redirect are refused, and that the token goes to no
//! other server, `stories/attachments.rs` and `sign_in_troubles.rs` show.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chartseal::base::SecretText;
use chartseal::fhir::{
    AttachmentRef, AttachmentSource, Auth, EhrClient, EhrConnection, EhrError, Limits, Origin, ServiceBase,
};
use serde_json::{Value, json};

use super::polling::{put_report, report, with_double};
use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr_double::{Act, EhrDouble, Reply};
use crate::support::holder::Holder;
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::place::Place;
use crate::support::{ehr, pdf};

const PDF: &str = "application/pdf";
const LIMIT_BYTES: u64 = 256 * 1024;
/// What may be on its way between two sockets when one of them hangs up.
const UNDER_WAY_BYTES: u64 = 16 * 1024 * 1024;

fn at(url: &str) -> Value {
    json!([{"contentType": PDF, "url": url}])
}

/// The report of `put_report` with its file at this address.
fn put_report_at(double: &EhrDouble, name: &str, url: &str) -> String {
    let email = put_report(double, name, &clinic::real_now());
    let mut report = report(name, &clinic::real_now());
    report["presentedForm"] = at(url);
    double.put(&report);
    email
}

async fn clinic_of(double: &EhrDouble, ehr_more: &str, more: &str) -> Clinic {
    let (base, ehr_more) = (Some(double.base_url.clone()), ehr_more.to_owned());
    let wishes = Wishes { ehr_base: base, ehr_more, more: more.to_owned(), ..Wishes::default() };
    Clinic::spawn_with(wishes, ehr::lease().await, Mailbox::start(Manner::Plain).await).await
}

fn origin_of(double: &EhrDouble) -> String {
    double.base_url.strip_suffix("/fhir").expect("a base ends in /fhir").to_owned()
}

/// That an administrator listed it makes no difference: what is there belongs to the machine, not to the EHR.
#[tokio::test(flavor = "multi_thread")]
async fn event_12_an_address_of_the_machine_itself_is_refused_though_it_is_listed() {
    let double = EhrDouble::start().await;
    let listed = "attachment_origins = [\"http://169.254.169.254\", \"http://[::ffff:169.254.169.254]\"]";
    let clinic = with_double(&double, listed).await;
    let addresses = [
        ("metadata", "http://169.254.169.254/latest/meta-data/iam"),
        ("mapped", "http://[::ffff:169.254.169.254]/latest/meta-data/iam"),
        ("number", "http://2852039166/latest/meta-data/iam"),
        ("named", "http://user:secret@169.254.169.254/"),
    ];
    for (name, url) in addresses {
        put_report_at(&double, name, url);
    }
    clinic.hear_and_settle().await;
    for (name, _) in addresses {
        let brief = clinic.delivery_of(&format!("r-{name}")).await;
        assert_eq!(brief.state, "review", "{name}");
        assert!(brief.note.contains("does not follow"), "{name}: {}", brief.note);
    }
    assert!(clinic.mailbox.mails().is_empty());
}

/// Between the look at a name and the connection to it the name may change: what is connected to is what was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn event_12_a_listed_name_that_leads_inside_is_not_connected_to() {
    let inside = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    inside.set_nonblocking(true).unwrap();
    let url = format!("http://localhost:{}", inside.local_addr().unwrap().port());
    let client = EhrClient::new(EhrConnection {
        id: "outside".parse().unwrap(),
        // Nobody is asked there: the attachment alone is fetched.
        base: ServiceBase::new("https://9.9.9.9/fhir".parse().unwrap()).unwrap(),
        auth: Auth::None,
        attachment_origins: vec![Origin::of(&url.parse().unwrap()).unwrap()],
        limits: Limits::default(),
    })
    .unwrap();
    let attachment = AttachmentRef {
        source: AttachmentSource::Url(SecretText::new(format!("{url}/report.pdf"))),
        content_type: Some(PDF.to_owned()),
        language: None,
        title: None,
        size: None,
        sha1: None,
    };
    assert_eq!(client.fetch_attachment(&attachment).await.err(), Some(EhrError::Unreachable));
    assert_eq!(inside.accept().err().map(|error| error.kind()), Some(std::io::ErrorKind::WouldBlock));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_12_a_file_without_an_end_is_left_at_the_limit_and_a_person_is_told() {
    let double = EhrDouble::start().await;
    double.behave(|asked| if asked.reads("Binary") { Act::Endless(PDF, b"%PDF-1.7\n") } else { Act::AsUsual });
    let clinic = clinic_of(&double, "", &format!("[limits]\nattachment_bytes_max = {LIMIT_BYTES}")).await;
    put_report_at(&double, "endless", "Binary/endless");
    let email = put_report(&double, "good", &clinic::real_now());
    clinic.hear_and_settle().await;
    let brief = clinic.delivery_of("r-endless").await;
    assert_eq!(brief.state, "review");
    assert!(brief.note.contains(&format!("larger than {LIMIT_BYTES} bytes")), "{}", brief.note);
    let taken = double.endless_bytes();
    assert!(taken < UNDER_WAY_BYTES, "{taken} bytes of a file that may have {LIMIT_BYTES}");
    assert_eq!(clinic.mails_to(&email).len(), 1, "the report beside it");
    assert_eq!(clinic.blobs().len(), 1, "nothing of the endless one is kept");
}

/// Medplum and others sign an attachment's address anew each time the report is read, and for minutes only.
#[tokio::test(flavor = "multi_thread")]
async fn event_12_a_signed_address_that_ran_out_is_taken_anew_from_the_report() {
    let (double, store) = (EhrDouble::start().await, EhrDouble::start().await);
    let file = pdf::with_pages(&["HbA1c 5.4 %"]);
    let answered = file.clone();
    store.behave(move |asked| match asked.target.as_str() {
        "/files/r1?sig=fresh" => Act::Answer(Reply::new(200, PDF, answered.clone())),
        _ => Act::Answer(Reply::new(403, "application/xml", "<Error><Code>ExpiredToken</Code></Error>")),
    });
    let origin = origin_of(&store);
    let place = Place::new("token");
    let token = place.join("token");
    std::fs::write(&token, "a-token-for-the-ehr-alone").unwrap();
    let more = format!("auth = \"bearer\"\ntoken_file = \"{}\"\nattachment_origins = [\"{origin}\"]", token.display());
    let clinic = clinic_of(&double, &more, "").await;
    let email = put_report_at(&double, "signed", &format!("{origin}/files/r1?sig=0"));
    let (readings, signed_by) = (Arc::new(AtomicUsize::new(0)), origin.clone());
    let counted = Arc::clone(&readings);
    double.behave(move |asked| {
        if !asked.reads("DiagnosticReport") {
            return Act::AsUsual;
        }
        // The first two readings give an address that has run out when it is used: those of deciding and of the first release.
        let nth = counted.fetch_add(1, Ordering::SeqCst);
        let signature = if nth < 2 { "old" } else { "fresh" };
        let mut report = report("signed", &clinic::real_now());
        report["meta"] = json!({"versionId": "2"});
        report["presentedForm"] = at(&format!("{signed_by}/files/r1?sig={signature}"));
        Act::Answer(Reply::fhir(200, &report))
    });
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    let mail = clinic.mailbox.wait_for(&email, 1).await;
    let (_, plain) = Holder::new(&mail.link()).claim_and_read().await;
    assert!(plain == file);
    let asked: Vec<String> = store.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(asked, ["/files/r1?sig=old", "/files/r1?sig=fresh"], "once for each address");
    assert!(store.asked().iter().all(|asked| asked.header("authorization").is_none()), "the token went with it");
    assert!(double.asked().iter().any(|asked| asked.header("authorization").is_some()), "the EHR has it");
}
