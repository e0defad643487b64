//! The objects built for a few manifests, compared with the files in `snapshots/`. After a change that is meant:
//! `UPDATE_SNAPSHOTS=1 cargo test -p chatcluster-operator --test snapshots`, and look at the difference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{collections::BTreeMap, path::PathBuf};

use chatcluster_operator::{
    build::{Capabilities, build},
    crd::ChatCluster,
    kinds::{Kind, Object},
    rollout::Versions,
    secrets::Secrets,
    validate::{ValidatedCluster, validate},
};
use chatcluster_service::config::try_parse_from;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n";
const TOKEN: &str = "0123456789abcdef";
const ALL: Capabilities = Capabilities { custom_metrics: true, service_monitor: true, prometheus_rule: true };

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn cluster(name: &str) -> ValidatedCluster {
    let text = std::fs::read_to_string(folder().join("clusters").join(format!("{name}.yaml"))).unwrap();
    let manifest: ChatCluster = serde_saphyr::from_str(&text).unwrap();
    let mut secrets = Secrets::default();
    for (name, keys) in [
        ("mysql", vec![("url", "mysql://chat:secret@mysql.example:3307/chat")]),
        ("redis", vec![("url", "rediss://chat:secret@redis.example:6380"), ("ca.crt", CERTIFICATE)]),
        ("kafka-ca", vec![("ca.crt", CERTIFICATE)]),
        ("kafka-user", vec![("username", "chat"), ("password", "secret")]),
        ("chat-signing", vec![("key.pem", KEY)]),
        ("chat-token", vec![("token", TOKEN)]),
        ("chat-keys", vec![("signing-key.pem", KEY), ("service-token", TOKEN)]),
    ] {
        let data = keys.into_iter().map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
        secrets.insert(name, Some(data.collect::<BTreeMap<_, _>>()));
    }
    let cluster = validate(&manifest, &secrets).unwrap();
    assert_eq!(cluster.missing_secrets, []);
    cluster
}

fn objects(name: &str, capabilities: Capabilities) -> Vec<Object> {
    let cluster = cluster(name);
    let tag = cluster.version.clone();
    let versions = Versions { migrate: tag.clone(), core: tag.clone(), worker: tag.clone(), gateway: tag };
    build(&cluster, &versions, &capabilities).unwrap()
}

fn of_kind(objects: &[Object], kind: Kind) -> Vec<&Object> {
    objects.iter().filter(|object| object.kind == kind).collect()
}

fn snapshot(name: &str) {
    let documents = objects(name, ALL).into_iter().map(|object| {
        // through a value: its maps are sorted
        let value = serde_json::to_value(&object.object).unwrap();
        format!("---\n{}", serde_saphyr::to_string(&value).unwrap())
    });
    let built: String = documents.collect::<Vec<_>>().concat();
    let path = folder().join("snapshots").join(format!("{name}.yaml"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, built).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((line, (was, is))) = kept.lines().zip(built.lines()).enumerate().find(|(_, (was, is))| was != is) {
        panic!("{}:{}: was {was:?}, is {is:?}; see the head of this test", path.display(), line + 1);
    }
    assert_eq!(kept.len(), built.len(), "{} ends earlier or later; see the head of this test", path.display());
}

#[test]
fn a_minimal_cluster() {
    snapshot("minimal");
}

#[test]
fn a_cluster_with_everything() {
    snapshot("full");
}

#[test]
fn a_cluster_that_is_scaled() {
    snapshot("autoscaled");
}

#[test]
fn every_object_is_marked_as_ours_and_names_are_not_taken_twice() {
    for name in ["minimal", "full", "autoscaled"] {
        let mut seen = std::collections::BTreeSet::new();
        let mut last = Kind::ServiceAccount;
        for Object { kind, object } in objects(name, ALL) {
            let labels = object.metadata.labels.clone().unwrap();
            assert_eq!(labels["chatcluster.dev/cluster"], "chat");
            assert_eq!(labels["app.kubernetes.io/managed-by"], "chatcluster-operator");
            let owner = &object.metadata.owner_references.as_ref().unwrap()[0];
            assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(true)));
            let object_name = object.metadata.name.clone().unwrap();
            assert!(object_name.len() <= 63);
            assert!(seen.insert((kind, object_name)), "{kind:?}");
            assert!(kind >= last, "{kind:?} comes after {last:?}");
            last = kind;
        }
    }
}

/// What an object says at a path of keys and indices.
fn at<'a>(object: &'a Object, path: &str) -> &'a serde_json::Value {
    object.object.data.pointer(path).unwrap_or(&serde_json::Value::Null)
}

