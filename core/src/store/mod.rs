//! The database: one [`Store`] for MySQL/MariaDB and SQLite. One file a table or group of tables; where the two
//! databases differ is in [`dialect`] and nowhere else. The hot path, sending messages, is [`append`].

mod acks;
pub mod append;
mod connections;
mod conversations;
pub mod dialect;
mod error;
mod events;
mod joining;
mod leases;
mod members;
mod messages;
mod notifications;
mod outbox;
mod presence;
mod revocations;
mod script;
mod sessions;
mod sql;
mod transaction;
mod users;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use chatcluster_contracts::topics::Names;
use chatcluster_service::config::Secret;
use sqlx::{AnyPool, any::AnyConnectOptions};
use tokio::sync::Notify;

pub use acks::MemberMarks;
pub use connections::LiveConnection;
pub use conversations::{MAX_CONVERSATIONS, NewConversation, Overview};
pub(crate) use error::Failure;
pub use error::StoreError;
pub use events::{EventPage, MAX_EVENTS, StoredEvent};
pub use members::{Access, Ended, MAX_MEMBERS, Membership, Over, Stay};
pub use messages::{HistoryPage, MAX_HISTORY, MessageRow};
pub use notifications::{MAX_NOTIFICATIONS, NotificationPage};
pub use outbox::{OutboxDepth, OutboxRow};
pub use presence::{MAX_PRESENCES, Presence};
pub use sessions::{Redeemed, RefreshUse, Ticket};
pub use users::{Credentials, User};

use self::{append::Lanes, dialect::Dialect};
use crate::outbox::wake::Wake;

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `mysql://user:password@host/database` or `sqlite:path`.
    pub url: Secret,
    /// Topic names go into the outbox.
    pub names: Names,
    pub outbox_shards: u32,
    /// Tasks that combine sends into transactions.
    pub append_lanes: usize,
    /// Connections besides those of the lanes.
    pub pool_size: u32,
}

/// What every transaction needs besides its connection.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    dialect: Dialect,
    names: Names,
    shards: u32,
    wake: Wake,
    /// Somebody's presence changed, and others are to be told.
    presence: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    /// On MySQL the same pool as `write`.
    read: AnyPool,
    write: AnyPool,
    lanes: Lanes,
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dialect", &self.0.context.dialect).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database URL must start with mysql: or sqlite:")]
    Scheme,
    #[error("the database URL is malformed")]
    Url,
}

impl Store {
    /// Prepares pools and lanes; connects at the first use. Must be called within a Tokio runtime.
    pub fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let url = options.url.expose();
        let dialect = Dialect::of(url).ok_or(OpenError::Scheme)?;
        let connect = AnyConnectOptions::from_str(&dialect.complete(url)).map_err(|_| OpenError::Url)?;
        // Statements at debug level would put message contents into logs; slow ones are seen in the metrics.
        let connect = sqlx::ConnectOptions::disable_statement_logging(connect);
        let (read, write, lanes) = match dialect {
            Dialect::MySql => {
                let pool = dialect.pool(&connect, options.pool_size.max(2), false);
                (pool.clone(), pool, options.append_lanes.max(1))
            }
            Dialect::Sqlite => {
                (dialect.pool(&connect, options.pool_size.max(2), true), dialect.pool(&connect, 1, false), 1)
            }
        };
        let context = Context {
            dialect,
            names: options.names.clone(),
            shards: options.outbox_shards,
            wake: Wake::new(options.outbox_shards),
            presence: Arc::default(),
        };
        let lanes = Lanes::start(lanes, &connect, &write, &context);
        Ok(Self(Arc::new(Inner { context, read, write, lanes })))
    }

    /// Brings the schema up to date. Several processes may do this at once.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        Ok(self.0.context.dialect.migrator().run(&self.0.write).await?)
    }

    /// Has somebody brought the schema up to what this release needs? For a process that does not migrate by itself.
    pub async fn check_schema(&self) -> Result<()> {
        self.check().await?;
        let needed = self.0.context.dialect.migrator().iter().map(|migration| migration.version).max().unwrap_or(0);
        let applied = sqlx::query("SELECT COUNT(*) AS done FROM _sqlx_migrations WHERE version = ? AND success = TRUE");
        let row = applied.bind(needed).fetch_one(&self.0.read).await?;
        if sql::integer(&row, "done")? == 0 {
            return Err(StoreError::Outdated);
        }
        Ok(())
    }

    /// Is it `SQLite`, a file of this process alone?
    pub fn is_embedded(&self) -> bool {
        self.0.context.dialect == Dialect::Sqlite
    }

    /// Can the database be reached, and written to as far as one can tell?
    pub async fn check(&self) -> Result<()> {
        let asked = sqlx::query("SELECT COUNT(*) FROM relay_leases").execute(&self.0.read);
        tokio::time::timeout(Duration::from_secs(3), asked).await.map_err(|_| StoreError::TimedOut)??;
        Ok(())
    }

    pub fn names(&self) -> &Names {
        &self.0.context.names
    }

    pub fn outbox_shards(&self) -> u32 {
        self.0.context.shards
    }

    /// What the commits of this store announce.
    pub fn wake(&self) -> &Wake {
        &self.0.context.wake
    }

    /// Takes no more sends and lets the lanes finish what they have.
    pub async fn close_lanes(&self) {
        self.0.lanes.close().await;
    }

    /// The same, and closes every connection.
    pub async fn close(&self) {
        self.0.lanes.close().await;
        self.0.write.close().await;
        self.0.read.close().await;
    }
}

/// The URL of a SQLite file; `%`, `?` and `#` in its path are escaped.
pub fn sqlite_url(path: &std::path::Path) -> Secret {
    let path = path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Secret::new(format!("sqlite:{path}"))
}
