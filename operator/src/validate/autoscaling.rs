//! How many pods, and who decides it.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;

use super::{Invalid, Quantity};
use crate::crd::{GatewayAutoscaling, WorkerAutoscaling};

#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// So many.
    Fixed(i32),
    /// A `HorizontalPodAutoscaler` decides.
    Auto(Box<Autoscaling>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Autoscaling {
    pub min: i32,
    pub max: i32,
    /// Percent of the request.
    pub cpu: i32,
    /// Average of the component's own measure of load, per pod.
    pub per_pod: Option<Quantity>,
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

const DEFAULT_REPLICAS: i32 = 2;

impl Scaling {
    /// Pods of a new Deployment; with an autoscaler its least, until it has looked.
    pub fn initial_replicas(&self) -> i32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(auto) => auto.min,
        }
    }

    /// Pods there may ever be.
    pub fn most_replicas(&self) -> i32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(auto) => auto.max,
        }
    }

    pub fn autoscaling(&self) -> Option<&Autoscaling> {
        match self {
            Self::Fixed(_) => None,
            Self::Auto(auto) => Some(auto),
        }
    }
}

pub(super) fn replicas(field: &str, replicas: i32) -> Result<i32, Invalid> {
    if (1..=1000).contains(&replicas) { Ok(replicas) } else { Err(Invalid::new(field, "must be from 1 to 1000")) }
}

pub(super) fn worker(replicas: Option<i32>, auto: Option<&WorkerAutoscaling>) -> Result<Scaling, Invalid> {
    let auto = auto.map(|auto| Asked {
        min: auto.min_replicas,
        max: auto.max_replicas,
        cpu: auto.target_cpu_utilization,
        per_pod: ("targetLagPerPod", auto.target_lag_per_pod),
        behavior: auto.behavior.as_ref(),
    });
    scaling("spec.worker", replicas, auto)
}

pub(super) fn gateway(replicas: Option<i32>, auto: Option<&GatewayAutoscaling>) -> Result<Scaling, Invalid> {
    let auto = auto.map(|auto| Asked {
        min: auto.min_replicas,
        max: auto.max_replicas,
        cpu: auto.target_cpu_utilization,
        per_pod: ("targetConnectionsPerPod", auto.target_connections_per_pod),
        behavior: auto.behavior.as_ref(),
    });
    scaling("spec.gateway", replicas, auto)
}

struct Asked<'a> {
    min: i32,
    max: i32,
    cpu: i32,
    per_pod: (&'static str, Option<i64>),
    behavior: Option<&'a HorizontalPodAutoscalerBehavior>,
}

fn scaling(field: &str, fixed: Option<i32>, auto: Option<Asked<'_>>) -> Result<Scaling, Invalid> {
    let Some(auto) = auto else {
        return Ok(Scaling::Fixed(replicas(&format!("{field}.replicas"), fixed.unwrap_or(DEFAULT_REPLICAS))?));
    };
    if fixed.is_some() {
        return Err(Invalid::new(format!("{field}.replicas"), "and autoscaling exclude each other"));
    }
    let min = replicas(&format!("{field}.autoscaling.minReplicas"), auto.min)?;
    let max = replicas(&format!("{field}.autoscaling.maxReplicas"), auto.max)?;
    if min > max {
        return Err(Invalid::new(format!("{field}.autoscaling.minReplicas"), "must not exceed maxReplicas"));
    }
    if !(1..=100).contains(&auto.cpu) {
        return Err(Invalid::new(format!("{field}.autoscaling.targetCPUUtilization"), "must be from 1 to 100"));
    }
    let (name, per_pod) = auto.per_pod;
    if per_pod.is_some_and(|target| target < 1) {
        return Err(Invalid::new(format!("{field}.autoscaling.{name}"), "must be at least 1"));
    }
    Ok(Scaling::Auto(Box::new(Autoscaling {
        min,
        max,
        cpu: auto.cpu,
        per_pod: per_pod.map(Quantity::whole),
        behavior: auto.behavior.cloned(),
    })))
}
