//! What should never be sent to us is sent: every piece gets an answer of its own, nothing is lost, the process lives.

mod database_gone;
mod requests;
mod resources;

use chartseal::store;
use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr_double::EhrDouble;
use crate::support::place::Place;
use crate::support::{ehr, pdf, web_client};

const HOOK_SECRET: &str = "the-doubles-hook-secret";

/// Pings bring a poll forward, but not more often than this.
const PING_GAP: std::time::Duration = std::time::Duration::from_secs(6);

/// A clinic with a second EHR, `odd`, which is a double of ours and may say anything.
pub struct OddClinic {
    pub clinic: Clinic,
    pub odd: EhrDouble,
}

/// What becomes of a call of a hook that was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    Done,
    Quarantined,
}

impl OddClinic {
    pub async fn spawn() -> Self {
        let odd = EhrDouble::start().await;
        // Read once, at the start.
        let place = Place::new("secret");
        let secret = place.join("hook");
        std::fs::write(&secret, HOOK_SECRET).unwrap();
        let more = format!(
            "\n[[ehr]]\nid = \"odd\"\nbase_url = \"{}\"\npoll_seconds = 60\nhook_secret_file = \"{}\"\n",
            odd.base_url,
            secret.display()
        );
        let clinic = Clinic::spawn(Wishes { more, ..Wishes::default() }).await;
        Self { clinic, odd }
    }

    /// Calls the hook of `odd` with the right secret.
    pub async fn hook(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> StatusCode {
        let url = format!("{}/fhir/hook/odd{path}", self.clinic.url);
        let mut request = web_client::new().request(method, url).header("X-Chartseal-Hook", HOOK_SECRET);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.to_vec()).send().await.unwrap().status()
    }

    /// Puts a report that is in order into the double, of a patient with this address.
    pub fn put_good_report(&self, id: &str, email: &str) {
        put_patient(&self.odd, &format!("patient-of-{id}"), email);
        self.odd.put(&good_report(id));
    }

    pub async fn quarantined(&self) -> Vec<String> {
        let rows = self.clinic.ground.store.read(|conn| store::quarantined(conn, 1000)).await.unwrap();
        rows.into_iter().map(|(_, _, _, why)| why).collect()
    }
}

pub fn put_patient(odd: &EhrDouble, id: &str, email: &str) {
    odd.put(&ehr::patient(id, "Garcia", "Ana", "1984-05-06", email));
}

/// A report that is in order, of `Patient/patient-of-{id}`.
pub fn good_report(id: &str) -> Value {
    let paper = pdf::with_pages(&["5.4 %"]);
    let mut report = ehr::report(&format!("patient-of-{id}"), "4548-4", &clinic::real_now(), &paper);
    report["id"] = json!(id);
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn every_odd_hook_body_is_answered_and_the_report_is_found_all_the_same() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    for (number, (what, headers, body, expected)) in odd_bodies().into_iter().enumerate() {
        let before = house.quarantined().await.len();
        // The call is all that is said of this report: nobody names it.
        let (id, email) = (format!("silent-{number}"), format!("silent-{number}@example.test"));
        house.put_good_report(&id, &email);
        let status = house.hook(Method::POST, "", &headers, &body).await;
        assert_eq!(status, StatusCode::OK, "{what}");
        house.clinic.forward(PING_GAP);
        house.clinic.settle().await;
        let quarantined = house.quarantined().await.len() - before;
        assert_eq!(quarantined == 1, expected == Kept::Quarantined, "{what}: {:?}", house.quarantined().await.first());
        if !says_that_nothing_changed(what) {
            assert_eq!(mails_to(&house.clinic, &email), 1, "{what}: the report was not found");
        }
    }
    // Whatever a hook could not tell of, the poll finds.
    house.clinic.hear_and_settle().await;
    for number in 0..odd_bodies().len() {
        assert_eq!(mails_to(&house.clinic, &format!("silent-{number}@example.test")), 1, "once and only once");
    }
    let climbs =
        house.odd.asked().into_iter().filter(|asked| asked.target.contains("..") || asked.target.contains("%2F"));
    assert_eq!(climbs.count(), 0, "a forged id reached an address");
}

/// Readable bodies that name something, though not the report: these need no look around.
fn says_that_nothing_changed(what: &str) -> bool {
    what.starts_with("names ")
}

fn mails_to(clinic: &Clinic, email: &str) -> usize {
    clinic.mailbox.mails().iter().filter(|mail| mail.envelope_to.iter().any(|to| to == email)).count()
}

type OddBody = (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>, Kept);

