//! The store, on SQLite and on PostgreSQL: every sentence here is tested on both.

/// One test per database: `on_both! { async fn what_holds(bed: Bed) { … } }`.
macro_rules! on_both {
    ($(async fn $name:ident($bed:ident: Bed) $body:block)+) => {
        $(mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                holds(Bed::new(Engine::Sqlite)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                holds(Bed::new(Engine::Postgres)).await;
            }

            async fn holds($bed: Bed) $body
        })+
    };
}

mod audit;
mod bed;
mod challenges;
mod claims;
mod contacts;
mod contention;
mod deliveries;
mod documents;
mod due;
mod erasure;
mod events;
mod facts_seen;
mod health_links;
mod leases;
mod looks;
mod migrations;
mod notices;
mod operators;
mod outages;
mod papers;
mod polls;
mod quiet;
mod redecisions;
mod shared_links;
mod signing_keys;
mod sources;
mod stage;
mod texts;
mod told;
mod topics;
mod versions;
mod writes;
