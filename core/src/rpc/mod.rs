//! gRPC for the other services of the platform. One file a service; every call carries the service token ([`token`]).

mod acks;
mod auth;
mod connections;
mod messages;
mod status;
mod stream;
mod token;

use std::{fmt, sync::Arc};

use axum::middleware;
use chatcluster_contracts::rpc::{
    FILE_DESCRIPTOR_SET, auth_service_server::AuthServiceServer, connection_manager_server::ConnectionManagerServer,
    message_service_server::MessageServiceServer,
};
use chatcluster_service::config::Secret;
use chatcluster_transport::event_log::Producer;
pub(crate) use connections::announce;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder, interceptor::InterceptedService};

use crate::{identity::Identity, store::Store, to_the_end::to_the_end};

/// What the services work with.
#[derive(Clone)]
pub struct Rpc {
    pub store: Store,
    pub identity: Identity,
    /// Connection events go straight to the event log: they are hints.
    pub producer: Arc<dyn Producer>,
    pub service_token: Secret,
    /// Reflection without the service token.
    pub open_reflection: bool,
    /// Streams answer what they have taken and end.
    pub stop: CancellationToken,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("open_reflection", &self.open_reflection).finish_non_exhaustive()
    }
}

/// All services, with health (open, as probes carry no token) and reflection.
pub async fn routes(rpc: &Rpc) -> anyhow::Result<Routes> {
    let check = token::Check::new(&rpc.service_token);
    let auth = AuthServiceServer::new(auth::Auth { identity: rpc.identity.clone(), store: rpc.store.clone() });
    let messages = MessageServiceServer::new(messages::Messages { store: rpc.store.clone(), stop: rpc.stop.clone() });
    let connections = connections::Connections { store: rpc.store.clone(), producer: rpc.producer.clone() };
    let connections = ConnectionManagerServer::new(connections);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<AuthServiceServer<auth::Auth>>().await;
    reporter.set_serving::<MessageServiceServer<messages::Messages>>().await;
    reporter.set_serving::<ConnectionManagerServer<connections::Connections>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(InterceptedService::new(auth, check.clone()))
        .add_service(InterceptedService::new(messages, check.clone()))
        .add_service(InterceptedService::new(connections, check.clone()))
        .add_service(health);
    if rpc.open_reflection {
        routes.add_service(reflection);
    } else {
        routes.add_service(InterceptedService::new(reflection, check));
    }
    Ok(routes.routes().into_axum_router().layer(middleware::from_fn(to_the_end)).into())
}
