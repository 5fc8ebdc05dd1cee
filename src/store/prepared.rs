//! Changes that are prepared once per connection.
//!
//! Diesel prepares every `INSERT` and `UPDATE` anew, since it cannot know how many texts a program makes of them. Ours make
//! one each: whatever is set is always set, absent values as `NULL`. Measured reason: SQLite spent more time on reading the
//! text of changes than on making them.
//! Must stay true: no text given here depends on a caller's data or grows with a number of values; the cache never empties.

use diesel::internal::derives::multiconnection::AstPassHelper as _;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryBuilder, QueryFragment, QueryId};
use diesel::query_dsl::methods::LoadQuery;
use diesel::sqlite::Sqlite;

use super::conn::Conn;

/// A statement that a connection prepares at its first use, and keeps.
pub(super) struct Prepared<Q>(Q);

pub(super) trait Prepare: Sized {
    /// This statement, prepared at most once per connection; kept by its text.
    fn prepared(self) -> Prepared<Self> {
        Prepared(self)
    }
}

impl<Q: QueryId> Prepare for Q {}

impl<Q> Prepared<Q> {
    /// Makes the change; returns how many rows it met.
    pub(super) fn execute(self, conn: &mut Conn) -> QueryResult<usize>
    where
        Q: QueryFragment<Sqlite> + QueryFragment<Pg>,
    {
        match conn {
            Conn::Sqlite(conn) => Told::of(self.0, &Sqlite)?.execute(conn),
            Conn::Postgres(conn) => Told::of(self.0, &Pg)?.execute(conn),
        }
    }

    /// Makes the change; returns what it says of each row that it met.
    pub(super) fn load<'query, Row>(self, conn: &mut Conn) -> QueryResult<Vec<Row>>
    where
        Q: QueryFragment<Sqlite> + QueryFragment<Pg>,
        Told<Q>: LoadQuery<'query, diesel::SqliteConnection, Row> + LoadQuery<'query, diesel::PgConnection, Row>,
    {
        match conn {
            Conn::Sqlite(conn) => Told::of(self.0, &Sqlite)?.load(conn),
            Conn::Postgres(conn) => Told::of(self.0, &Pg)?.load(conn),
        }
    }
}

/// A statement with its text: diesel asks for it at each of several turns.
pub(super) struct Told<Q> {
    statement: Q,
    text: String,
}

impl<Q> Told<Q> {
    fn of<DB>(statement: Q, backend: &DB) -> QueryResult<Self>
    where
        DB: diesel::backend::Backend<QueryBuilder: Default>,
        Q: QueryFragment<DB>,
    {
        let mut builder = DB::QueryBuilder::default();
        statement.to_sql(&mut builder, backend)?;
        Ok(Self { statement, text: builder.finish() })
    }
}

impl<DB: diesel::backend::Backend, Q: QueryFragment<DB>> QueryFragment<DB> for Told<Q> {
    /// The statement itself is asked for its values alone: asked whether it may be kept, it would say no.
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        pass.push_sql(&self.text);
        let are_values_asked = pass.bind_collector().is_some() || pass.debug_binds().is_some();
        if are_values_asked { self.statement.walk_ast(pass) } else { Ok(()) }
    }
}

impl<Q> QueryId for Told<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Told<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> RunQueryDsl<C> for Told<Q> {}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use diesel::connection::{Connection as _, InstrumentationEvent, SimpleConnection as _};

    use super::*;
    use crate::store::schema::control;

    type Kept = Arc<Mutex<Vec<String>>>;

    /// An empty database, and the texts that its connection kept from now on.
    fn connection() -> (Conn, Kept) {
        let mut conn = Conn::Sqlite(diesel::SqliteConnection::establish(":memory:").unwrap());
        conn.batch_execute("CREATE TABLE control (name TEXT PRIMARY KEY, value TEXT, set_at BIGINT, set_by TEXT)")
            .unwrap();
        let kept = Kept::default();
        let noting = Arc::clone(&kept);
        let Conn::Sqlite(sqlite) = &mut conn else { unreachable!() };
        sqlite.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { sql, .. } = event {
                noting.lock().unwrap().push(sql.to_owned());
            }
        });
        (conn, kept)
    }

    #[test]
    fn an_insert_and_an_update_are_prepared_once() {
        let (mut conn, kept) = connection();
        for (name, at) in [("one", 1), ("two", 2), ("three", 3)] {
            let row =
                (control::name.eq(name), control::value.eq("x"), control::set_at.eq(0), control::set_by.eq("test"));
            let inserted = diesel::insert_into(control::table).values(row).prepared().execute(&mut conn).unwrap();
            let set = (control::set_at.eq(at), control::value.eq(name));
            let updated = diesel::update(control::table.find(name)).set(set).prepared().execute(&mut conn).unwrap();
            assert_eq!((inserted, updated), (1, 1));
        }
        let rows: Vec<(String, String, i64)> = control::table
            .order(control::set_at.asc())
            .select((control::name, control::value, control::set_at))
            .load(&mut conn)
            .unwrap();
        let is = |name: &str, at| (name.to_owned(), name.to_owned(), at);
        assert_eq!(rows, [is("one", 1), is("two", 2), is("three", 3)], "a kept statement got another's values");
        let kept = kept.lock().unwrap();
        let changes: Vec<_> = kept.iter().filter(|text| !text.starts_with("SELECT")).collect();
        assert_eq!(changes.len(), 2, "kept: {changes:?}");
    }

    #[test]
    fn what_a_statement_returns_and_refuses_passes_through() {
        let (mut conn, _) = connection();
        let row = (control::name.eq("one"), control::value.eq("x"), control::set_at.eq(0), control::set_by.eq("test"));
        diesel::insert_into(control::table).values(row).prepared().execute(&mut conn).unwrap();
        let again = diesel::insert_into(control::table).values(row).prepared().execute(&mut conn);
        assert!(matches!(
            again,
            Err(diesel::result::Error::DatabaseError(diesel::result::DatabaseErrorKind::UniqueViolation, _))
        ));
        let raised: Vec<i64> = diesel::update(control::table.find("one"))
            .set(control::set_at.eq(control::set_at + 1))
            .returning(control::set_at)
            .prepared()
            .load(&mut conn)
            .unwrap();
        assert_eq!(raised, [1]);
    }

    /// Otherwise a kept statement is prepared anew at each use that binds the value behind a `LIMIT` again.
    #[test]
    fn the_bundled_sqlite_is_built_with_the_planner_stability_guarantee() {
        let (mut conn, _) = connection();
        let used =
            diesel::select(diesel::dsl::sql::<diesel::sql_types::Integer>("sqlite_compileoption_used('ENABLE_QPSG')"));
        assert_eq!(used.get_result::<i32>(&mut conn), Ok(1));
    }
}
