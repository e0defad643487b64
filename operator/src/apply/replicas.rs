//! Who says how many pods a Deployment has. With a HorizontalPodAutoscaler the operator says nothing; but a field that
//! its manager leaves out falls back to 1, unless somebody else owns it. So a Deployment is made with its first number,
//! and before the operator lets go of it a second field manager takes the number that is there. It never insists: the autoscaler wins.

use kube::core::DynamicObject;
use serde_json::{Value, json};

/// Field manager that holds the number of replicas until the autoscaler changes it.
pub(super) const HANDOVER: &str = "chatcluster-operator-handover";

/// The number to hand over: what is there now, when nobody but `manager` owns it.
pub(super) fn to_hand_over(live: &DynamicObject, manager: &str) -> Option<i64> {
    let fields = live.metadata.managed_fields.iter().flatten();
    let owned = fields
        .filter(|entry| entry.manager.as_deref() != Some(manager))
        .any(|entry| entry.fields_v1.as_ref().is_some_and(|fields| owns_replicas(&fields.0)));
    if owned {
        return None;
    }
    live.data.pointer("/spec/replicas").and_then(Value::as_i64)
}

fn owns_replicas(fields: &Value) -> bool {
    fields.pointer("/f:spec/f:replicas").is_some()
}

/// What the second manager applies.
pub(super) fn handover(name: &str, namespace: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(managers: &[(&str, bool)], replicas: i64) -> DynamicObject {
        let fields: Vec<Value> = managers
            .iter()
            .map(|(manager, owns)| {
                let spec = if *owns { json!({"f:replicas": {}}) } else { json!({"f:template": {}}) };
                json!({"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": spec}})
            })
            .collect();
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "x", "managedFields": fields}, "spec": {"replicas": replicas}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_number_is_handed_over_only_when_nobody_else_has_it() {
        assert_eq!(to_hand_over(&live(&[("me", true)], 7), "me"), Some(7));
        assert_eq!(to_hand_over(&live(&[("me", false), ("autoscaler", true)], 7), "me"), None);
        assert_eq!(to_hand_over(&live(&[("me", false)], 5), "me"), Some(5));
    }
}
