//! A topic's events, against a double that numbers, forgets, ends and contradicts as a test says: no real server does all of
//! it. What the real one does is in `events_by_topic_under_fire.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chartseal::app::start::Restore;
use chartseal::store::{self, TopicRow};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::clinic::{self, Clinic, Hears, Wishes};
use crate::support::ehr_double::{Act, Asked, EhrDouble, Reply, outcome};
use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{ehr, pdf};

const PANEL: &str = "24323-8";
/// The wait for late events, and a moment.
const GRACE: Duration = Duration::from_secs(61);

/// What the double's Subscription says and answers.
#[derive(Default)]
struct Desk {
    stored: Option<Value>,
    status_says: Option<Value>,
    events_say: Option<Value>,
    written: usize,
}

struct Feed {
    clinic: Clinic,
    double: EhrDouble,
    desk: Arc<Mutex<Desk>>,
}

fn answer(desk: &mut Desk, asked: &Asked) -> Act {
    let Some(rest) = asked.target.strip_prefix("/fhir/Subscription") else { return Act::AsUsual };
    let gone = || Act::Answer(Reply::fhir(404, &outcome("not-found")));
    let told = |value: &Option<Value>| value.as_ref().map_or_else(gone, |value| Act::Answer(Reply::fhir(200, value)));
    match (asked.method.as_str(), rest) {
        ("POST" | "PUT", _) => {
            let mut resource: Value = serde_json::from_slice(&asked.body).unwrap();
            resource["id"] = json!("s1");
            resource["status"] = json!("active");
            desk.stored = Some(resource.clone());
            desk.written += 1;
            Act::Answer(Reply::fhir(201, &resource))
        }
        (_, "/s1") => told(&desk.stored),
        (_, rest) if rest.starts_with("/s1/$status") => told(&desk.status_says),
        (_, rest) if rest.starts_with("/s1/$events") => told(&desk.events_say),
        (_, _) => {
            let entries: Vec<Value> = desk.stored.iter().map(|one| json!({"resource": one})).collect();
            Act::Answer(Reply::fhir(200, &json!({"resourceType": "Bundle", "type": "searchset", "entry": entries})))
        }
    }
}

fn serve(double: &EhrDouble, desk: &Arc<Mutex<Desk>>) {
    let desk = Arc::clone(desk);
    double.behave(move |asked| answer(&mut desk.lock().unwrap(), asked));
}

impl Feed {
    /// A clinic whose subscription is active and whose polls have just been made.
    async fn start(more: &str) -> Self {
        let (double, mailbox) = (EhrDouble::start().await, Mailbox::start(Manner::Plain).await);
        let desk = Arc::new(Mutex::new(Desk::default()));
        serve(&double, &desk);
        let wishes = Wishes {
            hears: Hears::Topic,
            ehr_base: Some(double.base_url.clone()),
            ehr_more: format!("hook_url = \"http://127.0.0.1:9\"\n{more}"),
            ..Wishes::default()
        };
        let clinic = Clinic::spawn_with(wishes, ehr::lease().await, mailbox).await;
        clinic.settle().await;
        clinic.forward(Duration::from_secs(10));
        clinic.settle().await;
        let feed = Self { clinic, double, desk };
        assert_eq!(feed.row().await.status, "active");
        feed
    }

    fn put(&self, name: &str) -> String {
        let email = format!("{name}@example.test");
        self.double.put(&ehr::patient(&format!("p-{name}"), "Garcia", "Ana", "1984-05-06", &email));
        let mut report = ehr::report(&format!("p-{name}"), PANEL, &clinic::real_now(), &pdf::with_pages(&["5.4 %"]));
        report["id"] = json!(name);
        self.double.put(&report);
        email
    }

    async fn tell(&self, kind: &str, count: u64, events: &[(u64, &str)]) {
        let body = notification(kind, count, events);
        assert_eq!(self.clinic.hook(Method::POST, "", &body.to_string()).await, StatusCode::OK);
        self.clinic.settle().await;
    }

