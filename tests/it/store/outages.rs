//! A database that cannot be reached is said to be so, and never to hold nothing.

use std::sync::Arc;
use std::time::Duration;

use chartseal::base::{LinkId, random};
use chartseal::store::{self, NoWitness, Store, StoreError};

use super::stage::{self, NOW};
use crate::support::place::Place;
use crate::support::postgres::{Cluster, Commits};
use crate::support::wait::HANGS;

fn open(url: &str) -> Result<Store, StoreError> {
    Store::open(url, Arc::new(NoWitness))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_postgres_is_unavailable_and_not_empty() {
    let cluster = Cluster::start(Commits::Fast);
    let url = cluster.fresh_database();
    let store = tokio::task::spawn_blocking(move || {
        Store::migrate(&url).unwrap();
        open(&url).unwrap()
    })
    .await
    .unwrap();
    let it = store.write(|tx| stage::handed_over(tx, 1, 1)).await.unwrap();
    drop(cluster);
    let link = it.link.clone();
    let looked = tokio::time::timeout(HANGS, store.read(move |conn| store::link(conn, &link))).await.unwrap();
    assert!(matches!(looked, Err(StoreError::Unavailable { .. })), "{:?}", looked.err());
    let link = it.link.clone();
    let claimed = tokio::time::timeout(HANGS, store.write(move |tx| stage::claim(tx, &link, 1, NOW))).await.unwrap();
    assert!(matches!(claimed, Err(StoreError::Unavailable { .. })), "{claimed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_stops_during_a_deed_makes_it_unavailable() {
    let cluster = Cluster::start(Commits::Fast);
    let url = cluster.fresh_database();
    let store = tokio::task::spawn_blocking(move || {
        Store::migrate(&url).unwrap();
        open(&url).unwrap()
    })
    .await
    .unwrap();
    let lost = store
        .write(move |tx| {
            store::set_control(tx, "value", "half-way", NOW, "test")?;
            drop(cluster);
            store::control(tx.conn(), "value")
        })
        .await;
    assert!(matches!(lost, Err(StoreError::Unavailable { .. })), "{lost:?}");
}

#[test]
fn a_postgres_that_is_not_there_cannot_be_opened_and_its_password_is_not_told() {
    let error = open("postgres://chartseal:planted-password@127.0.0.1:1/chartseal").err().unwrap();
    assert!(matches!(error, StoreError::CannotOpen { .. }));
    assert!(!error.to_string().contains("planted-password") && !format!("{error:?}").contains("planted-password"));
}

#[test]
fn a_folder_in_the_place_of_the_sqlite_file_cannot_be_opened() {
    let folder = Place::new("outage");
    let url = format!("sqlite:{}", folder.display());
    assert!(matches!(open(&url).err().unwrap(), StoreError::CannotOpen { .. }));
    assert!(matches!(Store::migrate(&url).err().unwrap(), StoreError::CannotOpen { .. }));
}

#[test]
fn a_sqlite_file_that_opens_for_reading_alone_is_refused_and_not_taken_for_a_writer() {
    let folder = Place::new("outage");
    let file = folder.join("chartseal.db");
    Store::migrate(&format!("sqlite:{}", file.display())).unwrap();
    // As SQLite does by itself when the file cannot be opened for writing; root may write any file.
    let why = open(&format!("sqlite:file:{}?mode=ro", file.display())).err().unwrap().to_string();
    assert!(why.contains("cannot be written"), "{why}");
}

#[test]
fn a_file_that_is_no_database_cannot_be_opened_and_stays_as_it_is() {
    let folder = Place::new("outage");
    let file = folder.join("letter.txt");
    std::fs::write(&file, "Dear patient, ".repeat(100)).unwrap();
    let url = format!("sqlite:{}", file.display());
    assert!(matches!(Store::migrate(&url).err().unwrap(), StoreError::CannotOpen { .. }));
    assert!(matches!(open(&url).err().unwrap(), StoreError::CannotOpen { .. }));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "Dear patient, ".repeat(100));
}

#[test]
fn an_address_of_another_kind_is_refused_with_the_kinds_there_are() {
    for url in ["mysql://host/db", "chartseal.db", ""] {
        let why = open(url).err().unwrap().to_string();
        assert!(why.contains("sqlite:") && why.contains("postgres://"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_was_replaced_by_a_folder_is_unavailable_and_not_empty() {
    let folder = Place::new("outage");
    let file = folder.join("chartseal.db");
    let url = format!("sqlite:{}", file.display());
    Store::migrate(&url).unwrap();
    let store = open(&url).unwrap();
    std::fs::rename(&file, folder.join("moved.db")).unwrap();
    // A connection that the pool opens at this moment makes the file anew.
    while let Err(error) = std::fs::create_dir(&file) {
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        let _ = std::fs::remove_file(&file);
    }
    // More readings at once than there are connections open: some must open the folder.
    let looking: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let link = LinkId::random(&mut random::system());
                store
                    .read(move |conn| {
                        let found = store::link(conn, &link)?.is_some();
                        std::thread::sleep(Duration::from_millis(200));
                        Ok(found)
                    })
                    .await
            })
        })
        .collect();
    for one in looking {
        match one.await.unwrap() {
            // A connection that was open before still reads the moved file.
            Ok(found) => assert!(!found),
            Err(error) => assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}"),
        }
    }
}
