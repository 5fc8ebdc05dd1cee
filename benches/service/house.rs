//! The released program with its doubles, on one database.

use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use reqwest::StatusCode;

use crate::ehr::{Ehr, report_id};
use crate::measure::process;
use crate::sink::Sink;
use crate::support::clinic::{Database, Hears, Wishes};
use crate::support::postgres::{Cluster, Commits};
use crate::support::service::{Installation, Service};
use crate::support::{wait, web_client};

/// Messages of the week before, one every 25 seconds: with [`LIMITS`] an hour may have 119 × 100.
const PAST_MESSAGES: u32 = 20_000;
/// What a house needs that sends thousands within a minute: by default an hour with more than four times the usual of the
/// week before (and more than 200) pauses sending until a person has looked.
const LIMITS: &str = "[limits]\nbreaker_hour_multiple = 100\nattachment_bytes_max = \"2GiB\"\n";
/// How the breaker stands, for the notes.
pub const BREAKER: &str =
    "breaker_hour_multiple = 100 in a house that sent 20,000 the week before: by default such an hour pauses sending";
const RULES: &str = r#"
[policy]
id = "bench"
version = "1"

[[profile]]
id = "routine"
when = { code = ["loinc|58410-2"] }
then = { action = "send", expiry = "72h", opens = 20, channel = ["email"] }
"#;
/// The report that every house sends first, and whose message the past is copied from.
const FIRST: u32 = 0;
pub const REPORT_BYTES: u64 = 10 * 1024;

pub struct House {
    pub service: Service,
    pub ehr: Ehr,
    pub sink: Sink,
    pub pid: u32,
    database: DatabaseUrl,
    client: reqwest::Client,
    header: (String, String),
    _cluster: Option<Cluster>,
}

enum DatabaseUrl {
    Sqlite(String),
    Postgres(String),
}

impl House {
    /// A house at work: it has heard, sealed and sent one report, and a busy week lies behind it.
    pub async fn open(database: Database) -> Self {
        let (ehr, sink) = (Ehr::start(), Sink::start().await);
        let cluster = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(tokio::task::spawn_blocking(|| Cluster::start(Commits::Durable)).await.unwrap()),
        };
        let url = cluster.as_ref().map(Cluster::fresh_database);
        let environment: Vec<_> = url.iter().map(|url| ("CHARTSEAL__STORE__URL", url.as_str())).collect();
        let wishes =
            Wishes { hears: Hears::Hooks, rules: RULES.to_owned(), more: LIMITS.to_owned(), ..Wishes::default() };
        let installation = Installation::write(&wishes, &ehr.base_url, sink.port, &environment).await;
        if url.is_some() {
            assert_eq!(installation.command(&["migrate"]).code, 0, "the database can be made ready");
        }
        let database = match url {
            None => DatabaseUrl::Sqlite(installation.folder.join("chartseal.db").to_str().unwrap().to_owned()),
            Some(url) => DatabaseUrl::Postgres(url),
        };
        let service = Service::start(&installation).await;
        let port = service.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
        let house = Self {
            pid: process::listening_on(port),
            client: kept_connections(),
            header: ehr.hook_header().await,
            database,
            service,
            ehr,
            sink,
            _cluster: cluster,
        };
        house.hook(REPORT_BYTES, FIRST).await;
        house.mailed(1).await;
        house.settled().await;
        house.live_through_a_week();
        house
    }

    /// Tells of the report with this number as an EHR does. Whoever is told to come later, does.
    pub async fn hook(&self, bytes: u64, number: u32) {
        let id = report_id(bytes, number);
        let (url, body) =
            (format!("{}/fhir/hook/lab/DiagnosticReport/{id}", self.service.url), self.ehr.report(&id).to_string());
        loop {
            let request = self.client.put(&url).header(&self.header.0, &self.header.1);
            let request = request.header("Content-Type", "application/fhir+json").body(body.clone());
            match request.send().await.expect("the service answers").status() {
                StatusCode::OK => return,
                StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_millis(5)).await,
                other => panic!("a hook was answered {other}"),
            }
        }
    }

    /// Calls without a word, so that the EHR is searched.
    pub async fn ping(&self) {
        let url = format!("{}/fhir/hook/lab", self.service.url);
        let answer = self.client.post(&url).header(&self.header.0, &self.header.1).send().await;
        assert_eq!(answer.expect("the service answers").status(), StatusCode::OK, "a ping");
    }

    /// Tells of many, over so many connections at once.
    pub async fn flood(self: &Arc<Self>, numbers: std::ops::Range<u32>, connections: u32) {
        let callers = (0..connections).map(|first| {
            let (house, numbers) = (Arc::clone(self), numbers.clone());
            tokio::spawn(async move {
                for number in numbers.skip(first as usize).step_by(connections as usize) {
                    house.hook(REPORT_BYTES, number).await;
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("the service answers");
        }
    }

    /// Waits for so many messages in all.
    pub async fn mailed(&self, count: usize) {
        self.until(&format!("{count} messages"), || self.sink.arrivals().len() >= count).await;
    }

    /// Waits until every message that was queued is settled.
    pub async fn settled(&self) {
        self.until("the settled messages", || self.count("notice WHERE state IN ('queued', 'leased')") == 0).await;
    }

    /// However long it takes: it is being measured.
    pub async fn until(&self, what: &str, mut there: impl FnMut() -> bool) {
        let mut looks = 0_u32;
        while !there() {
            self.service.assert_running();
            looks += 1;
            assert!(looks < 20 * 900, "waited a quarter of an hour for {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Rows of a table, or of what stands behind it.
    pub fn count(&self, of: &str) -> usize {
        #[derive(QueryableByName)]
        struct Counted {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let query = diesel::sql_query(format!("SELECT count(*) AS n FROM {of}"));
        let counted: Counted = match &self.database {
            DatabaseUrl::Sqlite(path) => query.get_result(&mut sqlite(path)),
            DatabaseUrl::Postgres(url) => query.get_result(&mut PgConnection::establish(url).expect("it answers")),
        }
        .expect("the database answers");
        usize::try_from(counted.n).expect("a count")
    }

    /// Puts messages into the past, as many as make an hour like those below usual.
    fn live_through_a_week(&self) {
        let past = format!(
            "WITH RECURSIVE past (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM past WHERE n < {PAST_MESSAGES}) \
             INSERT INTO notice (id, delivery_id, link_id, kind, channel, state, due_at, attempts, ambiguous, created_at, \
             first_attempt_at, ended_at) SELECT 'past-' || n, delivery_id, link_id, kind, channel, state, due_at, attempts, \
             ambiguous, created_at - 3700000 - n * 25000, first_attempt_at - 3700000 - n * 25000, ended_at \
             FROM notice, past WHERE state = 'sent'"
        );
        match &self.database {
            DatabaseUrl::Sqlite(path) => sqlite(path).batch_execute(&past),
            DatabaseUrl::Postgres(url) => PgConnection::establish(url).expect("it answers").batch_execute(&past),
        }
        .expect("the past can be written");
    }
}

fn sqlite(path: &str) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(path).expect("the database is there");
    conn.batch_execute("PRAGMA busy_timeout = 20000").expect("SQLite waits");
    conn
}

/// A client that keeps its connections, as EHRs do.
pub fn kept_connections() -> reqwest::Client {
    web_client::install_cryptography();
    reqwest::Client::builder().no_proxy().timeout(wait::HANGS).build().expect("a plain client can be built")
}
