//! How events reach the gateways.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How events reach the gateways. What is left out has the platform's default.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FanoutSpec {
    /// Conversations with more members than this are published once for all gateways instead of routed to each that
    /// holds a member. Default: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub broadcast_above: Option<u32>,
    /// Rooms that no conversation has and that anybody with a token may join all the same: names, or beginnings of names
    /// with a star, such as game-*. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_.@|:+=~-]+\*?$|^\*$"))
    )]
    pub open_rooms: Vec<String>,
}
