//! Many at once for what only one may have.
//!
//! A round takes a second on a loaded machine, so there are [`HTTP_ROUNDS`] of them; the whole race is
//! `CHARTSEAL_ROUNDS=1000 cargo test --test it one_wins_every_time` (the store's own claim is raced in `store/claims.rs`).

use std::sync::Arc;

use chartseal::record::LinkEvent;
use futures_util::future::join_all;

use crate::support::clinic::{Database, Wishes};
use crate::support::dice;
use crate::support::reader::{Line, Reader, TRUSTS_READERS};
use crate::support::service::{Installation, Service};
use crate::support::under_fire::{ready, second_config};
use crate::support::wire::Wire;
use crate::web::house::{Handed, House};

const READERS: usize = 32;
const HTTP_ROUNDS: u64 = 25;
const PLAIN: &[u8] = b"%PDF-1.4 for one reader";

/// One installation, so many processes of it, and a hand in it. In shadow the processes send nothing by themselves.
pub struct Door {
    pub house: House,
    /// Of the patient's page: `http://127.0.0.1:PORT`.
    pub origin: String,
    pub ports: Vec<u16>,
    pub installation: Arc<Installation>,
    pub services: Vec<Service>,
}

impl Door {
    pub async fn open(database: Database, processes: usize) -> Self {
        Self::open_with(database, processes, &[TRUSTS_READERS]).await
    }

    /// For patients who come to `origin`, where a wire or a proxy is.
    pub async fn open_behind(origin: &str) -> Self {
        Self::open_with(Database::Sqlite, 1, &[TRUSTS_READERS, ("CHARTSEAL__SERVER__PATIENT_URL", origin)]).await
    }

