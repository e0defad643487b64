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
    event_log::{Consumer, EventLog},
    gateway_streams::GatewayStreams,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    config::Options,
    connection_events::ConnectionEvents,
    consume::{self, Pipeline},
    dead_letter::DeadLetters,
    digest::Digests,
    metrics::WorkerMetrics,
    publish::Publisher,
    registry_sync::RegistrySync,
    resolve::{Connections, CoreClient},
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
        let (kafka, redis, core) = (health.dependency("kafka"), health.dependency("redis"), health.dependency("core"));
        let figures = WorkerMetrics::new(&metrics);
        let token = ServiceToken::new(&parts.service_token)?;
        let publisher = Publisher { writer: parts.streams.writer(), redis: redis.clone(), metrics: figures.clone() };
        let dead_letters = DeadLetters { producer: parts.log.producer(), metrics: figures.clone() };
        let digests = Digests::default();
        let pipeline = Pipeline {
            core: CoreClient::new(parts.core.clone(), token.clone(), core.clone()),
            connections: Arc::new(Connections::new(parts.streams.registry())),
            publisher: publisher.clone(),
            digests: digests.clone(),
            dead_letters: dead_letters.clone(),
            reported_lag: Arc::default(),
            options,
        };

        let (mut consumers, mut background) = (JoinSet::new(), JoinSet::new());
        // typing has a consumer of its own: it starts at the end of its topic, the others where they left off
        for topics in [&[Topic::Messages, Topic::Status, Topic::Notifications][..], &[Topic::Typing][..]] {
            let pipeline = Pipeline { reported_lag: Arc::default(), ..pipeline.clone() };
            let (log, kafka, shutdown) = (Arc::clone(&parts.log), kafka.clone(), shutdown.clone());
            consumers.spawn(async move {
                let Some(consumer) = subscribe(&*log, Group::Fanout, topics, &shutdown).await else { return };
                consume::run(consumer, pipeline, kafka, shutdown).await;
            });
        }
        let events = ConnectionEvents { registry: parts.streams.registry(), dead_letters, metrics: figures.clone() };
        let (log, stop) = (Arc::clone(&parts.log), shutdown.clone());
        consumers.spawn(async move {
            let topics = &[Topic::ConnectionAdd, Topic::ConnectionRemove];
            let Some(consumer) = subscribe(&*log, Group::Connections, topics, &stop).await else { return };
            events.run(consumer, stop).await;
        });

        let manager = ConnectionManagerClient::with_interceptor(parts.core, token.clone());
        let sync = RegistrySync { core: manager, registry: parts.streams.registry(), metrics: figures };
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

/// Joins a group, however long the log is away.
async fn subscribe(
    log: &dyn EventLog,
    group: Group,
    topics: &[Topic],
    shutdown: &Shutdown,
) -> Option<Box<dyn Consumer>> {
    loop {
        match log.subscribe(group, topics).await {
            Ok(consumer) => return Some(consumer),
            Err(error) => tracing::warn!(%error, group = group.default_name(), "subscription failed; trying again"),
        }
        tokio::select! {
            () = shutdown.requested() => return None,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