    async fn later(&self, span: Duration) {
        self.clinic.forward(span);
        self.clinic.settle().await;
    }

    async fn row(&self) -> TopicRow {
        self.clinic.ground.store.read(|conn| store::topic_of(conn, &"lab".parse().unwrap())).await.unwrap().unwrap()
    }

    async fn gaps(&self) -> Vec<(u64, u64)> {
        let gaps = self.clinic.ground.store.read(|conn| store::gaps_of(conn, &"lab".parse().unwrap())).await.unwrap();
        gaps.into_iter().map(|gap| (gap.first, gap.last)).collect()
    }

    async fn audit(&self) -> String {
        let lines = self.clinic.ground.store.read(|conn| store::chain_lines(conn, "ehr:lab")).await.unwrap();
        lines.into_iter().map(|line| line.body).collect::<Vec<_>>().join("\n")
    }

    fn mails(&self, email: &str) -> usize {
        self.clinic.mails_to(email).len()
    }

    fn asked(&self, what: &str) -> Vec<String> {
        let targets = self.double.asked().into_iter().map(|asked| asked.target);
        targets.filter(|target| target.contains(what)).collect()
    }

    fn written(&self) -> usize {
        self.desk.lock().unwrap().written
    }
}

fn notification(kind: &str, count: u64, events: &[(u64, &str)]) -> Value {
    let mut parameter = vec![
        json!({"name": "subscription", "valueReference": {"reference": "https://ehr.test/fhir/Subscription/s1"}}),
        json!({"name": "status", "valueCode": "active"}),
        json!({"name": "type", "valueCode": kind}),
        json!({"name": "events-since-subscription-start", "valueString": count.to_string()}),
    ];
    parameter.extend(events.iter().map(|(number, report)| {
        json!({"name": "notification-event", "part": [
            {"name": "event-number", "valueString": number.to_string()},
            {"name": "timestamp", "valueDate": "2026-11-21"},
            {"name": "focus", "valueReference": {"reference": format!("DiagnosticReport/{report}")}},
        ]})
    }));
    json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": {"resourceType": "Parameters", "parameter": parameter}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn event_01_odd_notifications_each_lead_to_their_report_and_none_tells_more() {
    let feed = Feed::start("events = \"none\"").await;
    let status = |kind: &str, focus: &str| {
        json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": {
            "resourceType": kind, "type": "event-notification", "subscription": "Subscription/s1",
            "notificationEvent": [{"eventNumber": 1, "focus": {"reference": focus}}],
        }}]})
    };
    let bodies = [
        ("doubled", status("SubscriptionStatus", "DiagnosticReport/DiagnosticReport/doubled")),
        ("absolute", status("AidboxSubscriptionStatus", "https://ehr.test/fhir/DiagnosticReport/absolute")),
        ("versioned", status("SubscriptionStatus", "DiagnosticReport/versioned/_history/1")),
        ("parameters", notification("event-notification", 1, &[(1, "parameters")])),
    ];
    let mut emails = Vec::new();
    for (name, body) in bodies {
        emails.push(feed.put(name));
        assert_eq!(feed.clinic.hook(Method::POST, "", &body.to_string()).await, StatusCode::OK, "{name}");
        feed.clinic.settle().await;
        assert_eq!(feed.mails(emails.last().unwrap()), 1, "{name}");
    }
    // Something happened, and nobody says what: the search finds it.
    let silent = feed.put("silent");
    feed.later(Duration::from_secs(6)).await;
    feed.tell("event-notification", 2, &[]).await;
    assert_eq!(feed.mails(&silent), 1, "an event without a focus");
    assert!(emails.iter().all(|email| feed.mails(email) == 1), "sent twice");
    let (heartbeats, searches) = (feed.put("unheard"), feed.asked("DiagnosticReport?").len());
    feed.tell("heartbeat", 2, &[]).await;
    assert_eq!((feed.mails(&heartbeats), feed.asked("DiagnosticReport?").len()), (0, searches), "it says: I live");
    assert!(feed.row().await.beat_at.is_some());
}

