//! `docs/operator.md` explains every reason that a condition or an Event can have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{collections::BTreeSet, path::Path};

/// Where reasons are given.
const SOURCES: [&str; 11] = [
    "status.rs",
    "observe.rs",
    "reconcile.rs",
    "parts.rs",
    "memory.rs",
    "report.rs",
    "topics_step.rs",
    "streams_step.rs",
    "cleanup.rs",
    "kafka/plan.rs",
    "build/alerts.rs",
];

/// Words of Kubernetes' own: conditions and values that are read, not told.
const OTHERS: [&str; 11] = [
    "True",
    "False",
    "Unknown",
    "Complete",
    "Failed",
    "Progressing",
    "ReplicaFailure",
    "ContainerCreating",
    "PodInitializing",
    "PodScheduled",
    "Reconcile",
];

/// In Rust's text, words in quotes that look like reasons, without those of unit tests.
fn reasons(source: &str) -> BTreeSet<&str> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let is_reason = |word: &&str| {
        word.len() > 3
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.bytes().all(|b| b.is_ascii_alphabetic())
    };
    code.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).filter(is_reason).collect()
}

#[test]
fn every_reason_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documentation = std::fs::read_to_string(root.join("../docs/operator.md")).unwrap();
    let (mut seen, mut missing) = (0, Vec::new());
    for file in SOURCES {
        let source = std::fs::read_to_string(root.join("src").join(file)).unwrap();
        for reason in reasons(&source).into_iter().filter(|word| !OTHERS.contains(word)) {
            seen += 1;
            if !documentation.contains(&format!("`{reason}`")) {
                missing.push(format!("{reason} ({file})"));
            }
        }
    }
    assert!(seen > 40, "{seen} reasons found: are the sources read at all?");
    assert!(missing.is_empty(), "docs/operator.md does not explain {missing:?}");
}
