//! The schema: the same on both databases and in `schema.rs`, brought up once, refused when it does not fit.

use std::collections::BTreeMap;

use chartseal::store::{self, Conn, NoWitness, Store, StoreError};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::bed::{Bed, Engine, Place};
use super::stage::{NOW, verified_lines};

/// Table and column to its type as `schema.rs` would write it.
type Columns = BTreeMap<(String, String), String>;

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    in_table: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    nullable: String,
}

const SQLITE_COLUMNS: &str = "SELECT t.name AS in_table, c.name AS name, c.type AS kind, \
     CASE WHEN c.\"notnull\" = 1 THEN 'NO' ELSE 'YES' END AS nullable \
     FROM sqlite_master t, pragma_table_info(t.name) c \
     WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\'";
const POSTGRES_COLUMNS: &str = "SELECT table_name::text AS in_table, column_name::text AS name, data_type::text AS kind, \
     is_nullable::text AS nullable FROM information_schema.columns \
     WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'";

fn columns(conn: &mut Conn) -> Result<Columns, StoreError> {
    let rows: Vec<Column> = match conn {
        Conn::Sqlite(conn) => diesel::sql_query(SQLITE_COLUMNS).load(conn)?,
        Conn::Postgres(conn) => diesel::sql_query(POSTGRES_COLUMNS).load(conn)?,
    };
    Ok(rows.into_iter().map(|row| ((row.in_table.clone(), row.name.clone()), typed(&row))).collect())
}

fn typed(row: &Column) -> String {
    let kind = match row.kind.to_uppercase().as_str() {
        "TEXT" => "Text",
        "BIGINT" => "BigInt",
        // SQLite numbers rows only in a column of this very type; its integers have 64 bits in any case.
        "INTEGER" if row.name == "n" => "BigInt",
        "INTEGER" => "Integer",
        "BLOB" | "BYTEA" => "Binary",
        other => panic!("{}.{} is a {other}", row.in_table, row.name),
    };
    if row.nullable == "YES" { format!("Nullable<{kind}>") } else { kind.to_owned() }
}

/// What `schema.rs` says, read as text.
fn said_by_schema() -> Columns {
    let mut table = String::new();
    let mut columns = Columns::new();
    let texts = [
        include_str!("../../../src/store/schema.rs"),
        include_str!("../../../src/store/schema/asking.rs"),
        include_str!("../../../src/store/write_backs/schema.rs"),
    ];
    for line in texts.into_iter().flat_map(str::lines).map(str::trim) {
        if let Some((name, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            columns.insert((table.clone(), name.to_owned()), kind.to_owned());
        } else if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with('{')) {
            name.clone_into(&mut table);
        }
    }
    columns
}

fn connect(url: &str) -> Conn {
    match url.strip_prefix("sqlite:") {
        Some(path) => Conn::Sqlite(diesel::SqliteConnection::establish(path).unwrap()),
        None => Conn::Postgres(diesel::PgConnection::establish(url).unwrap()),
    }
}

fn refusal(url: &str) -> String {
    match Store::open(url, std::sync::Arc::new(NoWitness)) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

on_both! {
    async fn the_migrated_database_has_the_tables_and_columns_of_the_schema(bed: Bed) {
        let (found, said) = (bed.read(columns).await, said_by_schema());
        assert!(said.len() > 100, "the schema was read: {}", said.len());
        let only_found: Vec<_> = found.iter().filter(|(name, kind)| said.get(*name) != Some(kind)).collect();
        let only_said: Vec<_> = said.iter().filter(|(name, kind)| found.get(*name) != Some(kind)).collect();
        assert!(only_found.is_empty() && only_said.is_empty(), "database: {only_found:?}\nschema.rs: {only_said:?}");
    }

    async fn migrating_again_does_nothing(bed: Bed) {
        let url = bed.place.url.clone();
        let ran = tokio::task::spawn_blocking(move || Store::migrate(&url)).await.unwrap().unwrap();
        assert_eq!(ran, Vec::<String>::new());
    }

    async fn a_database_that_a_newer_version_has_used_is_refused(bed: Bed) {
        bed.write(|tx| {
            let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000001')";
            tx.conn().batch_execute(newer)?;
            Ok(())
        })
        .await;
        let url = bed.place.url.clone();
        let why = tokio::task::spawn_blocking(move || refusal(&url)).await.unwrap();
        assert!(why.contains("newer version"), "{why}");
    }

    async fn an_unmigrated_database_is_refused_with_the_remedy(bed: Bed) {
        let empty = Place::new(bed.engine);
        let why = tokio::task::spawn_blocking(move || refusal(&empty.url)).await.unwrap();
        assert!(why.contains("chartseal migrate"), "{why}");
    }

    async fn eight_migrations_at_once_run_each_step_once(bed: Bed) {
        let empty = std::sync::Arc::new(Place::new(bed.engine));
        let running: Vec<_> = (0..8)
            .map(|_| {
                let empty = std::sync::Arc::clone(&empty);
                tokio::task::spawn_blocking(move || Store::migrate(&empty.url))
            })
            .collect();
        let mut ran = Vec::new();
        for one in running {
            ran.extend(one.await.unwrap().unwrap());
        }
        let steps = std::fs::read_dir(crate::support::part::in_project("migrations/sqlite")).unwrap().count();
        assert_eq!(ran.len(), steps, "{ran:?}");
    }

    async fn each_migration_is_told_once_under_its_name(bed: Bed) {
        let folder = std::fs::read_dir(crate::support::part::in_project("migrations/sqlite")).unwrap();
        let mut names: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let count: usize = bed
            .all_at_once(4, |tx, _| store::audit_migrations(tx, NOW))
            .await
            .into_iter()
            .map(Result::unwrap)
            .sum();
        assert_eq!(count, names.len());
        assert_eq!(bed.write(|tx| store::audit_migrations(tx, NOW)).await, 0);
        let lines = bed.read(|conn| store::chain_lines(conn, "installation")).await;
        let told: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(&line.body).unwrap()).collect();
        let migrated = |line: &serde_json::Value| line["event"] == "migrated" && line["ran_at"].is_i64();
        assert!(told.iter().all(migrated), "{told:?}");
        assert_eq!(told.iter().map(|line| line["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
        verified_lines(&bed).await;
    }

    async fn of_migrations_that_fail_nothing_is_kept(bed: Bed) {
        let empty = Place::new(bed.engine);
        let url = empty.url.clone();
        tokio::task::spawn_blocking(move || {
            // In the way of a later one.
            let mut conn = connect(&url);
            conn.batch_execute("CREATE TABLE incident (n BIGINT)").unwrap();
            let error = Store::migrate(&url).unwrap_err().to_string();
            assert!(error.contains("nothing of it was kept"), "{error}");
            assert_eq!(columns(&mut conn).unwrap().len(), 1);
            conn.batch_execute("DROP TABLE incident").unwrap();
            assert!(!Store::migrate(&url).unwrap().is_empty(), "the lock was let go");
        })
        .await
        .unwrap();
    }

    async fn both_databases_know_the_same_migrations(bed: Bed) {
        let names = |folder: &str| {
            let mut names: Vec<_> = std::fs::read_dir(crate::support::part::in_project(folder))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names("migrations/sqlite"), names("migrations/postgres"));
        drop(bed);
    }
}
