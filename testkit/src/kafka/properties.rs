//! The text of a broker's `server.properties`.

use std::net::Ipv4Addr;
use std::path::Path;

use super::{Plan, security};

pub(super) fn server_properties(plan: &Plan<'_>, folder: &Path) -> String {
    let (port, controller) = (plan.port, plan.controller_port);
    let listen = plan.host.map_or(Ipv4Addr::LOCALHOST, |_| Ipv4Addr::UNSPECIFIED);
    let host = plan.host.unwrap_or(Ipv4Addr::LOCALHOST);
    let mut listeners = vec![format!("PLAINTEXT://{listen}:{port}"), format!("CONTROLLER://127.0.0.1:{controller}")];
    let mut advertised = vec![format!("PLAINTEXT://{host}:{port}")];
    let mut protocols = vec!["PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"];
    if let Some(behind) = &plan.behind_proxy {
        listeners.push(format!("PROXIED://127.0.0.1:{}", behind.port));
        advertised.push(format!("PROXIED://127.0.0.1:{}", behind.advertised_port));
        protocols.push("PROXIED:PLAINTEXT");
    }
    if let Some(secured) = plan.secured {
        listeners.push(format!("SECURED://127.0.0.1:{}", secured.port));
        advertised.push(format!("SECURED://127.0.0.1:{}", secured.port));
        protocols.push("SECURED:SASL_SSL");
    }
    let mut lines = vec![
        "process.roles=broker,controller".to_owned(),
        format!("node.id={}", plan.node),
        format!("controller.quorum.voters={}", plan.voters),
        format!("listeners={}", listeners.join(",")),
        format!("advertised.listeners={}", advertised.join(",")),
        "controller.listener.names=CONTROLLER".to_owned(),
        // The broker also talks to itself, which a cut in a proxy must not hurt.
        "inter.broker.listener.name=PLAINTEXT".to_owned(),
        format!("listener.security.protocol.map={}", protocols.join(",")),
        format!("log.dirs={}", folder.join("data").display()),
        // Topics are declared by the operator or `chatcluster topics apply`; a typo must not create one.
        "auto.create.topics.enable=false".to_owned(),
        "num.partitions=3".to_owned(),
        format!("default.replication.factor={}", plan.replicas),
        format!("offsets.topic.replication.factor={}", plan.replicas),
        format!("transaction.state.log.replication.factor={}", plan.replicas),
        format!("share.coordinator.state.topic.replication.factor={}", plan.replicas),
        format!("min.insync.replicas={}", plan.replicas.min(2)),
        format!("transaction.state.log.min.isr={}", plan.replicas.min(2)),
        format!("share.coordinator.state.topic.min.isr={}", plan.replicas.min(2)),
        // Fifty partitions of internal topics would cost seconds at every start after a kill.
        "offsets.topic.num.partitions=3".to_owned(),
        "transaction.state.log.num.partitions=3".to_owned(),
        // A test's consumer group has its partitions at once, and loses a killed member within a second.
        "group.initial.rebalance.delay.ms=0".to_owned(),
        "group.min.session.timeout.ms=1000".to_owned(),
        "group.consumer.min.session.timeout.ms=1000".to_owned(),
        "group.consumer.min.heartbeat.interval.ms=200".to_owned(),
        "log.cleaner.enable=false".to_owned(),
    ];
    lines.extend(plan.secured.map(security::Secured::properties).unwrap_or_default());
    lines.extend(plan.properties.iter().map(|(key, value)| format!("{key}={value}")));
    lines.join("\n") + "\n"
}