#[test]
fn pods_are_restricted_and_end_after_their_drain() {
    for name in ["minimal", "full", "autoscaled"] {
        let built = objects(name, ALL);
        for object in of_kind(&built, Kind::Deployment).into_iter().chain(of_kind(&built, Kind::Job)) {
            let spec = at(object, "/spec/template/spec");
            assert_eq!(spec["automountServiceAccountToken"], false);
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            let container = &spec["containers"][0]["securityContext"];
            assert_eq!(container["allowPrivilegeEscalation"], false);
            assert_eq!(container["readOnlyRootFilesystem"], true);
            assert_eq!(container["capabilities"]["drop"][0], "ALL");
        }
        let gateway = of_kind(&built, Kind::Deployment).into_iter().find(|one| one.name() == "chat-gateway").unwrap();
        let grace = at(gateway, "/spec/template/spec/terminationGracePeriodSeconds").as_i64().unwrap();
        assert!(grace >= i64::from(cluster(name).gateway.drain_seconds) + 5);
    }
}

#[test]
fn the_autoscaler_owns_replicas_and_only_counts_what_is_served() {
    let built = objects("autoscaled", ALL);
    let gateway = of_kind(&built, Kind::Deployment).into_iter().find(|one| one.name() == "chat-gateway").unwrap();
    assert!(at(gateway, "/spec/replicas").is_null());
    let metrics = |objects: &[Object]| {
        let scalers = of_kind(objects, Kind::HorizontalPodAutoscaler);
        scalers.iter().map(|scaler| at(scaler, "/spec/metrics").as_array().unwrap().len()).collect::<Vec<_>>()
    };
    assert_eq!(metrics(&built), [2, 2]);
    assert_eq!(metrics(&objects("autoscaled", Capabilities::default())), [1, 1]);
}

/// `examples/autoscaling`: what Prometheus and its adapter are told fits what autoscalers ask for and what pods look like.
#[test]
fn the_examples_of_autoscaling_serve_the_metrics_that_are_asked_for() {
    let read = |name: &str| std::fs::read_to_string(folder().join("../../examples/autoscaling").join(name)).unwrap();
    let built = objects("autoscaled", ALL);
    let adapter = read("adapter.yaml");
    let mut asked = 0;
    for scaler in of_kind(&built, Kind::HorizontalPodAutoscaler) {
        let metrics = at(scaler, "/spec/metrics").as_array().unwrap();
        for metric in metrics.iter().filter_map(|metric| metric["pods"]["metric"]["name"].as_str()) {
            assert!(adapter.contains(&format!("seriesQuery: {metric}{{")), "{metric}");
            asked += 1;
        }
    }
    assert_eq!(asked, 2);

    let prometheus = read("prometheus.yml");
    assert!(prometheus.contains("__meta_kubernetes_pod_labelpresent_chatcluster_dev_cluster"));
    assert!(prometheus.contains("regex: http\n"));
    for pods in of_kind(&built, Kind::Deployment) {
        assert_eq!(at(pods, "/spec/template/metadata/labels/chatcluster.dev~1cluster"), "chat");
        let ports = at(pods, "/spec/template/spec/containers/0/ports").as_array().unwrap();
        assert_eq!(ports.iter().filter(|port| port["name"] == "http").count(), 1);
    }
}

/// Off by default; where it is on, pods, Service, policy and process agree on the port.
#[test]
fn stomp_over_tcp_has_a_port_everywhere_or_nowhere() {
    let ports = |name: &str| {
        let built = objects(name, ALL);
        let find = |kind| {
            of_kind(&built, kind)
                .into_iter()
                .find(|one| one.name() == "chat-gateway")
                .unwrap_or_else(|| panic!("{kind:?}"))
        };
        let named = |object, path| {
            let ports = at(object, path).as_array().unwrap();
            let stomp = ports.iter().find(|port| port["name"] == "stomp");
            stomp.and_then(|port| port["containerPort"].as_i64().or(port["port"].as_i64()))
        };
        let configuration = at(find(Kind::ConfigMap), "/data/config.yaml").as_str().unwrap().to_owned();
        let said = configuration.lines().find_map(|line| line.strip_prefix("stomp-listen: "));
        let said = said.map(|address| address.trim_matches('"').rsplit_once(':').unwrap().1.parse().unwrap());
        let allowed = at(find(Kind::NetworkPolicy), "/spec/ingress/0/ports").as_array().unwrap();
        let allowed = allowed.iter().filter_map(|port| port["port"].as_i64()).find(|port| ![8082, 8084].contains(port));
        let pod = named(find(Kind::Deployment), "/spec/template/spec/containers/0/ports");
        [pod, named(find(Kind::Service), "/spec/ports"), said, allowed]
    };
    assert_eq!(ports("minimal"), [None; 4]);
    assert_eq!(ports("full"), [Some(61614); 4]);
}

