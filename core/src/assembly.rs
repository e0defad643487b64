//! Puts core together from its settings and the parts it is given, and takes it down in order.

use std::{fmt, sync::Arc, time::Duration};

use axum::Router;
use chatcluster_contracts::{
    revocation::Revocation,
    topics::{Names, Topic, is_valid_name},
};
use chatcluster_service::{
    health::{Dependency, Health},
    metrics::Metrics,
    tokens::{Revocations, Verifier},
    trace::TraceSource,
};
use chatcluster_transport::{
    ended_logins,
    event_log::{EventLog, Producer},
    gateway_streams::GatewayStreams,
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    identity::{Identity, IdentityOptions, keys::SigningKey, revoking},
    ingest::Ingest,
    metrics::{IngestMetrics, RelayMetrics},
    options::{CoreOptions, OutboxRelay, TokenOptions},
    outbox::{
        external,
        relay::{Relay, RelayParts},
    },
    presence,
    rest::{self, Api},
    rpc::{self, Rpc},
    store::{self, Store, StoreOptions},
};

const MIGRATE_RETRY: Duration = Duration::from_secs(1);
const CHECK_EVERY: Duration = Duration::from_secs(5);
const PRUNE_BOOTS_EVERY: Duration = Duration::from_secs(10);
const PRUNE_SESSIONS_EVERY: Duration = Duration::from_mins(10);
/// Sends under way at the end have this long, and then connections to be closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(6);

/// What core is given: the log it writes to, the signals it shares, and where it shows its state.
pub struct Parts {
    pub log: Arc<dyn EventLog>,
    pub streams: Arc<dyn GatewayStreams>,
    /// Topic names; the log's own.
    pub names: Names,
    pub health: Health,
    pub metrics: Metrics,
    /// Used when the options name no node.
    pub node: String,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Core at work: mount [`router`](Self::router) and [`grpc`](Self::grpc) where they are to be served, then
/// [`stop`](Self::stop) after the servers have.
#[derive(Debug)]
pub struct Core {
    store: Store,
    verifier: Verifier,
    router: Router,
    grpc: Routes,
    streams_stop: CancellationToken,
    stop: CancellationToken,
    migrated: watch::Receiver<bool>,
    background: JoinHandle<()>,
}

impl Core {
    /// Starts the background work. The database may still be away: the schema is brought up to date, and the relay
    /// started, as soon as it can be reached; until then `/readyz` says what is missing.
    pub async fn start(options: &CoreOptions, parts: Parts) -> anyhow::Result<Self> {
        for topic in Topic::ALL {
            let name = parts.names.topic(topic);
            anyhow::ensure!(is_valid_name(&name), "{name:?} cannot be the name of a Kafka topic; check the prefix");
        }
        let store = Store::open(&StoreOptions {
            url: options.database_url.clone(),
            names: parts.names.clone(),
            outbox_shards: options.outbox_shards,
            append_lanes: options.append_lanes,
            pool_size: options.database_connections,
        })?;
        anyhow::ensure!(
            options.outbox_relay == OutboxRelay::Builtin || !store.is_embedded(),
            "outbox-relay: SQLite has no log that an external relay could read; use builtin"
        );
        store.send_metrics().register(&parts.metrics);
        let key = match &options.signing_key_file {
            Some(path) => SigningKey::from_file(path)?,
            None => SigningKey::load_or_create(&options.data_dir)?,
        };
        let (identity, ended_logins) = Identity::new(store.clone(), identity_options(&options.tokens), key)?;
        let (verifier, producer) = (identity.verifier(), parts.log.producer());
        let streams_stop = CancellationToken::new();
        let grpc = rpc::routes(&Rpc {
            store: store.clone(),
            identity: identity.clone(),
            producer: producer.clone(),
            service_token: options.service_token.clone(),
            open_reflection: options.grpc_open_reflection,
            stop: streams_stop.clone(),
        })
        .await?;
        let router = rest::router(Api {
            store: store.clone(),
            identity: identity.clone(),
            traces: Arc::new(TraceSource::new(options.rest_trace_rate)),
            trusted_proxies: options.trusted_proxies,
        });
        let (stop, (is_migrated, migrated)) = (CancellationToken::new(), watch::channel(false));
        let ingest_metrics = IngestMetrics::default();
        ingest_metrics.register(&parts.metrics);
        let ingest = options.ingest.then(|| Ingest {
            store: store.clone(),
            log: parts.log.clone(),
            service_sender: options.ingest_service_sender.clone(),
            metrics: ingest_metrics,
        });
        let background = Background {
            ingest,
            revocations: identity.revocations(),
            ended_logins,
            stop_ingest: streams_stop.clone(),
            store: store.clone(),
            producer,
            holder: options.node.clone().unwrap_or(parts.node),
            streams: parts.streams,
            database: parts.health.dependency("database"),
            log: parts.health.optional_dependency("kafka"),
            signals: parts.health.optional_dependency("redis"),
            kept_for_others: (options.outbox_relay == OutboxRelay::External).then_some(options.outbox_keep),
            metrics: parts.metrics,
            stop: stop.clone(),
        };
        let background = tokio::spawn(background.run(options.migrate, is_migrated));
        Ok(Self { store, verifier, router, grpc, streams_stop, stop, migrated, background })
    }

    /// REST and its OpenAPI document. It has a fallback of its own, so at most one such router can be merged; health
    /// and metrics are the process's.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// All gRPC services.
    pub fn grpc(&self) -> Routes {
        self.grpc.clone()
    }

