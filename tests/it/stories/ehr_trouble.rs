//! The EHR fails in every way that EHRs do: staff are told what to do, and every report still arrives once.

mod hanging;
mod long_work;
pub mod one_for_all;
mod subscriptions;

use std::time::Duration;

use chartseal::base::ResourceType;
use chartseal::desk::{Followed, Subscribes, heard_ehrs};
use chartseal::store::{self, PollRow};
use serde_json::json;

use super::bad_input::OddClinic;
use crate::support::clinic::{self, Clinic, Wishes};
use crate::support::ehr::{self, Ehr, EhrAuth, EhrOptions};
use crate::support::ehr_double::{Act, Asked, EhrDouble, Reply, outcome};
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::pdf;
use crate::support::place::Place;
use crate::support::planted::{EHR_TOKEN, SMTP_PASSWORD};
use crate::support::service::{Installation, Service};

/// How the EHR behaves for a while, and what staff read of it meanwhile.
struct Trouble {
    what: &'static str,
    act: fn(&Asked) -> Act,
    why: &'static str,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_of_the_ehr_is_named_and_no_report_is_lost_or_sent_twice() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    for (number, Trouble { what, act, why }) in troubles().into_iter().enumerate() {
        let (id, email) = (format!("trouble-{number}"), format!("trouble-{number}@example.test"));
        house.odd.behave(act);
        house.put_good_report(&id, &email);
        house.clinic.hear_and_settle().await;
        let poll = poll(&house.clinic, "odd").await;
        let said = poll.why.clone().unwrap_or_default();
        assert!(said.contains(why), "{what}: staff read '{said}'");
        assert_eq!(mails_to(&house.clinic, &email), 0, "{what}");
        let watermark = poll.watermark;

        house.clinic.hear_and_settle().await;
        assert_eq!(poll_of(&house.clinic).await.watermark, watermark, "{what}: a failed search moved the watermark");
        house.odd.behave_well();
        house.clinic.hear_and_settle().await;
        house.clinic.hear_and_settle().await;
        assert_eq!(mails_to(&house.clinic, &email), 1, "{what}: the report did not arrive once");
        assert_eq!(poll_of(&house.clinic).await.why, None, "{what}: the fault is still shown");
    }
}

/// A record that is closed to us, say: the report was heard of, and nobody may lose it because nothing else is known of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_patient_is_never_shown_comes_to_a_person_and_leaves_once_it_is() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    let closed = || Act::Answer(Reply::fhir(403, &outcome("forbidden")));
    house.odd.behave(move |asked| if asked.reads("Patient") { closed() } else { Act::AsUsual });
    house.put_good_report("closed", "closed@example.test");
    for _ in 0..20 {
        house.clinic.hear_and_settle().await;
    }
    assert!(house.clinic.deliveries().await.is_empty(), "it is waited for");
    for _ in 0..40 {
        house.clinic.hear_and_settle().await;
    }
    let told = house.clinic.only_delivery().await;
    assert!(told.state == "review" && told.note.contains("403"), "{told:?}");
    house.odd.behave_well();
    house.clinic.hear_and_settle().await;
    let states: Vec<_> = house.clinic.deliveries_of("closed").await.iter().map(|one| one.state).collect();
    assert_eq!((states, mails_to(&house.clinic, "closed@example.test")), (vec!["live", "superseded"], 1));
}

async fn poll_of(clinic: &Clinic) -> PollRow {
    poll(clinic, "odd").await
}

