//! The schema: the same on both databases and in `schema.rs`, brought up once, refused when it does not fit.

use std::collections::BTreeMap;

use chartseal::store::{Conn, NoWitness, Store, StoreError};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::bed::{Bed, Engine, Place};

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
    for line in include_str!("../../../src/store/schema.rs").lines().map(str::trim) {
        if let Some((name, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            columns.insert((table.clone(), name.to_owned()), kind.to_owned());
        } else if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with('{')) {
            name.clone_into(&mut table);
        }
    }
    columns
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
