//! A crowd of living links beside the few that are opened: copies of one planted delivery, made by the database itself.
//!
//! Every copy has ids, patient and address of its own, spread over the indexes as random ones are, and rows in every
//! table that a real delivery has rows in. Its files are not there and its audit lines do not verify: nobody opens or
//! reads them.

use chartseal::base::LinkId;
use chartseal::store::{Conn, Store, StoreError};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

/// Copies made in one transaction.
const BATCH: usize = 50_000;

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Adds the copies numbered `from..to` of the delivery of `of`.
///
/// # Panics
/// When the database refuses.
pub async fn gather(store: &Store, of: &LinkId, from: usize, to: usize) {
    let mut at = from;
    while at < to {
        let until = to.min(at + BATCH);
        let of = of.as_str().to_owned();
        store.write(move |tx| copy(tx.conn(), &of, at, until)).await.expect("the database takes the crowd");
        at = until;
    }
    // PostgreSQL counts its rows by itself, sooner or later; nobody ever does it for our SQLite.
    let analyse = |tx: &mut chartseal::store::Tx| match tx.conn() {
        Conn::Postgres(conn) => Ok(conn.batch_execute("ANALYZE")?),
        Conn::Sqlite(_) => Ok(()),
    };
    store.write(analyse).await.expect("the database counts its rows");
}

/// Lets the lives of the copies numbered `from..to` end at this moment.
///
/// # Errors
/// The database's.
pub fn let_expire(conn: &mut Conn, from: usize, to: usize, at_ms: i64) -> Result<(), StoreError> {
    let spell = Spelling::of(conn);
    let links = format!("{} SELECT {} FROM n", numbers(from, to), spell.id("l"));
    conn.batch_execute(&format!(
        "UPDATE delivery SET state_detail = replace(state_detail, \
             (SELECT CAST(expires_at AS TEXT) FROM link WHERE link.id = delivery.link_id), '{at_ms}') \
             WHERE link_id IN ({links}); \
         UPDATE link SET expires_at = {at_ms} WHERE id IN ({links})"
    ))?;
    Ok(())
}

/// Links of the crowd whose lives ended and that are not shredded, or whose files are not removed yet.
///
/// # Errors
/// The database's.
pub fn still_to_end(conn: &mut Conn, now_ms: i64) -> Result<i64, StoreError> {
    count(
        conn,
        &format!(
            "SELECT (SELECT count(*) FROM link WHERE shredded_at IS NULL AND expires_at <= {now_ms} AND id LIKE 'cl%') \
             + (SELECT count(*) FROM link WHERE shredded_at IS NOT NULL AND files_removed_at IS NULL AND id LIKE 'cl%') AS count"
        ),
    )
}

/// The one number that a statement gives as `count`.
///
/// # Errors
/// The database's.
pub fn count(conn: &mut Conn, statement: &str) -> Result<i64, StoreError> {
    let query = diesel::sql_query(statement);
    let rows: Vec<Count> = match conn {
        Conn::Postgres(conn) => query.load(conn)?,
        Conn::Sqlite(conn) => query.load(conn)?,
    };
    Ok(rows.iter().map(|row| row.count).sum())
}

/// How the two databases say the same.
#[derive(Clone, Copy)]
enum Spelling {
    Postgres,
    Sqlite,
}

impl Spelling {
    const fn of(conn: &Conn) -> Self {
        match conn {
            Conn::Postgres(_) => Self::Postgres,
            Conn::Sqlite(_) => Self::Sqlite,
        }
    }

    /// An id of 16 characters for copy `i`, as unordered as a random one: multiplied modulo a prime.
    fn id(self, kind: &str) -> String {
        match self {
            Self::Postgres => format!("'c{kind}' || lpad(((i * 48271) % 2147483647)::text, 14, '0')"),
            Self::Sqlite => format!("'c{kind}' || printf('%014d', (i * 48271) % 2147483647)"),
        }
    }

