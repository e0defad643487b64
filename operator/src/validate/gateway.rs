//! Gateways: what clients may do, and how they get there.

use std::collections::BTreeMap;

use super::{
    Invalid, Scaling, autoscaling,
    component::{self, Pods},
    gateway_limits::{self, GatewayLimits},
    metadata, names,
};
use crate::crd::{self, GatewaySpec, ServiceType, SessionAffinity};

#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    pub scaling: Scaling,
    pub drain_seconds: u32,
    pub max_connections: u32,
    pub allowed_origins: Vec<String>,
    /// `X-Forwarded-For` is believed of so many.
    pub trusted_proxies: u32,
    pub permessage_deflate: bool,
    /// `None`: the gateway's own default, here and in all that follows.
    pub heartbeat_seconds: Option<u32>,
    pub resume_events: Option<u32>,
    /// Port of STOMP over plain TCP, where it is spoken.
    pub stomp_port: Option<u16>,
    pub sockjs: crd::SockJs,
    pub limits: GatewayLimits,
    pub service_type: ServiceType,
    pub service_annotations: BTreeMap<String, String>,
    pub session_affinity: SessionAffinity,
    pub ingress: Option<Ingress>,
    pub pods: Pods,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    pub host: String,
    pub class_name: Option<String>,
    pub tls_secret_name: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

/// HTTP and user events.
const OWN_PORTS: [u16; 2] = [component::Component::Gateway.port(), 8084];

pub(super) fn gateway(spec: &GatewaySpec) -> Result<Gateway, Invalid> {
    within("drainSeconds", Some(spec.drain_seconds), 1, 3600)?;
    within("maxConnections", Some(spec.max_connections), 1, 10_000_000)?;
    within("trustedProxies", spec.trusted_proxies, 0, 16)?;
    within("heartbeatSeconds", spec.heartbeat_seconds, 1, 3600)?;
    within("resumeEvents", spec.resume_events, 1, 1_000_000)?;
    within("sockjs.disconnectSeconds", spec.sockjs.disconnect_seconds, 1, 300)?;
    let origins = spec.allowed_origins.iter().enumerate().map(|(index, origin)| {
        chatcluster_service::config::origin(origin)
            .map_err(|reason| Invalid::new(format!("spec.gateway.allowedOrigins[{index}]"), reason))
    });
    metadata::annotations("spec.gateway.service.annotations", &spec.service.annotations)?;
    let ingress = spec.ingress.as_ref().map(ingress).transpose()?;
    Ok(Gateway {
        scaling: autoscaling::gateway(spec.replicas, spec.autoscaling.as_ref())?,
        drain_seconds: spec.drain_seconds,
        max_connections: spec.max_connections,
        allowed_origins: origins.collect::<Result<_, _>>()?,
        // one: the Ingress controller
        trusted_proxies: spec.trusted_proxies.unwrap_or_else(|| u32::from(ingress.is_some())),
        permessage_deflate: spec.permessage_deflate,
        heartbeat_seconds: spec.heartbeat_seconds,
        resume_events: spec.resume_events,
        stomp_port: spec.stomp.as_ref().map(stomp_port).transpose()?,
        sockjs: sockjs(&spec.sockjs)?,
        limits: gateway_limits::limits(&spec.limits)?,
        service_type: spec.service.kind,
        service_annotations: spec.service.annotations.clone(),
        session_affinity: spec.service.session_affinity,
        ingress,
        pods: component::pods("spec.gateway", &spec.pod, &spec.resources, ["500m", "512Mi", "2Gi"])?,
    })
}

/// A number of `spec.gateway`, where there is one.
pub(super) fn within(field: &str, number: Option<u32>, least: u32, most: u32) -> Result<(), Invalid> {
    if number.is_none_or(|number| (least..=most).contains(&number)) {
        return Ok(());
    }
    Err(Invalid::new(format!("spec.gateway.{field}"), format!("must be from {least} to {most}")))
}

fn stomp_port(stomp: &crd::Stomp) -> Result<u16, Invalid> {
    let refused = |reason: &str| Err(Invalid::new("spec.gateway.stomp.port", reason));
    match stomp.port {
        // a process without privileges cannot listen there
        0..1024 => refused("must be from 1024 to 65535"),
        port if OWN_PORTS.contains(&port) => refused("is taken: 8082 and 8084 are the gateways' own"),
        port => Ok(port),
    }
}

/// The URL becomes part of a page and of a script in it.
fn sockjs(spec: &crd::SockJs) -> Result<crd::SockJs, Invalid> {
    let is_plain = |url: &String| {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let breaks_out = |c: char| c.is_whitespace() || c.is_control() || "\"'<>\\".contains(c);
        rest.is_some_and(|rest| !rest.is_empty()) && url.len() <= 512 && !url.contains(breaks_out)
    };
    if !spec.client_url.as_ref().is_none_or(is_plain) {
        let reason = "must be an http(s) URL such as https://chat.example/sockjs.min.js, without quotes or blanks";
        return Err(Invalid::new("spec.gateway.sockjs.clientUrl", reason));
    }
    Ok(spec.clone())
}

fn ingress(spec: &crd::Ingress) -> Result<Ingress, Invalid> {
    names::object_name("spec.gateway.ingress.host", &spec.host)?;
    for (field, name) in [("className", &spec.class_name), ("tlsSecretName", &spec.tls_secret_name)] {
        name.iter().try_for_each(|name| names::object_name(&format!("spec.gateway.ingress.{field}"), name))?;
    }
    metadata::annotations("spec.gateway.ingress.annotations", &spec.annotations)?;
    Ok(Ingress {
        host: spec.host.clone(),
        class_name: spec.class_name.clone(),
        tls_secret_name: spec.tls_secret_name.clone(),
        annotations: spec.annotations.clone(),
    })
}