fn odd_bodies() -> Vec<OddBody> {
    use Kept::{Done, Quarantined};
    let text = |text: &str| text.as_bytes().to_vec();
    let deep = |open: &str, close: &str| [open.repeat(200), "1".to_owned(), close.repeat(200)].concat().into_bytes();
    let named = |id: &str| json!({"resourceType": "DiagnosticReport", "id": id}).to_string().into_bytes();
    let bundle = |entries: Value| json!({"resourceType": "Bundle", "entry": entries}).to_string().into_bytes();
    let mut large = named("large");
    large.pop();
    large.extend(format!(",\"data\":\"{}\"}}", BASE64.encode(&vec![7; 4 * 1024 * 1024])).into_bytes());
    vec![
        ("empty", vec![], vec![], Done),
        ("white space", vec![], text(" \r\n\t "), Done),
        ("{}", vec![], text("{}"), Done),
        ("null", vec![], text("null"), Quarantined),
        ("a list", vec![], text("[]"), Quarantined),
        ("a text", vec![], text("\"DiagnosticReport/1\""), Quarantined),
        ("a number", vec![], text("1e400"), Quarantined),
        ("truncated", vec![], text("{\"resourceType\":\"DiagnosticReport\",\"id\":\"tr"), Quarantined),
        ("two values", vec![], text("{}{}"), Quarantined),
        ("200 lists deep", vec![], deep("[", "]"), Quarantined),
        ("200 objects deep", vec![], deep("{\"a\":", "}"), Quarantined),
        ("5 MB", vec![], large, Done),
        ("not UTF-8", vec![], b"{\"resourceType\":\"Diagnostic\xff\xfe\"}".to_vec(), Quarantined),
        ("UTF-16", vec![], "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect(), Quarantined),
        ("a byte-order mark", vec![], text("\u{feff}{}"), Quarantined),
        ("XML", vec![("Content-Type", "application/fhir+xml")], text("<DiagnosticReport/>"), Quarantined),
        ("a form", vec![("Content-Type", "application/x-www-form-urlencoded")], text("a=b&c=d"), Quarantined),
        ("gzip", vec![("Content-Encoding", "gzip")], vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0], Done),
        ("gzip that is not", vec![("Content-Encoding", "gzip")], text("{}"), Done),
        ("resourceType of another kind", vec![], text("{\"resourceType\":7}"), Quarantined),
        ("names another type", vec![], text("{\"resourceType\":\"Observation\",\"id\":\"1\"}"), Done),
        ("names a type that is none", vec![], text("{\"resourceType\":\"<script>\"}"), Done),
        ("no id", vec![], text("{\"resourceType\":\"DiagnosticReport\"}"), Quarantined),
        ("an id that climbs", vec![], named("../Patient/1"), Quarantined),
        ("an id with a query", vec![], named("1?_format=xml"), Quarantined),
        ("an id of 65 characters", vec![], named(&"a".repeat(65)), Quarantined),
        ("an id that is a number", vec![], text("{\"resourceType\":\"DiagnosticReport\",\"id\":1}"), Quarantined),
        (
            "names a huge version",
            vec![],
            text(
                "{\"resourceType\":\"DiagnosticReport\",\"id\":\"huge\",\"meta\":{\"versionId\":99999999999999999999999}}",
            ),
            Done,
        ),
        ("names one that is not there", vec![], named("never-there"), Done),
        ("names twice", vec![], text("{\"resourceType\":\"DiagnosticReport\",\"id\":\"one\",\"id\":\"two\"}"), Done),
        ("a Bundle without entries", vec![], bundle(json!([])), Done),
        ("a Bundle whose entry is no list", vec![], bundle(json!({"a": 1})), Quarantined),
        ("a Bundle of rubbish", vec![], bundle(json!([1, null, "x", [], {"resource": 7}])), Quarantined),
        ("names in a Bundle what climbs", vec![], bundle(json!([{"fullUrl": "../../etc/passwd"}])), Done),
        (
            "a Bundle of a thousand and one",
            vec![],
            bundle((0..1001).map(|n| json!({"fullUrl": format!("DiagnosticReport/b{n}")})).collect()),
            Done,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_only_the_address_names_is_heard_whatever_the_body() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    house.put_good_report("named-by-path", "named@example.test");
    let rubbish = b"\xff\x00{{{";
    let status = house.hook(Method::PUT, "/DiagnosticReport/named-by-path", &[], rubbish).await;
    assert_eq!(status, StatusCode::OK);
    house.clinic.settle().await;
    assert_eq!(mails_to(&house.clinic, "named@example.test"), 1);

    for path in ["/DiagnosticReport/..%2FPatient%2F1", "/DiagnosticReport/%00", "/Nothing/1", "/a/b/c/d"] {
        let status = house.hook(Method::PUT, path, &[], b"").await;
        assert!(status == StatusCode::OK || status == StatusCode::NOT_FOUND, "{path}: {status}");
    }
    house.clinic.hear_and_settle().await;
    assert_eq!(mails_to(&house.clinic, "named@example.test"), 1);
}