    fn padded(self, characters: u32) -> String {
        match self {
            Self::Postgres => format!("lpad(i::text, {characters}, '0')"),
            Self::Sqlite => format!("printf('%0{characters}d', i)"),
        }
    }

    fn hash(self) -> String {
        match self {
            Self::Postgres => "convert_to(lpad(((i * 48271) % 2147483647)::text, 32, '0'), 'UTF8')".to_owned(),
            Self::Sqlite => "CAST(printf('%032d', (i * 48271) % 2147483647) AS BLOB)".to_owned(),
        }
    }

    fn columns(self, conn: &mut Conn, table: &str) -> Result<Vec<String>, StoreError> {
        let asked = match self {
            Self::Postgres => format!(
                "SELECT column_name::text AS name FROM information_schema.columns \
                 WHERE table_name = '{table}' AND table_schema = 'public' ORDER BY ordinal_position"
            ),
            Self::Sqlite => format!("SELECT name FROM pragma_table_info('{table}')"),
        };
        let query = diesel::sql_query(asked);
        let rows: Vec<Name> = match conn {
            Conn::Postgres(conn) => query.load(conn)?,
            Conn::Sqlite(conn) => query.load(conn)?,
        };
        Ok(rows.into_iter().map(|row| row.name).collect())
    }
}

fn copy(conn: &mut Conn, of: &str, from: usize, to: usize) -> Result<(), StoreError> {
    let spell = Spelling::of(conn);
    let numbers = numbers(from, to);
    let (source, delivery, link, notice) = (spell.id("s"), spell.id("d"), spell.id("l"), spell.id("n"));
    let chain = format!("'delivery:' || {delivery}");
    let (resource, blob, index) =
        (format!("'crowd-' || {}", spell.padded(9)), format!("'b' || {}", spell.padded(31)), spell.hash());
    let whose = format!("SELECT delivery_id FROM link WHERE id = '{of}'");
    // Table, which rows are copied, and what is each copy's own.
    let tables: [(&str, String, Vec<(&str, &str)>); 6] = [
        (
            "source",
            format!("id IN (SELECT source_id FROM delivery WHERE id IN ({whose}))"),
            vec![("id", &source), ("resource_id", &resource), ("subject_index", &index)],
        ),
        (
            "delivery",
            format!("id IN ({whose})"),
            vec![
                ("id", &delivery),
                ("source_id", &source),
                ("link_id", &link),
                ("contact_index", &index),
                ("patient_index", &index),
            ],
        ),
        ("link", format!("id = '{of}'"), vec![("id", &link), ("delivery_id", &delivery)]),
        ("sealed_file", format!("link_id = '{of}'"), vec![("link_id", &link), ("blob", &blob)]),
        ("notice", format!("link_id = '{of}'"), vec![("id", &notice), ("delivery_id", &delivery), ("link_id", &link)]),
        (
            "audit_line",
            format!("chain IN (SELECT 'delivery:' || delivery_id FROM link WHERE id = '{of}')"),
            vec![("chain", &chain)],
        ),
    ];
    for (table, rows, own) in tables {
        let columns: Vec<String> = spell
            .columns(conn, table)?
            .into_iter()
            .filter(|name| (table, name.as_str()) != ("audit_line", "n"))
            .collect();
        let values: Vec<&str> = columns
            .iter()
            .map(|name| own.iter().find(|(column, _)| column == name).map_or(name.as_str(), |(_, value)| *value))
            .collect();
        let (columns, values) = (columns.join(", "), values.join(", "));
        conn.batch_execute(&format!(
            "INSERT INTO {table} ({columns}) {numbers} SELECT {values} FROM n, (SELECT * FROM {table} WHERE {rows}) AS one"
        ))?;
    }
    Ok(())
}

/// `n(i)`: the numbers `from..to`.
fn numbers(from: usize, to: usize) -> String {
    let last = to - 1;
    format!("WITH RECURSIVE n(i) AS (SELECT CAST({from} AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {last})")
}