    async fn open_with(database: Database, processes: usize, environment: &[(&'static str, &str)]) -> Self {
        let wishes = Wishes { database, send: "shadow", ..Wishes::default() };
        // No EHR answers there.
        let installation = Installation::write(&wishes, "http://127.0.0.1:9/fhir", 9, environment).await;
        let of_patients = environment.iter().find(|(name, _)| name.ends_with("PATIENT_URL"));
        let of_patients = of_patients.map(|(_, origin)| (*origin).to_owned());
        let mut services = vec![Service::start(&installation).await];
        for number in 1..processes {
            let service = Service::spawn(&installation, &second_config(&installation), &format!("replica-{number}"));
            ready(&service).await;
            services.push(service);
        }
        let port = |service: &Service| service.url.rsplit(':').next().unwrap().parse().unwrap();
        Self {
            house: House::of(&installation),
            origin: of_patients.unwrap_or_else(|| services[0].url.clone()),
            ports: services.iter().map(port).collect(),
            installation,
            services,
        }
    }

    /// So many lines, shared out among the processes.
    pub fn lines(&self, count: usize) -> Vec<Line> {
        self.ports.iter().cycle().take(count).map(|port| Line::to(*port)).collect()
    }

    pub fn reader(&self, line: Line, link: &Handed) -> Reader {
        Reader::new(line, &self.origin, &link.id, &link.secret)
    }

    /// A link as its message would carry it.
    pub async fn link(&self, plain: Vec<u8>, opens_max: u16) -> (Handed, String) {
        let handed = self.house.hand_over(plain, opens_max).await;
        let text = format!("{}/r/{}#{}", self.origin, handed.id, handed.secret.to_base64url().expose());
        (handed, text)
    }

    /// All readers press at once on one link with one opening: exactly one gets the document, all others are told so.
    ///
    /// # Panics
    /// When it is otherwise.
    pub async fn race(&self, lines: Vec<Line>) -> Vec<Line> {
        let link = self.house.hand_over(PLAIN.to_vec(), 1).await;
        let mut readers: Vec<Reader> = lines.into_iter().map(|line| self.reader(line, &link)).collect();
        join_all(readers.iter_mut().map(Reader::begin)).await;
        let answers = join_all(readers.iter_mut().map(Reader::open)).await;
        let mut won = 0;
        for answer in answers {
            let answer = answer.unwrap_or_else(|_| panic!("a reader was not answered"));
            match answer.status {
                200 => {
                    won += 1;
                    answer.share();
                }
                409 => assert_eq!(answer.json()["kind"], "opened_elsewhere"),
                other => panic!("a reader was answered {other}"),
            }
        }
        assert_eq!((won, self.house.opened(&link.id).await.0), (1, 1), "not one winner");
        readers.into_iter().map(|reader| reader.line).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_readers_at_the_front_door_one_wins_every_time_on_sqlite() {
    every_time(Database::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_readers_at_two_processes_over_one_postgresql_one_wins_every_time() {
    every_time(Database::Postgres, 2).await;
}

async fn every_time(database: Database, processes: usize) {
    let door = Door::open(database, processes).await;
    let mut lines = door.lines(READERS);
    let since = std::time::Instant::now();
    let rounds = dice::number("CHARTSEAL_ROUNDS", HTTP_ROUNDS);
    for round in 1..=rounds {
        lines = door.race(lines).await;
        if round % 100 == 0 {
            println!("{round} rounds, each with one winner, in {:?}", since.elapsed());
        }
    }
    println!("{rounds} rounds of {READERS} readers in {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_was_cut_is_repeated_and_gives_the_same_share() {
    let door = Door::open(Database::Sqlite, 1).await;
    let whole = {
        let link = door.house.hand_over(PLAIN.to_vec(), 1).await;
        let mut reader = door.reader(Line::to(door.ports[0]), &link);
        reader.begin().await;
        let answer = reader.open().await.unwrap_or_else(|_| panic!("nobody cuts this one"));
        (answer.head.len() + 4 + answer.body.len()) as u64
    };
    for passes in [0, 1, 20, whole / 2, whole - 1] {
        let cut = std::sync::atomic::AtomicBool::new(false);
        let wire = Wire::lay(door.ports[0], move |said| {
            let is_claim = said.starts_with(b"POST ") && said.windows(6).any(|six| six == b"/open ");
            (is_claim && !cut.swap(true, std::sync::atomic::Ordering::SeqCst)).then_some(passes)
        })
        .await;
        let link = door.house.hand_over(PLAIN.to_vec(), 1).await;
        let mut reader = door.reader(Line::to(wire.port), &link);
        reader.begin().await;
        let Err(heard) = reader.open().await else { panic!("the answer was not cut after {passes} bytes") };
        assert!(heard.len() as u64 <= passes);
        let again = reader.open().await.unwrap_or_else(|_| panic!("the second answer comes"));
        let share = again.share();
        if passes == whole - 1 {
            let text = String::from_utf8_lossy(&heard).into_owned();
            assert!(text.contains(share.to_base64url().expose()), "the share of the lost answer was another");
        }
        let once_more = reader.open().await.unwrap_or_else(|_| panic!("the third answer comes"));
        assert!(once_more.share().expose() == share.expose(), "the share is another");
        let file = reader.file().await.unwrap_or_else(|_| panic!("the file comes"));
        assert!(file.status == 200 && file.body == link.sealed);
        assert_eq!(door.house.opened(&link.id).await, (1, 1), "the lost answer cost an opening");
        let mut other = door.reader(Line::to(door.ports[0]), &link);
        other.begin().await;
        assert_eq!(other.look().await, "opened_elsewhere");
    }
}

/// Nothing is kept in a process: what one has written the other reads with its next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoke_or_recall_at_one_replica_is_refused_by_the_very_next_request_at_the_other() {
    let door = Door::open(Database::Postgres, 2).await;
    for end in ["revoked", "recalled"] {
        for at_once in 0..door.ports.len() {
            let link = door.house.hand_over(PLAIN.to_vec(), 3).await;
            let mut readers = Vec::new();
            for port in &door.ports {
                let (mut claimed, mut new) = (door.reader(Line::to(*port), &link), door.reader(Line::to(*port), &link));
                claimed.begin().await;
                claimed.open().await.unwrap_or_else(|_| panic!("an answer")).share();
                assert_eq!(claimed.file().await.map_or(0, |answer| answer.status), 200);
                new.begin().await;
                readers.push((claimed, new));
            }
            if end == "revoked" {
                let revoke = ["deliveries", "revoke", link.delivery.as_str(), "--reason", "wrong patient"];
                let ran = door.installation.command(&[&revoke[..], &["--as", "Eve Admin"]].concat());
                assert_eq!(ran.code, 0, "{}", ran.all());
            } else {
                door.house.end(&link.delivery, LinkEvent::Recall).await;
            }
            readers.rotate_left(at_once);
            for (claimed, new) in &mut readers {
                assert_eq!(claimed.file().await.map_or(0, |answer| answer.status), 404);
                let refused = new.open().await.unwrap_or_else(|_| panic!("an answer"));
                assert_eq!((refused.status, &refused.json()["kind"]), (409, &end.into()));
                assert_eq!(claimed.look().await, end);
            }
        }
    }
}
