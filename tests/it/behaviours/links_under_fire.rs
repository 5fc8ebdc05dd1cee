//! Behaviours 1 and 3 of links: whatever looks spends nothing; of many who press one wins.

use std::process::{Command, Stdio};

use futures_util::future::join_all;

use crate::races::Door;
use crate::support::clinic::Database;
use crate::support::dice::Dice;
use crate::support::holder::Holder;
use crate::support::place::Place;
use crate::support::reader::Line;
use crate::support::{part, pdf};

const REQUESTS: usize = 1000;
const SCANNERS: [&str; 6] = [
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; SafeLinks)",
    "Barracuda Sentinel (EE)",
    "Mimecast-URL-Protect/1.0",
    "WhatsApp/2.23.20.0",
    "facebookexternalhit/1.1",
    "Slackbot-LinkExpanding 1.0",
];
const HEADERS: [&str; 9] = [
    "",
    "Range: bytes=0-\r\n",
    "Range: bytes=0-0, 5-9\r\n",
    "Sec-Purpose: prefetch\r\n",
    "Sec-Purpose: prefetch;prerender\r\n",
    "Purpose: prefetch\r\n",
    "X-Moz: prefetch\r\n",
    "X-Purpose: preview\r\n",
    "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn link_01_inert_landing() {
    let door = Door::open(Database::Sqlite, 1).await;
    let paper = pdf::with_pages(&["HbA1c 5.4 %"]);
    let (link, text) = door.link(paper.clone(), 1).await;
    let secret = text.split_once('#').unwrap().1.to_owned();
    let page = format!("/r/{}", link.id);
    let mut line = Line::to(door.ports[0]);
    let html = line.ask("GET", &page, "", "").await.unwrap_or_else(|_| panic!("the page comes"));
    let html = String::from_utf8(html.body).unwrap();
    let mut paths: Vec<String> =
        html.split('"').filter(|part| part.starts_with("/assets/")).map(str::to_owned).collect();
    paths.extend(
        ["begin", "look", "answer", "code", "open", "receipt", "files/1", "files/2"]
            .map(|step| format!("{page}/{step}")),
    );
    paths.extend([
        page.clone(),
        format!("{page}?from=mail"),
        format!("{page}%23{secret}"),
        format!("{page}%2523{secret}"),
        format!("{page}.{secret}"),
        "/robots.txt".to_owned(),
        "/".to_owned(),
    ]);
    let mut dice = Dice::cast(1);
    for _ in 0..REQUESTS {
        let method = *dice.one_of(&["GET", "GET", "HEAD", "OPTIONS"]);
        let (path, more, agent) = (dice.one_of(&paths).clone(), *dice.one_of(&HEADERS), *dice.one_of(&SCANNERS));
        let headers = format!("User-Agent: {agent}\r\nX-Forwarded-For: 10.66.{}.1\r\n{more}", dice.below(256));
        let answer = line.ask(method, &path, &headers, "").await.unwrap_or_else(|_| panic!("{method} is answered"));
        assert!(answer.status < 500 || answer.status == 501, "{method}: {}", answer.status);
        let has_leaked = String::from_utf8_lossy(&answer.body).contains(&secret) || answer.head.contains(&secret);
        assert!(!has_leaked, "an answer repeats the secret that a gateway wrote into the path");
    }
    assert_eq!(door.house.opened(&link.id).await, (0, 0), "a scanner's request left a trace");

    let seen = let_a_headless_browser_wait(&text);
    assert!(seen.contains("class=\"button primary\"") || seen.contains("Open"), "it ran the page's scripts");
    assert!(!seen.contains(&secret), "the page wrote the secret down");
    assert_eq!(door.house.opened(&link.id).await.0, 0, "a browser that waited spent an opening");
    assert!(!door.services[0].log().contains(&secret), "the log holds the secret");

    assert!(Holder::new(&text).read().await == paper, "a human opens it");
    assert_eq!(door.house.opened(&link.id).await.0, 1);
}

/// A minute of the page's own time: every script, timer and late request that it would ever make; then what it shows.
fn let_a_headless_browser_wait(link: &str) -> String {
    let place = Place::new("scanner");
    let shown = Command::new(part::installed("/usr/bin/chromium".into()))
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--virtual-time-budget=60000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", place.join("profile").display()))
        .arg(link)
        .env("HOME", &*place)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .expect("Chromium can be run");
    String::from_utf8_lossy(&shown.stdout).into_owned()
}

/// 200 at once at three replicas over PostgreSQL, and at one over SQLite. `races.rs` does it a thousand times.
#[tokio::test(flavor = "multi_thread")]
async fn link_03_one_winner() {
    for (database, processes) in [(Database::Sqlite, 1), (Database::Postgres, 3)] {
        let door = Door::open(database, processes).await;
        drop(door.race(door.lines(200)).await);
    }
}

/// Several links at once do not get in each other's way.
#[tokio::test(flavor = "multi_thread")]
async fn link_03_one_winner_of_each_of_several_links_at_once() {
    let door = Door::open(Database::Sqlite, 1).await;
    join_all((0..4).map(|_| door.race(door.lines(16)))).await;
}
