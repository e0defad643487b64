//! Gateways: what clients may do, and how they get there.
#![allow(clippy::doc_markdown, reason = "these comments are what `kubectl explain` shows: plain text")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GatewayAutoscaling, PodSettings, Resources, gateway_limits::GatewayLimits};

/// Client connections.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))").message("replicas and autoscaling exclude each other").field_path(".replicas"))]
pub struct GatewaySpec {
    /// Pods; 2 when neither this nor autoscaling is given. `kubectl scale chatcluster` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// Let a HorizontalPodAutoscaler decide how many pods there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<GatewayAutoscaling>,
    /// Seconds over which a pod that ends closes its connections, so that clients do not come back all at once.
    #[serde(default = "GatewaySpec::default_drain")]
    #[schemars(range(min = 1, max = 3600))]
    pub drain_seconds: u32,
    /// Most connections of one pod.
    #[serde(default = "GatewaySpec::default_max_connections")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: u32,
    /// Origins that browsers may connect from, exact, such as https://chat.example. None: only the gateway's own host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 255), regex(pattern = r"^https?://[^/,]+$")))]
    pub allowed_origins: Vec<String>,
    /// Proxies in front of the gateways whose X-Forwarded-For is believed, of core's REST too. Default: 1 with an
    /// ingress, otherwise 0. No more than there are, or clients can claim to be at any address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16))]
    pub trusted_proxies: Option<u32>,
    /// Compress messages for clients that offer permessage-deflate: saves bytes, costs CPU and memory.
    #[serde(default)]
    pub permessage_deflate: bool,
    /// Seconds after which a silent client is pinged; after 2.5 times this it is cut. Default: 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub heartbeat_seconds: Option<u32>,
    /// Most missed events of one conversation that are sent again after a reconnect; beyond it the client reads by
    /// REST. Default: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub resume_events: Option<u32>,
    /// Speak STOMP over plain TCP too, on a port of the gateways' Service. STOMP over WebSocket needs no such port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stomp: Option<Stomp>,
    /// SockJS, for clients that get no WebSocket through.
    #[serde(default)]
    pub sockjs: SockJs,
    /// What one client, user or address may use.
    #[serde(default)]
    pub limits: GatewayLimits,
    /// How the Service of the gateways is offered.
    #[serde(default)]
    pub service: Service,
    /// Offer gateways and core's REST under one host by an Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// CPU and memory of a pod.
    #[serde(default)]
    pub resources: Resources,
    /// Where pods run, and their labels.
    #[serde(default)]
    pub pod: PodSettings,
}

impl GatewaySpec {
    fn default_drain() -> u32 {
        30
    }
    fn default_max_connections() -> u32 {
        100_000
    }
}

impl Default for GatewaySpec {
    fn default() -> Self {
        Self {
            replicas: None,
            autoscaling: None,
            drain_seconds: Self::default_drain(),
            max_connections: Self::default_max_connections(),
            allowed_origins: Vec::new(),
            trusted_proxies: None,
            permessage_deflate: false,
            heartbeat_seconds: None,
            resume_events: None,
            stomp: None,
            sockjs: SockJs::default(),
            limits: GatewayLimits::default(),
            service: Service::default(),
            ingress: None,
            resources: Resources::default(),
            pod: PodSettings::default(),
        }
    }
}

/// How a Service is offered.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Kind of Service.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Annotations of the Service, for the load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 8192}))]
    pub annotations: BTreeMap<String, String>,
    /// ClientIP: requests of one address go to one gateway for three hours, which SockJS without WebSocket needs; where
    /// an ingress controller goes around Services, let it do the same by a cookie. None: spread every connection, for
    /// clients behind few addresses that all get a WebSocket.
    #[serde(default)]
    pub session_affinity: SessionAffinity,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionAffinity {
    #[default]
    ClientIP,
    None,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

/// One host for gateways and core's REST.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Host name, such as chat.example.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub host: String,
    /// IngressClass; default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Secret (kubernetes.io/tls) with the host's certificate. Without it the Ingress speaks plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
    /// Annotations of the Ingress, for its controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 8192}))]
    pub annotations: BTreeMap<String, String>,
}

/// STOMP over plain TCP.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!(self.port in [8082, 8084])").message("port is taken: 8082 and 8084 are the gateways' own").field_path(".port"))]
pub struct Stomp {
    /// Port of the pods and of the Service.
    #[serde(default = "Stomp::default_port")]
    #[schemars(range(min = 1024, max = 65535))]
    pub port: u16,
}

impl Stomp {
    fn default_port() -> u16 {
        61613
    }
}

/// SockJS, for clients that get no WebSocket through.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SockJs {
    /// Seconds after which a session ends whose client has not come to receive. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub disconnect_seconds: Option<u32>,
    /// Set a JSESSIONID cookie where SockJS goes without WebSocket, for a load balancer that keeps a client at its
    /// gateway by it.
    #[serde(default)]
    pub cookie: bool,
    /// Script with the SockJS client for the pages of its oldest transports, such as
    /// https://chat.example/sockjs.min.js. Without it these transports are not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^https?://[^\s\x22\x27<>\\]+$"))]
    pub client_url: Option<String>,
}
