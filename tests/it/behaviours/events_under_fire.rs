//! Behaviour 2 of events, its first half.

use serde_json::json;

use crate::support::clinic::Database;
use crate::support::ehr_double::{Act, Reply};
use crate::support::holder::Holder;
use crate::support::service::Service;
use crate::support::under_fire::{UnderFire, address_of, paper_of, ready};

/// A poll comes once at the first start, and never again while a test runs.
const NO_POLLS: &str = "86400";
const KILLS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn event_02_a_kill_right_after_the_acknowledgement_loses_nothing_on_sqlite() {
    nothing_acknowledged_is_lost(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_02_a_kill_right_after_the_acknowledgement_loses_nothing_on_postgresql() {
    nothing_acknowledged_is_lost(Database::Postgres).await;
}

/// The acknowledged hook is all that is ever heard of a report: searches find nothing, and nobody says it again.
async fn nothing_acknowledged_is_lost(database: Database) {
    let fire = UnderFire::lay(database, NO_POLLS).await;
    fire.ehr.behave(|asked| {
        let nothing = json!({"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": []});
        let is_search = asked.target.contains('?');
        if is_search { Act::Answer(Reply::fhir(200, &nothing)) } else { Act::AsUsual }
    });
    let mut life = Service::start(&fire.installation).await;
    for number in 0..KILLS {
        let report = fire.put_report(number);
        fire.say_by_hook(&report, std::slice::from_ref(&life.url)).await;
        life.kill().await;
        life = Service::spawn(&fire.installation, &fire.installation.config, "main");
        ready(&life).await;
    }
    let mails = fire.all_mailed(KILLS).await;
    for number in 0..KILLS {
        let mail = mails.iter().find(|mail| mail.envelope_to[0] == address_of(number)).unwrap();
        assert!(Holder::new(&mail.link()).read().await == paper_of(number));
    }
    let heard = fire.verified_audit().iter().filter(|line| line["event"]["event"] == "heard").count();
    assert_eq!(heard, KILLS, "each was heard once");
}
