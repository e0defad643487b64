//! What one client may use of a gateway.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Quantity;

/// What one client, user or address may use of one gateway pod. What is left out has the gateway's default.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayLimits {
    /// Most connections of one user. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections_per_user: Option<u32>,
    /// Most connections from one address. Default: 0, no limit. Behind proxies it needs trustedProxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub connections_per_address: Option<u32>,
    /// New connections a second, twice as many at once; those beyond are told to come back later. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub new_connections_per_second: Option<u32>,
    /// Sends a second of one session, twice as many at once. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sends_per_second: Option<u32>,
    /// Sends a second of one user over all connections, twice as many at once; 0: no limit. Default: 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub sends_per_second_per_user: Option<u32>,
    /// Sends a second from one address, twice as many at once. Default: 0, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub sends_per_second_per_address: Option<u32>,
    /// Bytes a second that one user may send, such as 4Mi; 0: no limit. Default: 4Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second_per_user: Option<Quantity>,
    /// Bytes a second that may be sent from one address. Default: 0, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second_per_address: Option<Quantity>,
    /// Longest WebSocket message of a client, from 1Ki to 16Mi. Default: 256Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_size: Option<Quantity>,
    /// Longest content of one chat message, at most 64Ki. Default: 64Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_size: Option<Quantity>,
    /// What may wait for one slow client, from 16Ki to 1Gi; beyond it the client is cut and may resume. Default: 1Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_size: Option<Quantity>,
    /// The kernel's send buffer of each connection, from 4Ki to 64Mi: a stalled reader holds no more than this and
    /// queueSize. Default: 256Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_send_buffer: Option<Quantity>,
}
