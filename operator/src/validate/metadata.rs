//! Labels and annotations that users add.

use std::collections::BTreeMap;

use super::Invalid;

/// What the operator itself decides, on every object.
const OURS: [&str; 2] = ["app.kubernetes.io/", "chatcluster.dev/"];

pub(super) fn labels(field: &str, labels: &BTreeMap<String, String>) -> Result<(), Invalid> {
    for (key, value) in labels {
        check_key(field, key)?;
        if !value.is_empty() && !is_name(value) {
            let reason =
                "must have at most 63 letters, digits, '-', '_' and '.', and begin and end with one of the first";
            return Err(Invalid::new(format!("{field}[{key:?}]"), reason));
        }
    }
    Ok(())
}

/// As [`labels`], for pods: selectors and rollouts hang on some.
pub(super) fn pod_labels(field: &str, all: &BTreeMap<String, String>) -> Result<(), Invalid> {
    labels(field, all)?;
    not_ours(field, all)
}

pub(super) fn annotations(field: &str, annotations: &BTreeMap<String, String>) -> Result<(), Invalid> {
    for key in annotations.keys() {
        check_key(field, key)?;
    }
    // of all together, as the API server counts
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > 256 * 1024 {
        return Err(Invalid::new(field, "is larger than 256 KiB"));
    }
    not_ours(field, annotations)
}

fn not_ours(field: &str, all: &BTreeMap<String, String>) -> Result<(), Invalid> {
    match all.keys().find(|key| OURS.iter().any(|prefix| key.starts_with(prefix))) {
        Some(key) => Err(Invalid::new(format!("{field}[{key:?}]"), "is set by the operator")),
        None => Ok(()),
    }
}

fn check_key(field: &str, key: &str) -> Result<(), Invalid> {
    let is_valid = match key.split_once('/') {
        None => is_name(key),
        Some((prefix, name)) => is_name(name) && super::names::object_name(field, prefix).is_ok(),
    };
    let reason = "is no key: [prefix/]name, of at most 63 letters, digits, '-', '_' and '.'";
    if is_valid { Ok(()) } else { Err(Invalid::new(format!("{field}[{key:?}]"), reason)) }
}

fn is_name(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}
