//! Why the store did not do what it was asked, sorted by what the caller can do about it.

use chatcluster_contracts::problem::{Code, Problem};
use sqlx::{mysql::MySqlDatabaseError, sqlite::SqliteError};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The rules say no; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Problem),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer in time")]
    TimedOut,
    #[error("the schema is older than this release; chatcluster-core --migrate-only brings it up to date")]
    Outdated,
}

/// What kind of failure of the database it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not reachable, not writable, overloaded: later may work.
    Away,
    /// A deadlock or lock wait: the transaction was rolled back, run it again.
    Contention,
    /// Somebody else inserted the same key first.
    Duplicate,
    /// A bug, or a schema that is not ours.
    Broken,
}

pub(crate) fn failure(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Failure::Away,
        sqlx::Error::Database(error) if error.is_unique_violation() => Failure::Duplicate,
        sqlx::Error::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
                mysql_failure(error.number())
            } else if error.try_downcast_ref::<SqliteError>().is_some() {
                sqlite_failure(error.code().and_then(|code| code.parse().ok()).unwrap_or_default())
            } else {
                Failure::Broken
            }
        }
        _ => Failure::Broken,
    }
}

/// Error numbers of MySQL and MariaDB.
fn mysql_failure(number: u16) -> Failure {
    match number {
        // deadlock, lock wait timeout, record changed since last read (MariaDB snapshot isolation)
        1213 | 1205 | 1020 => Failure::Contention,
        // too many connections (of this user), shutdown, killed, read-only, disk full, statement timeout
        1040 | 1203 | 1226 | 1053 | 1927 | 1317 | 1290 | 1792 | 1836 | 1021 | 1114 | 1969 | 3024 => Failure::Away,
        _ => Failure::Broken,
    }
}

/// Primary result codes: <https://www.sqlite.org/rescode.html>.
fn sqlite_failure(code: u32) -> Failure {
    match code & 0xff {
        // busy, locked, read-only, i/o error, full, cannot open
        5 | 6 | 8 | 10 | 13 | 14 => Failure::Away,
        _ => Failure::Broken,
    }
}

impl StoreError {
    pub(crate) fn failure(&self) -> Option<Failure> {
        match self {
            Self::Database(error) => Some(failure(error)),
            Self::TimedOut | Self::Outdated => Some(Failure::Away),
            Self::Refused(_) => None,
        }
    }

    pub(crate) fn is_duplicate(&self) -> bool {
        self.failure() == Some(Failure::Duplicate)
    }

    /// May the same transaction simply be run again?
    pub(crate) fn is_contention(&self) -> bool {
        matches!(self.failure(), Some(Failure::Contention | Failure::Duplicate))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(problem) => problem,
            error if error.failure() == Some(Failure::Broken) => {
                tracing::error!(%error, "database");
                Problem::new(Code::Internal, "something went wrong here; it was logged")
            }
            error => {
                tracing::debug!(%error, "database away");
                Problem::new(Code::Unavailable, "the database cannot be reached now; try again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        assert_eq!(failure(&sqlx::Error::PoolTimedOut), Failure::Away);
        assert_eq!(mysql_failure(1213), Failure::Contention);
        assert_eq!(mysql_failure(1836), Failure::Away);
        assert_eq!(mysql_failure(1064), Failure::Broken);
        assert_eq!(sqlite_failure(261), Failure::Away);
        assert_eq!(Problem::from(StoreError::TimedOut).code, Code::Unavailable);
    }
}