    /// Checks access tokens as core does, for others in the same process.
    pub fn verifier(&self) -> Verifier {
        self.verifier.clone()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Waits until the schema is there.
    pub async fn migrated(&self) {
        let _ = self.migrated.clone().wait_for(|done| *done).await;
    }

    /// Ends the streams of gRPC: each answers what it has taken. Servers can then finish.
    pub fn end_streams(&self) {
        self.streams_stop.cancel();
    }

    /// Takes no more sends, finishes those taken, lets the relay publish what is in flight, gives the leases up.
    pub async fn stop(self) {
        self.streams_stop.cancel();
        if tokio::time::timeout(CLOSE_WITHIN, self.store.close_lanes()).await.is_err() {
            tracing::warn!("sends are still under way at the end; their senders will try again");
        }
        self.stop.cancel();
        if let Err(error) = self.background.await {
            tracing::error!(%error, "core's background work died");
        }
        if tokio::time::timeout(CLOSE_WITHIN, self.store.close()).await.is_err() {
            tracing::warn!("connections to the database not closed in time");
        }
    }
}

fn identity_options(options: &TokenOptions) -> IdentityOptions {
    IdentityOptions {
        issuer: options.token_issuer.clone(),
        audience: options.token_audience.clone(),
        access_ttl: options.access_token_ttl,
        refresh_ttl: options.refresh_token_ttl,
        jwks: options.jwks.clone(),
        issuers: options.jwks_issuers.clone(),
    }
}

struct Background {
    /// Also begins with the schema; ends before the lanes of the store do.
    ingest: Option<Ingest>,
    stop_ingest: CancellationToken,
    revocations: Revocations,
    ended_logins: mpsc::Receiver<Revocation>,
    store: Store,
    producer: Arc<dyn Producer>,
    streams: Arc<dyn GatewayStreams>,
    holder: String,
    metrics: Metrics,
    database: Dependency,
    log: Dependency,
    signals: Dependency,
    /// How long rows of the outbox stay for an external relay; `None`: they are published here.
    kept_for_others: Option<Duration>,
    stop: CancellationToken,
}

impl Background {
    async fn run(self, migrate: bool, migrated: watch::Sender<bool>) {
        let (producer, streams) = (self.producer.clone(), self.streams.clone());
        let mut tasks = JoinSet::new();
        let (signals, keys) = (streams.signals(), streams.keys().clone());
        tasks.spawn(check_dependencies(producer, streams, self.log.clone(), self.signals.clone()));
        tasks.spawn(revoking::tell(self.ended_logins, signals.clone(), keys.clone()));
        tokio::select! {
            () = self.stop.cancelled() => return,
            () = Self::migrate(&self.store, &self.database, migrate) => {}
        }
        migrated.send_replace(true);
        let channel = keys.auth_revoked();
        tasks.spawn(ended_logins::watch(self.revocations, self.store.clone(), signals, channel, |_| {}));
        let relay = if let Some(keep) = self.kept_for_others {
            tasks.spawn(external::sweep(self.store.clone(), keep, self.database));
            None
        } else {
            let metrics = RelayMetrics::default();
            metrics.register(&self.metrics);
            Some(Relay::start(RelayParts {
                store: self.store.clone(),
                producer: self.producer.clone(),
                streams: self.streams,
                holder: self.holder,
                metrics,
                database: self.database,
            }))
        };
        tasks.spawn(presence::run(self.store.clone(), self.producer.clone()));
        tasks.spawn(keep_house(self.store, self.producer));
        let ingest = self.ingest.map(|ingest| tokio::spawn(ingest.run(self.stop_ingest)));
        self.stop.cancelled().await;
        if let Some(ingest) = ingest
            && let Err(error) = ingest.await
        {
            tracing::error!(%error, "ingest died");
        }
        tasks.shutdown().await;
        if let Some(relay) = relay {
            relay.stop().await;
        }
    }

    /// Returns once the schema is there.
    async fn migrate(store: &Store, database: &Dependency, migrate: bool) {
        loop {
            let done = if migrate { store.migrate().await } else { store.check_schema().await.map_err(Into::into) };
            match done {
                Ok(()) => return database.up(),
                Err(error) => {
                    database.down(&error);
                    tracing::warn!(%error, "database not ready");
                }
            }
            tokio::time::sleep(MIGRATE_RETRY).await;
        }
    }
}

/// Neither is needed to store a message; both are shown.
async fn check_dependencies(
    producer: Arc<dyn Producer>,
    streams: Arc<dyn GatewayStreams>,
    log: Dependency,
    signals: Dependency,
) {
    loop {
        match producer.check().await {
            Ok(()) => log.up(),
            Err(error) => log.down(error),
        }
        match streams.check().await {
            Ok(()) => signals.up(),
            Err(error) => signals.down(error),
        }
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

async fn prune(store: &Store) -> store::Result<()> {
    store.prune_sessions().await?;
    store.prune_notifications().await
}

/// Removes what has run out: gateway boots with their connections, tickets, refresh tokens, notifications.
async fn keep_house(store: Store, producer: Arc<dyn Producer>) {
    let mut boots = tokio::time::interval(PRUNE_BOOTS_EVERY);
    let mut sessions = tokio::time::interval(PRUNE_SESSIONS_EVERY);
    loop {
        let pruned = tokio::select! {
            _ = boots.tick() => store.prune_boots().await.map(|gone| {
                let records: Vec<_> = gone.into_iter().map(|live| live.record).collect();
                rpc::announce(&producer, Topic::ConnectionRemove, &records);
            }),
            _ = sessions.tick() => prune(&store).await,
        };
        if let Err(error) = pruned {
            tracing::debug!(%error, "expired rows stay for now");
        }
    }
}
