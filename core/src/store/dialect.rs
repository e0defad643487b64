//! Everything in which the two databases differ. The rest of the store is one SQL for both.

use std::time::Duration;

use sqlx::{
    AnyConnection, Connection, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::Migrator,
};

/// Migrations expand first and contract a release later, so a process of the release before may start on a newer schema.
static MYSQL: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!("migrations/mysql") };
static SQLITE: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!("migrations/sqlite") };

/// How long a caller waits for a free connection before the database counts as away.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is asked whether it still lives before it is used: a restart of the server is
/// found this way without a round trip before every query. One that died sooner after its last use fails one query, and
/// the pool, which tests what comes back to it, drops it.
const TRUSTED_FOR: Duration = Duration::from_secs(2);

/// A connection that comes back to the pool has this long to show that it is in order. Whoever used it may have given up
/// in the middle of an answer, or the server may hang: then it would be waited for without end, and its place with it.
const IN_ORDER_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL 8 and MariaDB.
    MySql,
    Sqlite,
}

impl Dialect {
    pub(super) fn of(url: &str) -> Option<Self> {
        let scheme = url.split(':').next()?;
        match scheme {
            "mysql" | "mariadb" => Some(Self::MySql),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }

    /// The URL with what a connection of ours needs: room for every prepared statement, those with lists in several
    /// lengths; a file that is created when it is missing.
    pub(super) fn complete(self, url: &str) -> String {
        let joined = |setting: &str| format!("{url}{}{setting}", if url.contains('?') { '&' } else { '?' });
        match self {
            Self::MySql if url.contains("statement-cache-capacity") => url.to_owned(),
            Self::MySql => joined("statement-cache-capacity=512"),
            Self::Sqlite if url.contains("mode=") => url.to_owned(),
            Self::Sqlite => joined("mode=rwc"),
        }
    }

    pub(super) fn migrator(self) -> &'static Migrator {
        match self {
            Self::MySql => &MYSQL,
            Self::Sqlite => &SQLITE,
        }
    }

    /// Settings of every connection.
    pub(super) async fn prepare(self, connection: &mut AnyConnection, read_only: bool) -> Result<(), sqlx::Error> {
        let settings = match self {
            Self::MySql => {
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION innodb_lock_wait_timeout = 5"
            }
            Self::Sqlite if read_only => "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON",
            Self::Sqlite => {
                "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
            }
        };
        connection.execute(settings).await.map(drop)
    }

    pub(super) fn pool(self, options: &AnyConnectOptions, size: u32, read_only: bool) -> sqlx::AnyPool {
        AnyPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(move |connection, seen| {
                Box::pin(async move {
                    // a file does not die
                    if self == Self::MySql && seen.idle_for > TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_release(move |connection, _| {
                Box::pin(async move {
                    if self == Self::MySql {
                        let asking = tokio::time::timeout(IN_ORDER_WITHIN, connection.ping());
                        asking.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| Box::pin(self.prepare(connection, read_only)))
            .connect_lazy_with(options.clone())
    }

    /// Starts a transaction that may write.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            Self::MySql => "START TRANSACTION",
            // Taking the write lock at the first write instead would fail when somebody else wrote meanwhile.
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// Locks the rows selected until the end of the transaction; SQLite's transaction has the whole file already.
    pub(super) const fn for_update(self) -> &'static str {
        match self {
            Self::MySql => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// The database's clock, milliseconds since the Unix epoch.
    pub(super) const fn now_ms(self) -> &'static str {
        match self {
            Self::MySql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
            Self::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
        }
    }

    /// What stands before and after hexadecimal digits to make them text. It has no collation of its own to speak of: in a
    /// comparison that of the column counts, and so do its indexes.
    pub(super) const fn hexadecimal_text(self) -> (&'static str, &'static str) {
        match self {
            Self::MySql => ("_utf8mb4 X'", "'"),
            Self::Sqlite => ("CAST(X'", "' AS TEXT)"),
        }
    }

    /// INSERT that leaves rows alone whose key exists.
    pub(super) const fn insert_ignore(self) -> &'static str {
        match self {
            Self::MySql => "INSERT IGNORE INTO",
            Self::Sqlite => "INSERT OR IGNORE INTO",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use chatcluster_testkit::{MariaDb, faults::TcpProxy, install};
    use sqlx::Row;
    use tokio::time::timeout;

    use super::*;

    /// Whoever asks may give up in the middle of an answer. What is left of it must neither be taken for somebody else's
    /// answer nor be waited for without end.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_query_that_is_given_up_half_way_costs_nobody_else_anything() {
        sqlx::any::install_default_drivers();
        let server = MariaDb::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
        let proxy = TcpProxy::start(server.port()).await.unwrap();
        let url = server.url().replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
        let options = AnyConnectOptions::from_str(&url).unwrap();
        let pool = Dialect::MySql.pool(&options, 1, false);
        for round in 0..3_i64 {
            let asking = sqlx::query("SELECT ? AS number").bind(round).fetch_one(&pool);
            let answer = timeout(2 * ACQUIRE_TIMEOUT, asking).await.unwrap().unwrap();
            assert_eq!(answer.get::<i64, _>("number"), round);
            proxy.deafen_after(300_000);
            let long = sqlx::query("SELECT REPEAT('x', 3000000) AS long_row").fetch_all(&pool);
            let half = async {
                while !proxy.is_deaf() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                // what has come is read
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            tokio::select! {
                answer = long => panic!("all of it came: {:?}", answer.map(|rows| rows.len())),
                () = half => {}
            }
            proxy.deafen(false);
        }
    }
}
