//! What one client may use of a gateway: numbers and bytes within the bounds that make sense.

use super::{Invalid, Quantity, gateway::within};
use crate::crd;

/// `None`: the gateway's own default. Sizes and rates are in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayLimits {
    pub connections_per_user: Option<u32>,
    pub connections_per_address: Option<u32>,
    pub new_connections_per_second: Option<u32>,
    pub sends_per_second: Option<u32>,
    pub sends_per_second_per_user: Option<u32>,
    pub sends_per_second_per_address: Option<u32>,
    pub bytes_per_second_per_user: Option<u32>,
    pub bytes_per_second_per_address: Option<u32>,
    pub message_size: Option<u32>,
    pub content_size: Option<u32>,
    pub queue_size: Option<u32>,
    pub socket_send_buffer: Option<u32>,
}

const MOST_CONNECTIONS: u32 = 10_000_000;
const MOST_A_SECOND: u32 = 1_000_000;
const KI: u32 = 1 << 10;
const MI: u32 = 1 << 20;
const GI: u32 = 1 << 30;
/// Core refuses longer ones.
const LONGEST_CONTENT: u32 = 64 * KI;
const DEFAULT_MESSAGE: u32 = 256 * KI;

pub(super) fn limits(spec: &crd::GatewayLimits) -> Result<GatewayLimits, Invalid> {
    within("limits.connectionsPerUser", spec.connections_per_user, 1, MOST_CONNECTIONS)?;
    within("limits.connectionsPerAddress", spec.connections_per_address, 0, MOST_CONNECTIONS)?;
    within("limits.newConnectionsPerSecond", spec.new_connections_per_second, 1, MOST_A_SECOND)?;
    within("limits.sendsPerSecond", spec.sends_per_second, 1, MOST_A_SECOND)?;
    within("limits.sendsPerSecondPerUser", spec.sends_per_second_per_user, 0, MOST_A_SECOND)?;
    within("limits.sendsPerSecondPerAddress", spec.sends_per_second_per_address, 0, MOST_A_SECOND)?;
    let limits = GatewayLimits {
        connections_per_user: spec.connections_per_user,
        connections_per_address: spec.connections_per_address,
        new_connections_per_second: spec.new_connections_per_second,
        sends_per_second: spec.sends_per_second,
        sends_per_second_per_user: spec.sends_per_second_per_user,
        sends_per_second_per_address: spec.sends_per_second_per_address,
        bytes_per_second_per_user: bytes("bytesPerSecondPerUser", spec.bytes_per_second_per_user.as_ref(), 0, GI)?,
        bytes_per_second_per_address: bytes(
            "bytesPerSecondPerAddress",
            spec.bytes_per_second_per_address.as_ref(),
            0,
            GI,
        )?,
        message_size: bytes("messageSize", spec.message_size.as_ref(), KI, 16 * MI)?,
        content_size: bytes("contentSize", spec.content_size.as_ref(), 1, LONGEST_CONTENT)?,
        queue_size: bytes("queueSize", spec.queue_size.as_ref(), 16 * KI, GI)?,
        socket_send_buffer: bytes("socketSendBuffer", spec.socket_send_buffer.as_ref(), 4 * KI, 64 * MI)?,
    };
    if limits.content_size > Some(limits.message_size.unwrap_or(DEFAULT_MESSAGE)) {
        return Err(Invalid::new("spec.gateway.limits.contentSize", "must not exceed messageSize"));
    }
    Ok(limits)
}

fn bytes(field: &str, asked: Option<&crd::Quantity>, least: u32, most: u32) -> Result<Option<u32>, Invalid> {
    let Some(asked) = asked else { return Ok(None) };
    let refused = |reason: String| Invalid::new(format!("spec.gateway.limits.{field}"), reason);
    let quantity: Quantity =
        asked.to_string().parse().map_err(|error: super::QuantityError| refused(error.to_string()))?;
    let bytes = quantity.whole_number().and_then(|bytes| u32::try_from(bytes).ok());
    match bytes.filter(|bytes| (least..=most).contains(bytes)) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(refused(format!("must be from {least} to {most} whole bytes; write 65536 or 64Ki"))),
    }
}
