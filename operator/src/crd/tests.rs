//! The definition as `kubectl explain` and the API server see it.

use std::collections::BTreeSet;

use chatcluster_contracts::topics::Topic;
use serde_json::{Value, json};

use super::{ChatCluster, definition};

fn schema() -> Value {
    let definition = serde_json::to_value(definition()).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Every schema with its path, from the root down.
fn walk<'a>(path: &str, schema: &'a Value, see: &mut impl FnMut(&str, &'a Value)) {
    see(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, see);
    }
    for part in ["items", "additionalProperties"] {
        if schema[part].is_object() {
            walk(&format!("{path}[{part}]"), &schema[part], see);
        }
    }
}

#[test]
fn the_definition_is_one_that_kubernetes_can_read() {
    let definition = serde_json::to_value(definition()).unwrap();
    assert_eq!(definition["metadata"]["name"], "chatclusters.chatcluster.dev");
    assert_eq!(definition["spec"]["names"]["shortNames"], json!(["cc"]));
    let version = &definition["spec"]["versions"][0];
    assert_eq!(version["subresources"]["scale"]["specReplicasPath"], ".spec.gateway.replicas");
    assert!(version["subresources"]["status"].is_object());
    let columns = version["additionalPrinterColumns"].as_array().unwrap();
    let columns: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Ready", "Gateways", "Version", "Reason", "Age"]);
    assert_eq!(schema()["required"], json!(["spec"]));
}

#[test]
fn every_field_says_what_it_is() {
    let mut silent = Vec::new();
    walk("", &schema(), &mut |path, schema| {
        // an element says what its list says, and the fields of `behavior` are those of an autoscaler
        let is_field = !path.ends_with(']') && !path.contains(".behavior.");
        if is_field && schema["description"].as_str().is_none_or(|text| text.len() < 4) {
            silent.push(path.to_owned());
        }
    });
    assert_eq!(silent, [""; 0]);
}

/// Rules are costed by the largest value there can be: one text without a bound makes them all "too costly".
#[test]
fn every_text_list_and_map_of_the_spec_has_a_bound() {
    let mut endless = Vec::new();
    walk("", &schema()["properties"]["spec"], &mut |path, schema| {
        let lacks = |bound: &str| schema.get(bound).is_none();
        let is_endless = match schema["type"].as_str() {
            Some("string") => lacks("maxLength") && lacks("enum"),
            Some("array") => lacks("maxItems"),
            Some("object") if schema["additionalProperties"].is_object() => lacks("maxProperties"),
            Some("integer") => lacks("minimum") && lacks("maximum") && lacks("format"),
            None => lacks("maxLength") && schema["x-kubernetes-int-or-string"] == true,
            _ => false,
        };
        if is_endless {
            endless.push(path.to_owned());
        }
    });
    assert_eq!(endless, [""; 0]);
}

#[test]
fn every_rule_has_a_message_and_names_a_field_that_exists() {
    let schema = schema();
    let mut rules = 0;
    walk("", &schema, &mut |path, at| {
        for rule in at["x-kubernetes-validations"].as_array().into_iter().flatten() {
            assert!(rule["message"].as_str().is_some_and(|message| message.len() > 10), "{path}: {rule}");
            if let Some(field) = rule["fieldPath"].as_str().filter(|field| !field.starts_with(".metadata")) {
                let known =
                    field.trim_start_matches('.').split('.').try_fold(at, |at, step| at["properties"].get(step));
                assert!(known.is_some(), "{path}: {field}");
            }
            rules += 1;
        }
    });
    assert!(rules >= 2 + 3 * Topic::ALL.len(), "{rules}");
}

/// The API server writes defaults into the object; what they are must be what the types say.
#[test]
fn the_smallest_manifest_reads_as_the_defaults_of_the_definition() {
    let smallest = json!({
        "apiVersion": "chatcluster.dev/v1alpha1",
        "kind": "ChatCluster",
        "metadata": {"name": "chat"},
        "spec": {
            "version": "1",
            "kafka": {"bootstrapServers": "k:9092"},
            "redis": {"url": "redis://r"},
            "database": {"url": "mysql://u@h/d"},
        },
    });
    let mut defaulted = smallest.clone();
    fill(&mut defaulted["spec"], &schema()["properties"]["spec"]);
    let (from_types, from_schema): (ChatCluster, ChatCluster) =
        (serde_json::from_value(smallest).unwrap(), serde_json::from_value(defaulted).unwrap());
    assert_eq!(from_types.spec, from_schema.spec);
    assert_eq!(from_types.spec.auth.audience, "chatcluster");
}

/// What an API server does with defaults.
fn fill(value: &mut Value, schema: &Value) {
    let Some(object) = value.as_object_mut() else { return };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let (None, Some(default)) = (object.get(name), property.get("default")) {
            object.insert(name.clone(), default.clone());
        }
        if let Some(value) = object.get_mut(name) {
            fill(value, property);
        }
    }
}

#[test]
fn every_role_of_a_topic_is_a_field() {
    let schema = schema();
    let topics = &schema["properties"]["spec"]["properties"]["kafka"]["properties"]["topics"]["properties"];
    let fields: BTreeSet<_> = topics.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, Topic::ALL.into_iter().map(Topic::role_name).collect());
}
