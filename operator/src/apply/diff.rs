//! Is an object as it should be? Pure.
//!
//! What the operator declares must be contained in what the API server has: defaults and other people's fields may be
//! there besides, but no further elements of a list. That alone would miss what the operator declared once and does not any more; so each object carries a
//! hash of its declaration.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Annotation: hash of what was applied last.
pub(super) const APPLIED: &str = "chatcluster.dev/applied";

/// Hash of a declaration, 16 hexadecimal digits.
pub(super) fn hash(declared: &Value) -> String {
    let digest = Sha256::digest(declared.to_string());
    digest.iter().take(8).fold(String::with_capacity(16), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The path of the first field that is not as declared.
pub(super) fn first_difference(declared: &Value, live: &Value) -> Option<String> {
    let mut path = String::new();
    differs(declared, live, &mut path).then_some(path)
}

/// On a difference `path` is left at the field.
fn differs(declared: &Value, live: &Value, path: &mut String) -> bool {
    match (declared, live) {
        (Value::Object(declared), Value::Object(live)) => declared.iter().any(|(key, value)| {
            let length = path.len();
            let _ = write!(path, ".{key}");
            let different = match live.get(key) {
                Some(found) => differs(value, found, path),
                // the API server leaves empty maps, lists and nulls out
                None => !is_empty(value),
            };
            if !different {
                path.truncate(length);
            }
            different
        }),
        (Value::Array(declared), Value::Array(live)) => lists_differ(declared, live, path),
        (Value::Number(declared), Value::Number(live)) => declared.as_f64() != live.as_f64(),
        _ => declared != live,
    }
}

/// Lists whose elements have a name (containers, variables, volumes, ports) are compared by it, whatever their order.
fn lists_differ(declared: &[Value], live: &[Value], path: &mut String) -> bool {
    if declared.len() != live.len() {
        return true;
    }
    let named = declared.iter().all(|element| name(element).is_some());
    declared.iter().enumerate().any(|(index, element)| {
        let length = path.len();
        let found = match name(element) {
            Some(wanted) if named => {
                let _ = write!(path, "[{wanted}]");
                live.iter().find(|candidate| name(candidate) == Some(wanted))
            }
            _ => {
                let _ = write!(path, "[{index}]");
                live.get(index)
            }
        };
        let different = found.is_none_or(|found| differs(element, found, path));
        if !different {
            path.truncate(length);
        }
        different
    })
}

fn name(element: &Value) -> Option<&str> {
    element.get("name").and_then(Value::as_str)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_the_fields_of_others_do_not_matter() {
        let declared =
            json!({"spec": {"replicas": 2, "env": [{"name": "a", "value": "i"}, {"name": "b"}], "none": {}}});
        let live = json!({"spec": {"replicas": 2, "paused": false, "env": [
            {"name": "b"}, {"name": "a", "value": "i", "default": 1}]}, "status": {}});
        assert_eq!(first_difference(&declared, &live), None);
    }

    #[test]
    fn every_kind_of_change_is_found_and_named() {
        let declared =
            json!({"spec": {"n": 1, "ports": [{"name": "http", "port": 80}], "egress": [{"to": []}], "m": {"k": "v"}}});
        let changed = |pointer: &str, value: Value| {
            let mut live = declared.clone();
            *live.pointer_mut(pointer).unwrap() = value;
            first_difference(&declared, &live)
        };
        assert_eq!(changed("/spec/n", json!(2)).as_deref(), Some(".spec.n"));
        assert_eq!(changed("/spec/ports/0/port", json!(81)).as_deref(), Some(".spec.ports[http].port"));
        assert_eq!(changed("/spec/ports", json!([])).as_deref(), Some(".spec.ports"));
        assert_eq!(changed("/spec/ports", json!([{"name": "web", "port": 80}])).as_deref(), Some(".spec.ports[http]"));
        assert_eq!(changed("/spec/egress", json!([{"to": []}, {}])).as_deref(), Some(".spec.egress"));
        assert_eq!(changed("/spec/m", json!({})).as_deref(), Some(".spec.m.k"));
        assert_eq!(changed("/spec/m", json!(null)).as_deref(), Some(".spec.m"));
    }

    #[test]
    fn the_hash_is_of_the_whole_declaration() {
        assert_eq!(hash(&json!({"a": 1})), hash(&json!({"a": 1})));
        assert_ne!(hash(&json!({"a": 1})), hash(&json!({"a": 1, "b": null})));
        assert_eq!(hash(&json!({})).len(), 16);
    }
}
