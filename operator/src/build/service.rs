//! The Services: core's REST and gRPC (and its pods one by one, for our own callers), the gateways for clients, user events, and the workers' metrics.

use k8s_openapi::{
    api::core::v1::{ClientIPConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    metadata::{object_meta, selector},
    pod_template::{GRPC, HTTP, STOMP, USER_EVENTS, USER_EVENTS_PORT},
    settings::GRPC_PORT,
};
use crate::{
    crd::{ServiceType, SessionAffinity},
    validate::{Component, ObjectName, ValidatedCluster},
};

/// All requests of a `SockJS` session must reach the gateway that holds it; sessions may be quiet for hours.
const AFFINITY_SECONDS: i32 = 3 * 3600;

pub(super) fn build(cluster: &ValidatedCluster) -> [Service; 5] {
    let objects = &cluster.objects;
    let http = |component: Component| port(HTTP, component.port());
    let name = |component| objects.component(component);
    let core = vec![http(Component::Core), port(GRPC, GRPC_PORT)];
    let core_pods = service(cluster, objects.core_pods(), Component::Core, vec![port(GRPC, GRPC_PORT)]);
    let worker = service(cluster, name(Component::Worker), Component::Worker, vec![http(Component::Worker)]);
    let mut clients = vec![http(Component::Gateway)];
    clients.extend(cluster.gateway.stomp_port.map(|number| port(STOMP, number)));
    let mut gateway = service(cluster, name(Component::Gateway), Component::Gateway, clients);
    let annotations = &cluster.gateway.service_annotations;
    gateway.metadata.annotations = Some(annotations.clone()).filter(|annotations| !annotations.is_empty());
    if let Some(spec) = &mut gateway.spec {
        spec.type_ = Some(
            match cluster.gateway.service_type {
                ServiceType::ClusterIP => "ClusterIP",
                ServiceType::NodePort => "NodePort",
                ServiceType::LoadBalancer => "LoadBalancer",
            }
            .to_owned(),
        );
        if cluster.gateway.session_affinity == SessionAffinity::ClientIP {
            spec.session_affinity = Some("ClientIP".to_owned());
            let client_ip = Some(ClientIPConfig { timeout_seconds: Some(AFFINITY_SECONDS) });
            spec.session_affinity_config = Some(SessionAffinityConfig { client_ip });
        } else {
            spec.session_affinity = Some("None".to_owned());
        }
    }
    let events = vec![port(USER_EVENTS, USER_EVENTS_PORT)];
    [
        service(cluster, name(Component::Core), Component::Core, core),
        headless(core_pods),
        // scraped pod by pod, called by nobody
        headless(worker),
        gateway,
        service(cluster, objects.user_events(), Component::Gateway, events),
    ]
}

fn service(cluster: &ValidatedCluster, name: ObjectName, component: Component, ports: Vec<ServicePort>) -> Service {
    Service {
        metadata: object_meta(cluster, name, Some(component)),
        spec: Some(ServiceSpec {
            ports: Some(ports),
            selector: Some(selector(cluster, Some(component.as_str()))),
            type_: Some("ClusterIP".to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Its name stands for the addresses of the pods instead of one address for all.
fn headless(mut service: Service) -> Service {
    if let Some(spec) = &mut service.spec {
        spec.cluster_ip = Some("None".to_owned());
    }
    service
}

fn port(name: &str, port: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: port.into(),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        app_protocol: (name == GRPC).then(|| "kubernetes.io/h2c".to_owned()),
        ..ServicePort::default()
    }
}
