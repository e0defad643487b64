//! Who may talk to whom: nobody, but for the edges named here. Servers outside (Kafka, Redis, the database, issuers, the
//! collector of traces) are known by name and may change their addresses, so their edges are bound to ports only.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    metadata::{MIGRATION, label_selector, object_meta, selector},
    pod_template::USER_EVENTS_PORT,
    settings::GRPC_PORT,
};
use crate::validate::{Component, ValidatedCluster};

const DNS_PORT: u16 = 53;

pub(super) fn build(cluster: &ValidatedCluster) -> Vec<NetworkPolicy> {
    if !cluster.network_policy {
        return Vec::new();
    }
    let outside = Outside::of(cluster);
    let (core, worker, gateway) = (Component::Core, Component::Worker, Component::Gateway);
    let to_core = |ports: &[u16]| to(vec![pods(cluster, core)], ports);
    let everywhere = |ports: &BTreeSet<u16>| to(Vec::new(), &ports.iter().copied().collect::<Vec<_>>());
    let servers: BTreeSet<u16> = outside.kafka.union(&outside.redis).copied().collect();
    let dns = NetworkPolicyEgressRule { ports: Some(vec![port("UDP", DNS_PORT), port("TCP", DNS_PORT)]), to: None };
    let callers = vec![pods(cluster, worker), pods(cluster, gateway)];
    let scrapers =
        NetworkPolicyPeer { namespace_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() };

    let mut client_ports = vec![gateway.port(), USER_EVENTS_PORT];
    client_ports.extend(cluster.gateway.stomp_port);

    vec![
        policy(cluster, "default-deny", None, vec![], vec![]),
        policy(cluster, "dns", None, vec![], vec![Some(dns)]),
        policy(
            cluster,
            "core",
            Some(core.as_str()),
            vec![from(vec![], &[core.port()]), from(callers, &[GRPC_PORT])],
            vec![
                everywhere(&servers),
                everywhere(&outside.database),
                everywhere(&outside.issuers),
                everywhere(&outside.traces),
            ],
        ),
        policy(
            cluster,
            "worker",
            Some(worker.as_str()),
            vec![from(vec![scrapers], &[worker.port()])],
            vec![to_core(&[GRPC_PORT]), everywhere(&servers), everywhere(&outside.traces)],
        ),
        policy(
            cluster,
            "gateway",
            Some(gateway.as_str()),
            vec![from(vec![], &client_ports)],
            vec![
                to_core(&[GRPC_PORT, core.port()]),
                everywhere(&servers),
                everywhere(&outside.issuers),
                everywhere(&outside.traces),
            ],
        ),
        policy(cluster, "migration", Some(MIGRATION), vec![], vec![everywhere(&outside.database)]),
    ]
}

/// Ports of what is not ours.
struct Outside {
    kafka: BTreeSet<u16>,
    redis: BTreeSet<u16>,
    database: BTreeSet<u16>,
    issuers: BTreeSet<u16>,
    traces: BTreeSet<u16>,
}

impl Outside {
    fn of(cluster: &ValidatedCluster) -> Self {
        Self {
            kafka: cluster.kafka.brokers.iter().map(|broker| broker.port).collect(),
            redis: cluster.redis.address.iter().map(|address| address.port).collect(),
            database: cluster.database.address.iter().map(|address| address.port).collect(),
            issuers: cluster.auth.key_sets.iter().map(|set| set.address.port).collect(),
            traces: cluster.logging.otlp.iter().map(|otlp| otlp.address.port).collect(),
        }
    }
}

/// Policies add up: each allows its edges, and what none allows is denied.
fn policy(
    cluster: &ValidatedCluster,
    name: &'static str,
    pods: Option<&str>,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<Option<NetworkPolicyEgressRule>>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: object_meta(cluster, cluster.objects.policy(name), None),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(label_selector(selector(cluster, pods))),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(ingress).filter(|rules| !rules.is_empty()),
            egress: Some(egress.into_iter().flatten().collect::<Vec<_>>()).filter(|rules| !rules.is_empty()),
        }),
    }
}

fn pods(cluster: &ValidatedCluster, component: Component) -> NetworkPolicyPeer {
    let selector = label_selector(selector(cluster, Some(component.as_str())));
    NetworkPolicyPeer { pod_selector: Some(selector), ..NetworkPolicyPeer::default() }
}

/// No peers: from anywhere.
fn from(peers: Vec<NetworkPolicyPeer>, ports: &[u16]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(peers).filter(|peers| !peers.is_empty()),
        ports: Some(ports.iter().map(|number| port("TCP", *number)).collect()),
    }
}

/// No peers: to anywhere. No ports: no rule, for one without ports would allow all of them.
fn to(peers: Vec<NetworkPolicyPeer>, ports: &[u16]) -> Option<NetworkPolicyEgressRule> {
    (!ports.is_empty()).then(|| NetworkPolicyEgressRule {
        to: Some(peers).filter(|peers| !peers.is_empty()),
        ports: Some(ports.iter().map(|number| port("TCP", *number)).collect()),
    })
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number.into())),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}
