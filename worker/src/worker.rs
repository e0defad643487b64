//! Assembles the worker.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use chatcluster_contracts::{
    rpc::connection_manager_client::ConnectionManagerClient,
    topics::{Group, Topic},
};
use chatcluster_service::{
    config::Secret, health::Health, metrics::Metrics, operations, rpc::ServiceToken, shutdown::Shutdown,
};
use chatcluster_transport::{
    channels::Retention,
    event_log::{EventLog, subscribe_until},
    gateway_streams::GatewayStreams,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    config::Options,
    connection_events::ConnectionEvents,
    consume::{self, Pipeline, hints},
    dead_letter::DeadLetters,
    digest::Digests,
    metrics::WorkerMetrics,
    presence::PresenceNews,
    publish::Publisher,
    registry_sync::RegistrySync,
    resolve::{Connections, CoreClient},
    user_event_log::UserEventLog,
};

/// What the worker works with.
pub struct Parts {
    pub log: Arc<dyn EventLog>,
    pub streams: Arc<dyn GatewayStreams>,
    pub core: Channel,
    pub service_token: Secret,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    health: Health,
    metrics: Metrics,
    shutdown: Shutdown,
    consumers: JoinSet<()>,
    background: JoinSet<()>,
}

/// How often dependencies that nothing was asked of lately are looked at.
const CHECK_EVERY: Duration = Duration::from_secs(2);

impl Worker {
    /// Starts consuming. Nothing needs to be reachable yet.
    pub fn start(options: Options, parts: Parts, shutdown: Shutdown) -> anyhow::Result<Self> {
        let (health, metrics) = (Health::new(), Metrics::new("worker"));
        let (digest_every, sync_every) = (options.digest_interval, options.registry_sync_interval);
        let keep_user_events = Retention { entries: options.user_event_log_length, idle: options.user_event_log_idle };
        let (kafka, redis, core) = (health.dependency("kafka"), health.dependency("redis"), health.dependency("core"));
        let figures = WorkerMetrics::new(&metrics);
        let token = ServiceToken::new(&parts.service_token)?;
        let publisher = Publisher {
            writer: parts.streams.writer(),
            rooms: parts.streams.rooms(),
            keep_room: Retention { entries: options.room_log_length as usize, idle: options.room_log_idle },
            redis: redis.clone(),
            metrics: figures.clone(),
        };
        let dead_letters = DeadLetters { producer: parts.log.producer(), metrics: figures.clone() };
        let digests = Digests::default();
        let pipeline = Pipeline {
            core: CoreClient::new(parts.core.clone(), token.clone(), core.clone(), figures.core_circuit_open.clone()),
            connections: Arc::new(Connections::new(parts.streams.registry())),
            publisher: publisher.clone(),
            digests: digests.clone(),
            dead_letters: dead_letters.clone(),
            reported_lag: Arc::default(),
            options,
        };

        let (mut consumers, mut background) = (JoinSet::new(), JoinSet::new());
        // typing has a consumer of its own: it starts at the end of its topic, the others where they left off
        for (group, topics) in [
            (Group::Fanout, &[Topic::Messages, Topic::Status, Topic::Notifications][..]),
            (Group::Fanout, &[Topic::Typing][..]),
            (Group::Rooms, &[Topic::Created][..]),
        ] {
            let pipeline = Pipeline { reported_lag: Arc::default(), ..pipeline.clone() };
            let (log, kafka, shutdown) = (Arc::clone(&parts.log), kafka.clone(), shutdown.clone());
            consumers.spawn(async move {
                let Some(consumer) = subscribe_until(&shutdown.token(), &*log, group, topics).await else {
                    return;
                };
                consume::run(consumer, pipeline, kafka, shutdown).await;
            });
        }
        let events = ConnectionEvents { registry: parts.streams.registry(), dead_letters, metrics: figures.clone() };
        consumers.spawn(hints::run(events, Arc::clone(&parts.log), shutdown.clone()));

        let manager = ConnectionManagerClient::with_interceptor(parts.core, token.clone());
        let news = PresenceNews {
            core: manager.clone(),
            connections: pipeline.connections.clone(),
            publisher: publisher.clone(),
            dead_letters: pipeline.dead_letters.clone(),
        };
        consumers.spawn(hints::run(news, Arc::clone(&parts.log), shutdown.clone()));
        let figures_of_user_events = figures.clone();
        let sync = RegistrySync { core: manager, registry: parts.streams.registry(), metrics: figures };
        let user_events = UserEventLog::new(&*parts.streams, keep_user_events, figures_of_user_events);
        consumers.spawn(user_events.run(shutdown.clone()));
        background.spawn(digests.run(publisher, digest_every));
        background.spawn(sync.run(sync_every));
        let (streams, producer) = (parts.streams, parts.log.producer());
        let hello = crate::resolve::hello(pipeline.core, core);
        background.spawn(hello);
        background.spawn(async move {
            loop {
                match producer.check().await {
                    Ok(()) => kafka.up(),
                    Err(error) => kafka.down(error),
                }
                match streams.check().await {
                    Ok(()) => redis.up(),
                    Err(error) => redis.down(error),
                }
                tokio::time::sleep(CHECK_EVERY).await;
            }
        });
        Ok(Self { health, metrics, shutdown, consumers, background })
    }

    /// `/healthz`, `/readyz`, `/metrics`.
    pub fn router(&self) -> Router {
        operations::router(self.health.clone(), self.metrics.clone())
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits for shutdown and until everything begun is finished and committed.
    pub async fn run(mut self) {
        self.shutdown.requested().await;
        self.health.set_draining();
        while self.consumers.join_next().await.is_some() {}
        self.background.shutdown().await;
    }

    /// As [`run`](Self::run), with health and metrics on `listener`.
    pub async fn serve(self, listener: tokio::net::TcpListener) -> anyhow::Result<()> {
        tracing::info!(listen = %listener.local_addr()?, "worker started");
        let router = self.router();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        self.run().await;
        server.abort();
        match server.await {
            Ok(outcome) => outcome.context("failed to serve health and metrics"),
            Err(_) => Ok(()),
        }
    }
}
