//! What gateways alone are told: who may connect, how, and how much of it.

use chatcluster_service::tokens::DEFAULT_ISSUER;
use serde_json::{Value, json};

use super::{
    pod_template::USER_EVENTS_PORT,
    settings::{Settings, any_address, core_url, key_sets},
};
use crate::validate::{Component, Gateway, GatewayLimits, ValidatedCluster};

/// `null` is left out: the gateway's own default.
pub(super) fn of(cluster: &ValidatedCluster) -> Settings {
    let own = format!(
        "{DEFAULT_ISSUER}=http://{}:{}/.well-known/jwks.json",
        cluster.objects.core_host(),
        Component::Core.port()
    );
    let mut settings = Settings::from([
        ("core-url", core_url(cluster)),
        ("jwks", json!(std::iter::once(own).chain(key_sets(cluster)).collect::<Vec<_>>())),
        ("token-audience", json!(cluster.auth.audience)),
        ("fanout-broadcast-above", some(cluster.fanout.broadcast_above)),
        (
            "open-rooms",
            Some(&cluster.fanout.open_rooms).filter(|it| !it.is_empty()).map_or(Value::Null, |it| json!(it)),
        ),
        // its Service leads there
        ("user-events-listen", any_address(USER_EVENTS_PORT)),
    ]);
    settings.extend(clients(&cluster.gateway));
    settings.extend(limits(&cluster.gateway.limits));
    settings
}

fn clients(gateway: &Gateway) -> Settings {
    let origins = &gateway.allowed_origins;
    let sockjs = &gateway.sockjs;
    Settings::from([
        ("allowed-origins", if origins.is_empty() { Value::Null } else { json!(origins) }),
        ("max-connections", json!(gateway.max_connections)),
        ("drain", seconds(Some(gateway.drain_seconds))),
        ("trusted-proxies", some(Some(gateway.trusted_proxies).filter(|proxies| *proxies > 0))),
        ("permessage-deflate", yes(gateway.permessage_deflate)),
        ("heartbeat", seconds(gateway.heartbeat_seconds)),
        ("resume-limit", some(gateway.resume_events)),
        ("stomp-listen", gateway.stomp_port.map_or(Value::Null, any_address)),
        ("sockjs-disconnect", seconds(sockjs.disconnect_seconds)),
        ("sockjs-cookie", yes(sockjs.cookie)),
        ("sockjs-client-url", sockjs.client_url.as_ref().map_or(Value::Null, |url| json!(url))),
    ])
}

fn limits(limits: &GatewayLimits) -> Settings {
    Settings::from([
        ("max-user-connections", some(limits.connections_per_user)),
        ("max-address-connections", some(limits.connections_per_address)),
        ("accept-rate", some(limits.new_connections_per_second)),
        ("send-rate", some(limits.sends_per_second)),
        ("user-send-rate", some(limits.sends_per_second_per_user)),
        ("address-send-rate", some(limits.sends_per_second_per_address)),
        ("user-byte-rate", some(limits.bytes_per_second_per_user)),
        ("address-byte-rate", some(limits.bytes_per_second_per_address)),
        ("max-frame", some(limits.message_size)),
        ("max-content", some(limits.content_size)),
        ("session-queue", some(limits.queue_size)),
        ("socket-send-buffer", some(limits.socket_send_buffer)),
    ])
}

fn some(number: Option<u32>) -> Value {
    number.map_or(Value::Null, |number| json!(number))
}

fn seconds(number: Option<u32>) -> Value {
    number.map_or(Value::Null, |seconds| json!(format!("{seconds}s")))
}

/// Off is the default.
fn yes(on: bool) -> Value {
    if on { json!(true) } else { Value::Null }
}