fn troubles() -> Vec<Trouble> {
    let on = |what, act, why| Trouble { what, act, why };
    vec![
        on("hangs up", |_| Act::HangUp, "cannot be reached"),
        on("401", |_| Act::Answer(Reply::fhir(401, &outcome("login"))), "refused access with status 401"),
        on("403", |_| Act::Answer(Reply::fhir(403, &outcome("forbidden"))), "refused access with status 403"),
        on("404", |_| Act::Answer(Reply::fhir(404, &outcome("not-found"))), "does not accept the request"),
        on("400", |_| Act::Answer(Reply::fhir(400, &outcome("invalid"))), "does not accept the request"),
        on("500", |_| Act::Answer(Reply::fhir(500, &outcome("exception"))), "failed with status 500"),
        on("502 in HTML", |_| Act::Answer(Reply::new(502, "text/html", "<h1>Bad gateway")), "failed with status 502"),
        on("429", |_| Act::Answer(Reply::fhir(429, &outcome("throttled"))), "asks for fewer requests"),
        on("503", |_| Act::Answer(Reply::fhir(503, &outcome("transient"))), "asks for fewer requests"),
        on("a login page", |_| Act::Answer(Reply::new(200, "text/html", "<form>Log in")), "not FHIR JSON"),
        on("HTML that claims to be FHIR", |_| Act::Answer(Reply::new(200, "application/fhir+json", "<html>")), "body"),
        on("nothing", |_| Act::Answer(Reply::new(200, "application/fhir+json", "")), "body"),
        on("another resource", |_| Act::Answer(Reply::fhir(200, &json!({"resourceType": "Patient"}))), "resourceType"),
        on("half a body", |_| Act::CutAfter(20), "ended before it was complete"),
        on(
            "a redirect to another host",
            |_| Act::Answer(Reply::new(302, "text/html", "").with("Location", "http://evil.test/fhir")),
            "redirect",
        ),
        on("an outcome in the bundle", with_outcome, "not complete"),
        on("a page link in a circle", in_a_circle, "circle"),
        on("a page link to another server", to_another_server, "another server"),
        on("a page link that is forgotten", to_a_forgotten_page, "forgot its page links"),
        on("an entry without a resource", without_resource, "no resource"),
    ]
}

/// A search's answer of no entries, with a change.
fn search(asked: &Asked, change: impl Fn(&mut serde_json::Value)) -> Act {
    if !asked.searches("DiagnosticReport") {
        return Act::AsUsual;
    }
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "entry": [], "link": []});
    change(&mut bundle);
    Act::Answer(Reply::fhir(200, &bundle))
}

fn with_outcome(asked: &Asked) -> Act {
    search(asked, |bundle| {
        let mut warning = outcome("too-costly");
        warning["issue"][0]["severity"] = json!("warning");
        bundle["entry"] = json!([{"resource": warning, "search": {"mode": "outcome"}}]);
    })
}

fn in_a_circle(asked: &Asked) -> Act {
    search(asked, |bundle| bundle["link"] = json!([{"relation": "next", "url": asked.target}]))
}

fn to_another_server(asked: &Asked) -> Act {
    search(asked, |bundle| bundle["link"] = json!([{"relation": "next", "url": "http://127.0.0.2:9/fhir?page=2"}]))
}

fn to_a_forgotten_page(asked: &Asked) -> Act {
    if asked.target.contains("page=2") {
        return Act::Answer(Reply::fhir(410, &outcome("not-found")));
    }
    search(asked, |bundle| bundle["link"] = json!([{"relation": "next", "url": "DiagnosticReport?page=2"}]))
}

