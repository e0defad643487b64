//! The finished definition: the derived schema, and the rules about changes, which must stand at `spec` so that they also
//! run when what they are about was removed.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]

use chatcluster_contracts::topics::Topic;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, ValidationRule};
use kube::CustomResourceExt;

use super::ChatCluster;

/// The custom resource definition as `chatcluster-operator crd` prints it.
pub fn definition() -> CustomResourceDefinition {
    let mut definition = ChatCluster::crd();
    for version in &mut definition.spec.versions {
        let properties = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let spec = properties.and_then(|schema| schema.properties.as_mut()).and_then(|all| all.get_mut("spec"));
        if let Some(spec) = spec {
            spec.x_kubernetes_validations.get_or_insert_default().extend(change_rules());
        }
    }
    definition
}

/// What may not change, or only so.
fn change_rules() -> Vec<ValidationRule> {
    let mut rules = vec![
        rule(
            "self.kafka.prefix == oldSelf.kafka.prefix",
            ".kafka.prefix",
            "kafka.prefix cannot be changed: topics and consumer groups would begin anew",
        ),
        rule(
            "self.redis.prefix == oldSelf.redis.prefix",
            ".redis.prefix",
            "redis.prefix cannot be changed: connected clients would be forgotten",
        ),
    ];
    for topic in Topic::ALL {
        let role = topic.role_name();
        let (name, partitions) = (topic.default_name(), topic.partitions());
        let value = |of: &str, field: &str, default: &str| {
            format!("(has({of}.kafka.topics.{role}.{field}) ? {of}.kafka.topics.{role}.{field} : {default})")
        };
        let (new_name, old_name) = (value("self", "name", "''"), value("oldSelf", "name", "''"));
        rules.push(rule(
            &format!("{new_name} == {old_name}"),
            &format!(".kafka.topics.{role}"),
            &format!("kafka.topics.{role}.name cannot be changed (default: the prefix and {name})"),
        ));
        let default = partitions.to_string();
        let (new, old) = (value("self", "partitions", &default), value("oldSelf", "partitions", &default));
        rules.push(rule(
            &format!("{new} >= {old}"),
            &format!(".kafka.topics.{role}"),
            &format!("kafka.topics.{role}.partitions cannot be lowered (default: {partitions}): Kafka cannot take partitions away"),
        ));
        rules.push(rule(
            &format!("{new} <= {old} || self.kafka.allowPartitionGrowth"),
            &format!(".kafka.topics.{role}"),
            &format!("kafka.topics.{role}.partitions is raised (default: {partitions}): set kafka.allowPartitionGrowth to allow it"),
        ));
    }
    rules
}

fn rule(rule: &str, field: &str, message: &str) -> ValidationRule {
    ValidationRule {
        rule: rule.to_owned(),
        field_path: Some(field.to_owned()),
        message: Some(message.to_owned()),
        ..ValidationRule::default()
    }
}
