//! What somebody should be told about one `ChatCluster`, in terms of the processes' own metrics.

use crate::validate::{Component, ValidatedCluster};

#[derive(Debug)]
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) expression: String,
    /// How long it must be so.
    pub(super) lasts: &'static str,
    /// `critical`: people cannot chat, or soon will not; `warning`: look at it today.
    pub(super) severity: &'static str,
    pub(super) summary: &'static str,
    pub(super) what_to_do: &'static str,
}

/// Records that wait for the workers before it is news.
const LAG: u32 = 10_000;
/// How old the oldest unpublished row may be, in milliseconds.
const OUTBOX_AGE_MS: u32 = 30_000;
/// Part of `maxConnections`.
const SATURATED: f64 = 0.9;

pub(super) fn of(cluster: &ValidatedCluster) -> Vec<Alert> {
    let of_ours =
        format!("namespace=\"{}\",chatcluster_dev_cluster=\"{}\"", cluster.objects.namespace, cluster.objects.cluster);
    let metric = |name: &str| format!("{name}{{{of_ours}}}");
    let grown = |name: &str| format!("sum(increase({name}{{{of_ours}}}[15m])) > 0");
    let full = f64::from(cluster.gateway.max_connections) * SATURATED;
    vec![
        Alert {
            name: "ChatClusterPodDown",
            expression: format!("{} == 0", metric("up")),
            lasts: "5m",
            severity: "warning",
            summary: "{{ $labels.pod }} does not answer",
            what_to_do: "The pod runs and its metrics cannot be read. Look at its log and at NetworkPolicies.",
        },
        gone("ChatClusterCoreGone", &of_ours, Component::Core, "nobody can log in or send: no core answers"),
        gone("ChatClusterWorkerGone", &of_ours, Component::Worker, "nothing is delivered: no worker answers"),
        gone("ChatClusterGatewayGone", &of_ours, Component::Gateway, "nobody can connect: no gateway answers"),
        Alert {
            name: "ChatClusterDependencyDown",
            expression: format!("{} == 0", metric("chatcluster_dependency_up")),
            lasts: "5m",
            severity: "critical",
            summary: "{{ $labels.pod }} does not reach {{ $labels.dependency }}",
            what_to_do: "See /readyz of the pod for the reason, then the server itself, its credentials, and the network.",
        },
        Alert {
            name: "ChatClusterConsumerLag",
            expression: format!("sum({}) > {LAG}", metric("chatcluster_worker_consumer_lag_records")),
            lasts: "10m",
            severity: "warning",
            summary: "{{ $value }} records wait for the workers",
            what_to_do: "Messages arrive late. More workers help up to the number of partitions; otherwise Redis or core is slow.",
        },
        Alert {
            name: "ChatClusterOutboxStuck",
            expression: format!("max({}) > {OUTBOX_AGE_MS}", metric("chatcluster_core_outbox_oldest_milliseconds")),
            lasts: "5m",
            severity: "critical",
            summary: "stored events do not reach Kafka",
            what_to_do: "Nothing is lost, but nothing is delivered either. See whether Kafka takes records from core.",
        },
        Alert {
            name: "ChatClusterGatewayFull",
            expression: format!("{} > {full:.0}", metric("chatcluster_gateway_connections")),
            lasts: "5m",
            severity: "warning",
            summary: "{{ $labels.pod }} has nine tenths of the connections it may have",
            what_to_do: "Add gateways, or raise gateway.maxConnections and the memory of its pods.",
        },
        Alert {
            name: "ChatClusterDeliverySlow",
            expression: format!(
                "histogram_quantile(0.99, sum by (le) (rate(chatcluster_gateway_entry_to_socket_seconds_bucket{{{of_ours}}}[5m]))) > 1"
            ),
            lasts: "10m",
            severity: "warning",
            summary: "gateways need more than a second to write what they have",
            what_to_do: "Gateways are short of CPU, or many clients read slowly.",
        },
        Alert {
            name: "ChatClusterDeadLetters",
            expression: grown("chatcluster_worker_dead_letters_total"),
            lasts: "1m",
            severity: "warning",
            summary: "records could not be processed",
            what_to_do: "They are in the topics that end in .dlq. Find out who produced them.",
        },
        Alert {
            name: "ChatClusterEventsGivenUp",
            expression: grown("chatcluster_gateway_resyncs_total"),
            lasts: "1m",
            severity: "warning",
            summary: "clients were told to read missed events by REST",
            what_to_do: "They were away for longer than a resume covers, or a gateway lost much of its stream.",
        },
    ]
}

fn gone(name: &'static str, of_ours: &str, component: Component, summary: &'static str) -> Alert {
    Alert {
        name,
        expression: format!("absent(up{{{of_ours},app_kubernetes_io_component=\"{component}\"}} == 1)"),
        lasts: "5m",
        severity: "critical",
        summary,
        what_to_do: "Look at the conditions of the ChatCluster and at the pods of the component.",
    }
}

#[cfg(test)]
mod tests {
    use crate::validate::tests::validated;

    /// The sources of the processes: what they register, and under which prefix.
    const SOURCES: [(&str, &str); 3] = [
        ("chatcluster_core_", include_str!("../../../core/src/metrics.rs")),
        ("chatcluster_worker_", include_str!("../../../worker/src/metrics.rs")),
        ("chatcluster_gateway_", include_str!("../../../gateway/src/metrics.rs")),
    ];

    #[test]
    fn every_metric_in_an_alert_is_one_that_a_process_has() {
        let mut seen = 0;
        for alert in super::of(&validated("minimal")) {
            let words = alert.expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| word.starts_with("chatcluster_") && *word != "chatcluster_dev_cluster") {
                let known = SOURCES.iter().any(|(prefix, source)| {
                    let name = word.strip_prefix(prefix).map(|name| {
                        ["_total", "_bucket"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
                    });
                    name.is_some_and(|name| source.contains(&format!("\"{name}\"")))
                });
                assert!(known || word == "chatcluster_dependency_up", "{}: no process has {word}", alert.name);
                seen += 1;
            }
        }
        assert!(seen >= 6);
    }
}
