//! Which images there are.

/// A process that runs in pods. Core's image also migrates the database, with other arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Core,
    Worker,
    Gateway,
    Operator,
}

impl Service {
    pub const ALL: [Self; 4] = [Self::Core, Self::Worker, Self::Gateway, Self::Operator];

    /// Of the binary and of the image.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "chatcluster-core",
            Self::Worker => "chatcluster-worker",
            Self::Gateway => "chatcluster-gateway",
            Self::Operator => "chatcluster-operator",
        }
    }

    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::Core => "Identity, conversations and messages of ChatCluster: REST and gRPC",
            Self::Worker => "Fan-out of ChatCluster from Kafka to the gateways' streams",
            Self::Gateway => "Client connections of ChatCluster: WebSocket, STOMP, SockJS, server-sent events",
            Self::Operator => "Operator of ChatCluster on Kubernetes",
        }
    }

    /// Where it listens when the operator or the chart set it up.
    pub(super) const fn ports(self) -> &'static [u16] {
        match self {
            Self::Core => &[8081, 9090],
            Self::Worker => &[8083],
            Self::Gateway => &[8082, 8084],
            Self::Operator => &[8080],
        }
    }
}
