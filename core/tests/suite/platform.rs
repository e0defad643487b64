//! A whole core on a free port, with the embedded log and streams beside it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chatcluster_contracts::{rpc::message_service_client::MessageServiceClient, topics::Names};
use chatcluster_core::{Core, CoreOptions, Parts, store::sqlite_url};
use chatcluster_service::{config::Secret, health::Health, metrics::Metrics, rpc::ServiceToken};
use chatcluster_testkit::Api;
use chatcluster_transport::{
    event_log::{EventLog, embedded::EmbeddedLog},
    gateway_streams::memory::MemoryStreams,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::{
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint, server::TcpIncoming},
};

pub(crate) const TOKEN: &str = "a-service-token-of-tests";

pub(crate) struct Platform {
    pub(crate) core: Core,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) base: String,
    pub(crate) grpc: String,
    _folder: TempDir,
}

pub(crate) type Service = InterceptedService<Channel, ServiceToken>;

impl Platform {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut CoreOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(&folder.path().join("log.db")).await.unwrap());
        let url = sqlite_url(&folder.path().join("core.db"));
        let mut options = CoreOptions::new(url, folder.path().to_owned(), Secret::new(TOKEN));
        change(&mut options);
        let (health, metrics) = (Health::new(), Metrics::new("core"));
        let parts = Parts {
            log: log.clone(),
            streams: Arc::new(MemoryStreams::new()),
            names: Names::default(),
            health: health.clone(),
            metrics: metrics.clone(),
            node: "test".into(),
        };
        let core = Core::start(&options, parts).await.unwrap();
        let router = core.router().merge(chatcluster_service::operations::router(health.clone(), metrics));
        let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", rest.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(rest, service).await });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_routes(core.grpc());
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self { core, log, base, grpc, _folder: folder }
    }

    /// Started, with its schema in place.
    pub(crate) async fn ready() -> Self {
        let platform = Self::start().await;
        tokio::time::timeout(Duration::from_secs(30), platform.core.migrated()).await.unwrap();
        platform
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(&self.base).unwrap()
    }

    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(self.grpc.clone()).unwrap().connect_lazy()
    }

    pub(crate) fn service(&self) -> Service {
        InterceptedService::new(self.channel(), ServiceToken::new(&Secret::new(TOKEN)).unwrap())
    }

    pub(crate) fn messages(&self) -> MessageServiceClient<Service> {
        MessageServiceClient::new(self.service())
    }
}