#[test]
fn what_is_not_asked_for_or_not_possible_is_not_built() {
    let kinds = |name, capabilities: Capabilities| {
        objects(name, capabilities).iter().map(|object| object.kind).collect::<std::collections::BTreeSet<_>>()
    };
    let none = Capabilities::default();
    let minimal = kinds("minimal", none);
    for kind in [Kind::HorizontalPodAutoscaler, Kind::Ingress, Kind::ServiceMonitor, Kind::PrometheusRule] {
        assert!(!minimal.contains(&kind), "{kind:?}");
    }
    assert!(minimal.contains(&Kind::NetworkPolicy) && minimal.contains(&Kind::PodDisruptionBudget));
    let autoscaled = kinds("autoscaled", ALL);
    assert!(!autoscaled.contains(&Kind::NetworkPolicy) && !autoscaled.contains(&Kind::ServiceMonitor));
    let budgets = |name| {
        of_kind(&objects(name, ALL), Kind::PodDisruptionBudget)
            .iter()
            .map(|one| one.name().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(budgets("full"), ["chat-core", "chat-gateway"], "one worker: no budget");
    assert_eq!(budgets("autoscaled").len(), 3, "one worker at least, and often many");
}

#[test]
fn another_version_or_password_is_another_migration_and_a_log_level_is_not() {
    let job = |change: &dyn Fn(&mut ValidatedCluster), tag: &str| {
        let mut cluster = cluster("full");
        change(&mut cluster);
        let tag = tag.to_owned();
        let versions = Versions { migrate: tag.clone(), core: tag.clone(), worker: tag.clone(), gateway: tag };
        let built = build(&cluster, &versions, &ALL).unwrap();
        of_kind(&built, Kind::Job)[0].name().to_owned()
    };
    let same = |_: &mut ValidatedCluster| {};
    assert_eq!(job(&same, "1"), job(&same, "1"));
    assert_ne!(job(&same, "1"), job(&same, "2"));
    assert_ne!(job(&same, "1"), job(&|cluster| cluster.secret_hashes.database = "x".to_owned(), "1"));
    assert_eq!(job(&same, "1"), job(&|cluster| cluster.logging.level = "debug".to_owned(), "1"));
}

/// The processes refuse settings they do not know, so what is built for them is read by their own options.
#[test]
fn the_processes_understand_their_configuration() {
    let temporary = tempfile::tempdir().unwrap();
    for name in ["minimal", "full", "autoscaled"] {
        let built = objects(name, ALL);
        for map in of_kind(&built, Kind::ConfigMap) {
            let path = temporary.path().join(map.name());
            std::fs::write(&path, at(map, "/data/config.yaml").as_str().unwrap()).unwrap();
            let mut arguments = vec!["x".into(), format!("--config={}", path.display())];
            arguments.extend(secret_arguments(&built, map.name()));
            let arguments: Vec<std::ffi::OsString> = arguments.into_iter().map(Into::into).collect();
            let understood = match map.name() {
                "chat-core" => try_parse_from::<chatcluster_core::Options>(arguments).map(drop),
                "chat-worker" => try_parse_from::<chatcluster_worker::config::Process>(arguments).map(drop),
                _ => try_parse_from::<chatcluster_gateway::Process>(arguments).map(drop),
            };
            understood.unwrap_or_else(|error| panic!("{name}, {}: {error}", map.name()));
        }
    }
}

/// What pods get by environment, as flags: tests share one environment.
fn secret_arguments(built: &[Object], name: &str) -> Vec<String> {
    let deployment = of_kind(built, Kind::Deployment).into_iter().find(|one| one.name() == name).unwrap();
    let variables = at(deployment, "/spec/template/spec/containers/0/env").as_array().unwrap();
    let flag = |variable: &serde_json::Value| {
        let name = variable["name"].as_str().unwrap().strip_prefix("CHATCLUSTER_").unwrap();
        let value = match name {
            "SERVICE_TOKEN" => TOKEN,
            "DATABASE_URL" => "mysql://h/d",
            "REDIS_URL" => "redis://h",
            _ => "x",
        };
        format!("--{}={value}", name.to_ascii_lowercase().replace('_', "-"))
    };
    variables.iter().map(flag).collect()
}