/// Event 22 is lost on its way; the clinic is restarted while it waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn event_06_a_missing_number_is_asked_for_by_number_after_a_grace() {
    let mut feed = Feed::start("events = \"strict\"").await;
    let (r20, r22, r23) = (feed.put("r20"), feed.put("r22"), feed.put("r23"));
    feed.tell("event-notification", 20, &[(20, "r20")]).await;
    feed.tell("event-notification", 23, &[(23, "r23")]).await;
    assert_eq!(feed.gaps().await, [(21, 22)]);
    // What merely comes in another order is no gap.
    let r21 = feed.put("r21");
    feed.tell("event-notification", 21, &[(21, "r21")]).await;
    assert_eq!((feed.gaps().await, feed.asked("$events")), (vec![(22, 22)], vec![]));
    feed.clinic.stop().await.unwrap();
    feed.clinic.start_again(Restore::NotSaid).await.unwrap();
    let mut said = notification("query-event", 23, &[(22, "r22")]);
    said["entry"][0]["resource"]["parameter"][2]["valueCode"] = json!("query-event");
    feed.desk.lock().unwrap().events_say = Some(said);
    let searches = feed.asked("DiagnosticReport?").len();
    assert_eq!(feed.mails(&r22), 0);
    feed.later(GRACE).await;
    let asked = "/fhir/Subscription/s1/$events?eventsSinceNumber=22&eventsUntilNumber=22&content=id-only";
    assert_eq!(feed.asked("$events"), [asked]);
    assert_eq!((feed.mails(&r22), feed.gaps().await), (1, vec![]));
    assert_eq!(feed.asked("DiagnosticReport?").len(), searches, "nothing was left to search for");
    assert!(feed.audit().await.contains("event 22 did not arrive within 60 s"), "{}", feed.audit().await);
    feed.later(GRACE).await;
    assert_eq!(feed.asked("$events").len(), 1, "it is asked for once");
    assert!([&r20, &r21, &r22, &r23].into_iter().all(|email| feed.mails(email) == 1), "sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_06_where_events_cannot_be_asked_for_a_search_finds_what_they_would_have_told() {
    let feed = Feed::start("events = \"strict\"").await;
    feed.tell("handshake", 0, &[]).await;
    let lost = feed.put("lost");
    // Only the count tells of it.
    feed.tell("heartbeat", 1, &[]).await;
    assert_eq!((feed.gaps().await, feed.mails(&lost)), (vec![(1, 1)], 0));
    feed.later(GRACE).await;
    assert_eq!((feed.asked("$events").len(), feed.gaps().await, feed.mails(&lost)), (1, vec![], 1));
    let audit = feed.audit().await;
    assert!(audit.contains("event 1 did not arrive") && audit.contains("is searched"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_06_a_counter_that_begins_anew_is_reconciled_without_alarm_where_that_is_its_way() {
    let feed = Feed::start("events = \"resetting\"").await;
    for number in 1..=3 {
        feed.put(&format!("r{number}"));
        feed.tell("event-notification", number, &[(number, &format!("r{number}"))]).await;
    }
    feed.later(Duration::from_secs(6)).await;
    // The server restarted: event 4 was lost with its memory, and the next is number 1.
    let (lost, next) = (feed.put("lost"), feed.put("next"));
    feed.tell("event-notification", 1, &[(1, "next")]).await;
    assert_eq!((feed.mails(&lost), feed.mails(&next)), (1, 1), "what was lost is found by a search");
    assert_eq!((feed.gaps().await, feed.row().await.highest), (vec![], Some(1)));
    assert!(!feed.audit().await.contains("began anew"), "{}", feed.audit().await);
    feed.later(GRACE).await;
    assert!(feed.asked("$events").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn event_06_a_counter_that_begins_anew_where_it_must_not_is_searched_and_told() {
    let feed = Feed::start("events = \"strict\"").await;
    feed.put("r7");
    feed.tell("event-notification", 7, &[(7, "r7")]).await;
    feed.later(Duration::from_secs(6)).await;
    let lost = feed.put("lost");
    feed.tell("handshake", 0, &[]).await;
    assert_eq!((feed.mails(&lost), feed.row().await.highest), (1, Some(0)));
    assert!(feed.audit().await.contains("count of events began anew"), "{}", feed.audit().await);
}

/// As athenahealth numbers: from 1 in each call.
#[tokio::test(flavor = "multi_thread")]
async fn event_06_numbers_of_each_call_alone_make_no_false_gap() {
    let feed = Feed::start("events = \"none\"").await;
    let calls = [vec![(1, "a")], vec![(1, "b"), (2, "c"), (3, "d")], vec![(3, "e")]];
    for events in calls {
        let emails: Vec<String> = events.iter().map(|(_, name)| feed.put(name)).collect();
        feed.tell("event-notification", events.len() as u64, &events).await;
        assert!(emails.iter().all(|email| feed.mails(email) == 1));
    }
    feed.later(GRACE).await;
    assert_eq!((feed.gaps().await, feed.row().await.highest), (vec![], None));
    assert!(feed.asked("$events").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn event_07_a_heartbeat_that_stops_is_noticed_after_two_periods_and_the_subscription_asked_for_again() {
    let feed = Feed::start("heartbeat_seconds = 60").await;
    feed.tell("heartbeat", 0, &[]).await;
    for _ in 0..5 {
        feed.later(Duration::from_secs(55)).await;
        feed.tell("heartbeat", 0, &[]).await;
    }
    let (written, missed) = (feed.written(), feed.put("missed"));
    feed.later(Duration::from_secs(119)).await;
    assert_eq!((feed.written(), feed.mails(&missed)), (written, 0), "two heartbeats may be late");
    feed.later(Duration::from_secs(2)).await;
    assert_eq!((feed.written(), feed.mails(&missed)), (written + 1, 1));
    assert!(feed.audit().await.contains("nothing was heard for"), "{}", feed.audit().await);
    // Each further request waits longer; none comes with every look.
    feed.later(Duration::from_secs(30)).await;
    assert_eq!(feed.written(), written + 1);
    feed.tell("heartbeat", 0, &[]).await;
    feed.later(Duration::from_mins(1)).await;
    let row = feed.row().await;
    assert_eq!((row.status.as_str(), row.why), ("active", None), "it lives again");
}

/// A second subscription to the same hook, of another practice or left over, says nothing of ours.
#[tokio::test(flavor = "multi_thread")]
async fn event_07_heartbeats_of_another_subscription_do_not_hide_that_ours_is_silent() {
    let feed = Feed::start("heartbeat_seconds = 60").await;
    feed.tell("heartbeat", 0, &[]).await;
    let written = feed.written();
    // The next look is four minutes away at most.
    for _ in 0..5 {
        feed.later(Duration::from_secs(50)).await;
        let body = notification("heartbeat", 0, &[]).to_string().replace("Subscription/s1", "Subscription/theirs");
        assert_eq!(feed.clinic.hook(Method::POST, "", &body).await, StatusCode::OK);
        feed.clinic.settle().await;
    }
    assert_eq!(feed.written(), written + 1);
    assert!(feed.audit().await.contains("nothing was heard for"), "{}", feed.audit().await);
}

/// As a server does that keeps its subscriptions in memory.
#[tokio::test(flavor = "multi_thread")]
async fn event_07_an_ehr_that_was_away_and_forgot_the_subscription_is_asked_for_it_anew() {
    let feed = Feed::start("heartbeat_seconds = 0\nevents = \"strict\"").await;
    feed.put("r9");
    feed.tell("event-notification", 9, &[(9, "r9")]).await;
    feed.double.behave(|_| Act::HangUp);
    feed.later(Duration::from_mins(5)).await;
    assert!(feed.row().await.why.unwrap().contains("cannot be reached"), "staff are told within five minutes");
    feed.desk.lock().unwrap().stored = None;
    serve(&feed.double, &feed.desk);
    let missed = feed.put("missed");
    let written = feed.written();
    // Back-off ends at fifteen minutes, however long the EHR was away; the polls keep their own pace.
    feed.later(Duration::from_mins(15)).await;
    assert_eq!(feed.written(), written + 1);
    assert!(feed.audit().await.contains("had lost the subscription"), "{}", feed.audit().await);
    feed.tell("handshake", 0, &[]).await;
    feed.later(Duration::from_hours(1)).await;
    assert_eq!((feed.mails(&missed), feed.gaps().await), (1, vec![]));
    assert_eq!(feed.row().await.status, "active");
}

/// An EHR that fails when it is asked by number is searched as well; one that answers with other events too.
#[tokio::test(flavor = "multi_thread")]
async fn event_06_an_answer_that_fails_or_tells_of_others_leaves_the_rest_to_a_search() {
    let feed = Feed::start("events = \"strict\"\nheartbeat_seconds = 0").await;
    feed.tell("handshake", 0, &[]).await;
    let (first, second, third) = (feed.put("first"), feed.put("second"), feed.put("third"));
    feed.tell("event-notification", 3, &[(3, "third")]).await;
    let mut said = notification("query-event", 3, &[(2, "second")]);
    said["entry"][0]["resource"]["parameter"][2]["valueCode"] = json!("query-event");
    feed.desk.lock().unwrap().events_say = Some(said);
    feed.later(GRACE).await;
    assert_eq!([&first, &second, &third].map(|email| feed.mails(email)), [1, 1, 1]);
    assert!(feed.audit().await.contains("events 1 to 2 did not arrive"), "{}", feed.audit().await);
    let fifth = feed.put("fifth");
    feed.desk.lock().unwrap().events_say = Some(json!({"resourceType": "OperationOutcome"}));
    feed.later(Duration::from_secs(6)).await;
    feed.tell("heartbeat", 5, &[]).await;
    feed.later(GRACE).await;
    assert_eq!((feed.mails(&fifth), feed.gaps().await), (1, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_07_a_server_whose_status_contradicts_what_it_stores_is_not_believed() {
    let feed = Feed::start("heartbeat_seconds = 0").await;
    let mut said = notification("query-status", 0, &[]);
    said["type"] = json!("searchset");
    said["entry"][0]["resource"]["parameter"][1]["valueCode"] = json!("error");
    feed.desk.lock().unwrap().status_says = Some(said);
    let (written, missed) = (feed.written(), feed.put("missed"));
    feed.later(Duration::from_mins(5)).await;
    assert_eq!((feed.row().await.status.as_str(), feed.mails(&missed)), ("error", 1));
    assert!(feed.row().await.why.unwrap().contains("by $status that it is error"));
    feed.desk.lock().unwrap().status_says = None;
    feed.later(Duration::from_mins(1)).await;
    assert_eq!(feed.written(), written + 1, "it was asked for again");
    feed.later(Duration::from_mins(1)).await;
    assert_eq!((feed.row().await.status.as_str(), feed.row().await.why), ("active", None));
}

/// The count that `$status` gives is compared with what arrived.
#[tokio::test(flavor = "multi_thread")]
async fn event_06_a_question_for_the_status_shows_what_never_arrived() {
    let feed = Feed::start("events = \"strict\"\nheartbeat_seconds = 0").await;
    feed.tell("handshake", 0, &[]).await;
    let mut said = notification("query-status", 2, &[]);
    said["type"] = json!("searchset");
    feed.desk.lock().unwrap().status_says = Some(said);
    feed.later(Duration::from_mins(5)).await;
    assert_eq!(feed.gaps().await, [(1, 2)]);
    let lost = feed.put("lost");
    feed.later(GRACE).await;
    assert_eq!((feed.gaps().await, feed.mails(&lost)), (vec![], 1));
}
