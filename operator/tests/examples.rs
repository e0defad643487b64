//! Every file in `examples/` is taken by a real API server that knows the definition, field by field, and means something
//! to the operator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::path::Path;

use chatcluster_operator::{
    crd::{self, ChatCluster},
    secrets::Secrets,
    validate::validate,
};
use chatcluster_testkit::ApiServer;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

#[tokio::test]
async fn every_example_is_accepted_and_understood() {
    let api = ApiServer::shared().await.unwrap();
    api.apply(&serde_json::to_string(&crd::definition()).unwrap()).await.unwrap();
    api.kubectl(&["wait", "--for=condition=Established", "crd/chatclusters.chatcluster.dev"]).await.unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/autoscaling/chatcluster.yaml"));
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let (shown, namespace) = (file.display().to_string(), api.namespace().await.unwrap());
        // strict: a field that the definition does not have is an error and not a warning
        let dry = [
            "create",
            "--dry-run=server",
            "--validate=strict",
            "--output=json",
            "--namespace",
            &namespace,
            "--filename",
            &shown,
        ];
        let answer = api.kubectl(&dry).await.unwrap_or_else(|error| panic!("{shown}: {error:#}"));
        let objects: Vec<Value> = match serde_json::from_str::<Value>(&answer) {
            Ok(mut one) if one["kind"] != "List" => vec![one.take()],
            Ok(mut list) => serde_json::from_value(list["items"].take()).unwrap(),
            // kubectl prints one after the other
            Err(_) => serde_json::Deserializer::from_str(&answer).into_iter().collect::<Result<_, _>>().unwrap(),
        };

        let mut secrets = Secrets::default();
        for secret in objects.iter().filter(|object| object["kind"] == "Secret") {
            let secret: Secret = serde_json::from_value(secret.clone()).unwrap();
            let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
            secrets.insert(secret.metadata.name.as_deref().unwrap(), Some(data));
        }
        let clusters: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "ChatCluster").collect();
        assert_eq!(clusters.len(), 1, "{shown}");
        let cluster: ChatCluster = serde_json::from_value(clusters[0].clone()).unwrap();
        let valid = validate(&cluster, &secrets).unwrap_or_else(|invalid| panic!("{shown}: {invalid}"));
        let own = format!("{}-keys", valid.objects.cluster);
        let missing: Vec<String> = valid.missing_secrets.iter().map(|(_, missing)| missing.to_string()).collect();
        assert!(
            missing.iter().all(|missing| missing.contains(&own)),
            "{shown} uses Secrets that it does not show: {missing:?}"
        );

        let text = std::fs::read_to_string(&file).unwrap();
        let values =
            text.lines().filter(|line| line.contains("password:") || line.contains("://") && line.contains('@'));
        for line in values.filter(|line| !line.contains("://chatcluster@")) {
            assert!(line.contains("change-me"), "{shown} shows what looks like a password: {line}");
        }
    }
}

/// The sources of the processes: what they register, and under which prefix.
const METRICS: [(&str, &str); 3] = [
    ("chatcluster_core_", include_str!("../../core/src/metrics.rs")),
    ("chatcluster_worker_", include_str!("../../worker/src/metrics.rs")),
    ("chatcluster_gateway_", include_str!("../../gateway/src/metrics.rs")),
];

#[test]
fn every_metric_in_the_example_of_alerts_is_exported_and_every_alert_has_its_runbook() {
    let rules = include_str!("../../examples/monitoring/prometheus-rule.yaml");
    let runbooks = include_str!("../../docs/operations.md");
    let (mut metrics, mut alerts) = (0, 0);
    for line in rules.lines().map(str::trim) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            assert!(runbooks.contains(&format!("### {alert}\n")), "{alert} is not in docs/operations.md");
            alerts += 1;
        }
        let Some(expression) = line.strip_prefix("expr: ") else { continue };
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("chatcluster_") && *word != "chatcluster_dependency_up") {
            let known = METRICS.iter().any(|(prefix, source)| {
                let name = word.strip_prefix(prefix).map(|name| {
                    ["_total", "_bucket"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
                });
                name.is_some_and(|name| source.contains(&format!("\"{name}\"")))
            });
            assert!(known, "no process has {word}");
            metrics += 1;
        }
    }
    assert!(alerts >= 10 && metrics >= alerts, "{alerts} alerts, {metrics} metrics");
}
