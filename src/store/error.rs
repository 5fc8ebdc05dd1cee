//! What can go wrong with the store, by whose fault.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::record::NotAllowed;

/// No variant carries a value of a row.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Outside: the database cannot be reached or is too busy. Try again.
    #[error("the database cannot be used now ({why})")]
    Unavailable { why: &'static str },
    /// Outside: the location or the schema is not one that this version can use.
    #[error("the database cannot be opened: {why}")]
    CannotOpen { why: String },
    /// Another worker changed the row first. Read it again.
    #[error("the row was changed by another step at the same time")]
    Moved,
    /// The same thing is already there.
    #[error("the row is already there")]
    Duplicate,
    /// The step tables refuse the change.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// Us: a stored value that this version cannot have written.
    #[error("column {column} holds a value that this version does not know")]
    BadRow { column: &'static str },
    /// Us: a statement that the database refused.
    #[error("the database refused a statement ({why})")]
    Refused { why: &'static str },
    /// Outside: the death journal cannot be written, so no link may die (or live on) unrecorded.
    #[error("the death journal cannot be written: {why}")]
    JournalRefused { why: String },
}

impl StoreError {
    /// Whether the same work may succeed later without anybody's help.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Moved | Self::JournalRefused { .. } => true,
            Self::CannotOpen { .. }
            | Self::Duplicate
            | Self::NotAllowed(_)
            | Self::BadRow { .. }
            | Self::Refused { .. } => false,
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        if let DieselError::DatabaseError(kind, info) = &error {
            return from_kind(*kind, info.message());
        }
        if matches!(error, DieselError::NotFound) {
            return Self::Moved;
        }
        if matches!(error, DieselError::BrokenTransactionManager) {
            return Self::Unavailable { why: "a broken connection" };
        }
        let why = kind_of(&error);
        tracing::error!(why, "a statement failed");
        Self::Refused { why }
    }
}

fn from_kind(kind: DatabaseErrorKind, message: &str) -> StoreError {
    match kind {
        DatabaseErrorKind::UniqueViolation => StoreError::Duplicate,
        DatabaseErrorKind::SerializationFailure => StoreError::Unavailable { why: "a conflict between transactions" },
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
            StoreError::Unavailable { why: "the connection was lost" }
        }
        DatabaseErrorKind::ReadOnlyTransaction => StoreError::Refused { why: "the database is read-only" },
        DatabaseErrorKind::ForeignKeyViolation => StoreError::Refused { why: "a missing parent row" },
        DatabaseErrorKind::NotNullViolation => StoreError::Refused { why: "a missing value" },
        DatabaseErrorKind::CheckViolation => StoreError::Refused { why: "a failed check" },
        DatabaseErrorKind::RestrictViolation | DatabaseErrorKind::ExclusionViolation | _ => from_message(message),
    }
}

/// SQLite and libpq tell these apart only by their text; none of the texts holds a row's value.
fn from_message(message: &str) -> StoreError {
    const PASSING: [(&str, &str); 9] = [
        ("database is locked", "the database is locked"),
        ("database table is locked", "the database is locked"),
        ("disk is full", "the disk is full"),
        ("disk I/O error", "the disk failed"),
        ("deadlock detected", "a deadlock"),
        ("timeout", "a time-out"),
        ("terminating connection", "the server is stopping"),
        ("server closed the connection", "the connection was lost"),
        ("no connection to the server", "the connection was lost"),
    ];
    // SQLite gives its two companions the mode of the database when it makes them.
    if message.contains("readonly database") {
        return StoreError::CannotOpen {
            why: "the SQLite file in [store] url cannot be written: the user that runs Chartseal must own it, the \
                  files beside it that end in -wal and -shm, and their folder"
                .to_owned(),
        };
    }
    PASSING
        .iter()
        .find(|(text, _)| message.contains(text))
        .map_or(StoreError::Refused { why: "an unexpected answer" }, |(_, why)| StoreError::Unavailable { why })
}

fn kind_of(error: &DieselError) -> &'static str {
    match error {
        DieselError::SerializationError(_) => "a value that cannot be written",
        DieselError::DeserializationError(_) => "a value that cannot be read",
        DieselError::QueryBuilderError(_) => "a statement that cannot be built",
        DieselError::RollbackTransaction | DieselError::RollbackErrorOnCommit { .. } => "a rollback",
        DieselError::AlreadyInTransaction | DieselError::NotInTransaction => "a transaction out of place",
        DieselError::InvalidCString(_)
        | DieselError::DatabaseError(..)
        | DieselError::NotFound
        | DieselError::BrokenTransactionManager
        | DieselError::IntegerConversion(_)
        | _ => "an unknown fault",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_file_of_another_user_is_told_with_what_to_do() {
        let said = Box::new("attempt to write a readonly database".to_owned());
        let error = StoreError::from(DieselError::DatabaseError(DatabaseErrorKind::Unknown, said));
        assert!(error.to_string().contains("-wal") && !error.is_passing(), "{error}");
    }
}