fn without_resource(asked: &Asked) -> Act {
    search(asked, |bundle| bundle["entry"] = json!([{"fullUrl": "urn:x", "search": {"mode": "match"}}]))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_asks_for_fewer_requests_is_left_alone_for_as_long_as_it_says() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    // Said at the moment of the answer, whose own date it is measured from.
    let at_a_time = || {
        let at = chrono::DateTime::<chrono::Utc>::from_timestamp_millis(clinic::now().0 + 600_000).unwrap();
        at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let in_seconds = || "600".to_owned();
    let forms: [(&str, fn() -> String); 2] = [("seconds", in_seconds), ("a date", at_a_time)];
    for (form, ten_minutes) in forms {
        let reply = move || Reply::fhir(429, &outcome("throttled")).with("Retry-After", &ten_minutes());
        house.odd.behave(move |_| Act::Answer(reply()));
        house.clinic.hear_and_settle().await;
        let asked = house.odd.asked().len();
        for _ in 0..9 {
            house.clinic.forward(Duration::from_mins(1));
            house.clinic.settle().await;
        }
        assert_eq!(house.odd.asked().len(), asked, "Retry-After as {form} was not kept");
        house.odd.behave_well();
        house.clinic.forward(Duration::from_mins(2));
        house.clinic.settle().await;
        assert!(house.odd.asked().len() > asked, "Retry-After as {form}: it was never asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_says_nothing_is_given_up_on_and_asked_again() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    house.odd.behave(|asked| if asked.searches("DiagnosticReport") { Act::Silence } else { Act::AsUsual });
    house.put_good_report("slow", "silent@example.test");
    house.clinic.hear_and_settle().await;
    assert_eq!(poll_of(&house.clinic).await.why.as_deref(), Some("the EHR did not answer in time"));
    house.odd.behave_well();
    house.clinic.hear_and_settle().await;
    assert_eq!(mails_to(&house.clinic, "silent@example.test"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_with_the_report_or_the_patient_alone_is_waited_out() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    let acts: [(&str, fn(&Asked) -> Act); 5] = [
        ("500", |_| Act::Answer(Reply::fhir(500, &outcome("exception")))),
        ("hang up", |_| Act::HangUp),
        ("half", |_| Act::CutAfter(20)),
        ("401", |_| Act::Answer(Reply::fhir(401, &outcome("login")))),
        ("html", |_| Act::Answer(Reply::new(200, "text/html", "<form>"))),
    ];
    for kind in ["DiagnosticReport", "Patient"] {
        for (what, act) in acts {
            let id = format!("{}-{what}", kind.to_lowercase()).replace(' ', "-");
            let email = format!("{id}@example.test");
            house.odd.behave(move |asked| if asked.reads(kind) { act(asked) } else { Act::AsUsual });
            house.put_good_report(&id, &email);
            house.clinic.hear_and_settle().await;
            assert_eq!(mails_to(&house.clinic, &email), 0, "{kind} {what}");
            house.odd.behave_well();
            house.clinic.hear_and_settle().await;
            assert_eq!(mails_to(&house.clinic, &email), 1, "{kind} {what}: lost or sent twice");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_whose_clock_is_off_is_heard_from_the_beginning_and_staff_are_told() {
    for off in [-120, 120, -720, -18_000, 18_000] {
        let house = OddClinic::spawn().await;
        house.odd.set_clock_off_seconds(off);
        house.clinic.settle().await;
        let followed = Followed { ehr: "odd".parse().unwrap(), subscribes: Subscribes::Others };
        let heard = heard_ehrs(&house.clinic.ground.store, vec![followed], house.clinic.now()).await.unwrap().remove(0);
        let told = heard.kinds[0].clock_off_seconds;
        // The header tells whole seconds, and the clinic's clock stands still meanwhile.
        assert_eq!(
            told.is_some_and(|told| told.signum() == i64::signum(off)),
            off.abs() > 300,
            "{off} s off: {told:?}"
        );
        house.put_good_report("skewed", "skewed@example.test");
        house.clinic.forward(Duration::from_mins(1));
        house.clinic.settle().await;
        assert_eq!(mails_to(&house.clinic, "skewed@example.test"), 1, "{off} s off");
        for _ in 0..5 {
            house.clinic.hear_and_settle().await;
        }
        assert_eq!(mails_to(&house.clinic, "skewed@example.test"), 1, "{off} s off: sent twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_repeat_or_drop_rows_lose_nothing_and_send_nothing_twice() {
    let house = OddClinic::spawn().await;
    house.clinic.settle().await;
    let emails: Vec<String> = (0..4).map(|n| format!("row-{n}@example.test")).collect();
    for (n, email) in emails.iter().enumerate() {
        house.put_good_report(&format!("row-{n}"), email);
    }
    let all = house.odd.searchset("DiagnosticReport")["entry"].clone();
    // The first page has rows 0 and 1; the second repeats 1 and has 3: row 2 is on none.
    house.odd.behave(move |asked| {
        if !asked.searches("DiagnosticReport") {
            return Act::AsUsual;
        }
        let second = asked.target.contains("page=2");
        let rows = if second { [all[1].clone(), all[3].clone()] } else { [all[0].clone(), all[1].clone()] };
        let link = if second { json!([]) } else { json!([{"relation": "next", "url": "DiagnosticReport?page=2"}]) };
        Act::Answer(Reply::fhir(200, &json!({"resourceType": "Bundle", "entry": rows, "link": link})))
    });
    house.clinic.hear_and_settle().await;
    let arrived: Vec<usize> = emails.iter().map(|email| mails_to(&house.clinic, email)).collect();
    assert_eq!(arrived, [1, 1, 0, 1]);
    // The overlap of the next searches finds what one answer dropped.
    house.odd.behave_well();
    house.clinic.hear_and_settle().await;
    let arrived: Vec<usize> = emails.iter().map(|email| mails_to(&house.clinic, email)).collect();
    assert_eq!(arrived, [1, 1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_signed_is_refused_and_no_token_is_shown_to_it() {
    let odd = EhrDouble::start_self_signed().await;
    let clinic = with_token(&odd).await;
    clinic.hear_and_settle().await;
    let why = poll(&clinic, "odd").await.why.unwrap_or_default();
    assert!(why.contains("certificate"), "staff read '{why}'");
    assert_eq!(odd.asked().len(), 0, "something was said to a server that nobody vouches for");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_the_ehr_alone_wherever_it_points() {
    let (odd, other) = (EhrDouble::start().await, EhrDouble::start().await);
    let clinic = with_token(&odd).await;
    clinic.settle().await;
    let elsewhere = format!("{}/Binary/1", other.base_url);
    super::bad_input::put_patient(&odd, "patient-of-pointing", "pointing@example.test");
    let mut report = super::bad_input::good_report("pointing");
    report["presentedForm"][0] = json!({"contentType": "application/pdf", "url": elsewhere});
    odd.put(&report);
    clinic.hear_and_settle().await;
    let next = format!("{}/DiagnosticReport?page=2", other.base_url);
    for act in [
        Reply::fhir(200, &json!({"resourceType": "Bundle", "link": [{"relation": "next", "url": next}]})),
        Reply::new(302, "text/html", "").with("Location", &next),
        Reply::new(307, "text/html", "").with("Location", &next),
    ] {
        odd.behave(move |_| Act::Answer(act.clone()));
        clinic.hear_and_settle().await;
    }
    assert!(odd.asked().iter().all(|asked| asked.header("authorization") == Some(&bearer())));
    assert_eq!(other.asked().len(), 0, "another server was asked");
    // What cannot be read has an entry of its own, until it can.
    assert!(clinic.deliveries().await.iter().all(|brief| brief.state == "review"));
}

fn bearer() -> String {
    format!("Bearer {}", EHR_TOKEN.value)
}

/// A clinic whose second EHR takes a bearer token.
async fn with_token(odd: &EhrDouble) -> Clinic {
    // Read once, at the start.
    let place = Place::new("secret");
    let token = place.join("token");
    std::fs::write(&token, EHR_TOKEN.value).unwrap();
    let more = format!(
        "\n[[ehr]]\nid = \"odd\"\nbase_url = \"{}\"\nauth = \"bearer\"\ntoken_file = \"{}\"\n",
        odd.base_url,
        token.display()
    );
    Clinic::spawn(Wishes { more, ..Wishes::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_ehr_that_asks_for_a_password_or_a_token_is_read() {
    let (user, password) = ("chartseal".to_owned(), SMTP_PASSWORD.value.to_owned());
    let token = EHR_TOKEN.value.to_owned();
    for (auth, environment) in [
        (
            EhrAuth::Basic { user, password },
            [
                ("CHARTSEAL__EHR__0__AUTH", "basic"),
                ("CHARTSEAL__EHR__0__USER", "chartseal"),
                ("CHARTSEAL__EHR__0__PASSWORD", SMTP_PASSWORD.value),
                ("CHARTSEAL__EHR__0__POLL_SECONDS", "1"),
            ]
            .to_vec(),
        ),
        (
            EhrAuth::Bearer { token },
            [
                ("CHARTSEAL__EHR__0__AUTH", "bearer"),
                ("CHARTSEAL__EHR__0__TOKEN", EHR_TOKEN.value),
                ("CHARTSEAL__EHR__0__POLL_SECONDS", "1"),
            ]
            .to_vec(),
        ),
    ] {
        let real = Ehr::start(EhrOptions { auth, ..EhrOptions::default() }).await;
        let mailbox = Mailbox::start(Manner::Plain).await;
        let service =
            Service::start(&Installation::write(&Wishes::default(), real.base_url(), mailbox.port, &environment).await)
                .await;
        let patient = ehr::patient("p-behind-a-door", "Garcia", "Ana", "1984-05-06", "door@example.test");
        real.lab().update(&patient).await;
        let paper = pdf::with_pages(&["5.4 %"]);
        real.lab().post(&ehr::report("p-behind-a-door", "4548-4", &clinic::real_now(), &paper)).await;
        assert!(mailbox.wait_for("door@example.test", 1).await.link().starts_with(&service.url));
    }
}

async fn poll(clinic: &Clinic, ehr: &str) -> PollRow {
    let rows = clinic.ground.store.read(store::polls).await.unwrap();
    let wanted = |row: &PollRow| row.ehr.as_str() == ehr && row.kind == ResourceType::DiagnosticReport;
    rows.into_iter().find(wanted).expect("the EHR is polled")
}

fn mails_to(clinic: &Clinic, email: &str) -> usize {
    clinic.mailbox.mails().iter().filter(|mail| mail.envelope_to.iter().any(|to| to == email)).count()
}
