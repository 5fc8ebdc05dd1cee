//! What a dead link could have been opened with is gone from SQLite's files, and waiting for it stops nobody.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use chartseal::store;

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, RECEIPT, SECRET, SHARE};
use crate::support::wait;

/// How long a statement waits for another that is in its way.
const SQLITE_WAIT: Duration = Duration::from_secs(10);

fn is_in_a_file(bed: &Bed, marker: &[u8]) -> bool {
    bed.files().iter().any(|file| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(marker.len()).any(|window| window == marker)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_a_dead_link_are_in_no_file_soon_after_its_death() {
    let bed = Bed::new(Engine::Sqlite);
    // Others before and behind it, so that it lies in the middle of its pages.
    let links = bed.write(|tx| (0..9).map(|n| stage::handed_over(tx, n, 1)).collect::<Result<Vec<_>, _>>()).await;
    for marker in [SHARE, RECEIPT, SECRET] {
        assert!(is_in_a_file(&bed, marker), "it is there before");
    }
    for it in links {
        bed.write(move |tx| stage::revoke(tx, &it.delivery, NOW)).await;
    }
    wait::until("the keys to leave the files", || {
        [SHARE, RECEIPT, SECRET].iter().all(|marker| !is_in_a_file(&bed, marker)).then_some(())
    })
    .await;
    assert!(is_in_a_file(&bed, stage::AUTH), "the tombstone still knows its holder");
}

/// There is one truncation per second.
async fn slowest_write_during_two_truncations(bed: &Bed) -> Duration {
    let until = Instant::now() + Duration::from_millis(2500);
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        let since = Instant::now();
        bed.write(|tx| store::set_control(tx, "value", "kept", NOW, "test")).await;
        slowest = slowest.max(since.elapsed());
    }
    slowest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_reading_delays_the_erasure_but_no_writer() {
    let bed = Bed::new(Engine::Sqlite);
    let it = bed.write(|tx| stage::handed_over(tx, 1, 1)).await;
    let (began, wait_until_begun) = mpsc::channel();
    let (end, wait_for_end) = mpsc::channel::<()>();
    let reading = {
        let store = bed.store.clone();
        tokio::spawn(async move {
            store
                .read(move |conn| {
                    use diesel::connection::Connection as _;
                    conn.transaction(|conn| {
                        store::paused(conn)?;
                        began.send(()).unwrap();
                        let _ = wait_for_end.recv();
                        store::paused(conn)
                    })
                })
                .await
        })
    };
    tokio::task::spawn_blocking(move || wait_until_begun.recv().unwrap()).await.unwrap();
    bed.write(move |tx| stage::revoke(tx, &it.delivery, NOW)).await;
    // A machine may be slow at times. If a truncation waited for the reading, every look would see it.
    let mut slowest = slowest_write_during_two_truncations(&bed).await;
    for _ in 0..9 {
        if slowest < SQLITE_WAIT / 2 {
            break;
        }
        slowest = slowest_write_during_two_truncations(&bed).await;
    }
    assert!(slowest < SQLITE_WAIT / 2, "a write took {slowest:?}");
    assert!(is_in_a_file(&bed, SECRET), "the reading still needs the log");
    drop(end);
    reading.await.unwrap().unwrap();
    wait::until("the keys to leave the files", || (!is_in_a_file(&bed, SECRET)).then_some(())).await;
}
