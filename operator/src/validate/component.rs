//! Core and worker, and what the pods of all three deployments have in common.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1::Toleration;

use super::{Invalid, Quantity, Scaling, autoscaling, metadata, names};
use crate::crd::{self, CoreSpec, PodSettings, WorkerSpec};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    Core,
    Worker,
    Gateway,
}

impl Component {
    pub const ALL: [Self; 3] = [Self::Core, Self::Worker, Self::Gateway];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Worker => "worker",
            Self::Gateway => "gateway",
        }
    }

    /// Where it serves HTTP: its own, health and metrics.
    pub const fn port(self) -> u16 {
        match self {
            Self::Core => 8081,
            Self::Gateway => 8082,
            Self::Worker => 8083,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Core {
    pub replicas: i32,
    pub pods: Pods,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    pub scaling: Scaling,
    pub pods: Pods,
}

/// What pods get, and where they run.
#[derive(Debug, Clone, PartialEq)]
pub struct Pods {
    pub resources: Resources,
    /// None of the operator's own keys are among them.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
    pub priority_class_name: Option<String>,
}

/// A limit of CPU throttles for no gain, so there is one only where it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    pub request_cpu: Quantity,
    pub request_memory: Quantity,
    pub limit_cpu: Option<Quantity>,
    pub limit_memory: Quantity,
}

/// CPU requested, memory requested, memory at most.
pub(super) type Defaults = [&'static str; 3];

pub(super) fn core(spec: &CoreSpec) -> Result<Core, Invalid> {
    Ok(Core {
        replicas: autoscaling::replicas("spec.core.replicas", spec.replicas)?,
        pods: pods("spec.core", &spec.pod, &spec.resources, ["250m", "256Mi", "1Gi"])?,
    })
}

pub(super) fn worker(spec: &WorkerSpec) -> Result<Worker, Invalid> {
    Ok(Worker {
        scaling: autoscaling::worker(spec.replicas, spec.autoscaling.as_ref())?,
        pods: pods("spec.worker", &spec.pod, &spec.resources, ["250m", "256Mi", "1Gi"])?,
    })
}

pub(super) fn pods(
    field: &str,
    pod: &PodSettings,
    asked: &crd::Resources,
    defaults: Defaults,
) -> Result<Pods, Invalid> {
    metadata::pod_labels(&format!("{field}.pod.labels"), &pod.labels)?;
    metadata::annotations(&format!("{field}.pod.annotations"), &pod.annotations)?;
    metadata::labels(&format!("{field}.pod.nodeSelector"), &pod.node_selector)?;
    let tolerations = pod
        .tolerations
        .iter()
        .enumerate()
        .map(|(index, toleration)| self::toleration(&format!("{field}.pod.tolerations[{index}]"), toleration));
    if let Some(name) = &pod.priority_class_name {
        names::object_name(&format!("{field}.pod.priorityClassName"), name)?;
    }
    Ok(Pods {
        resources: resources(&format!("{field}.resources"), asked, defaults)?,
        labels: pod.labels.clone(),
        annotations: pod.annotations.clone(),
        node_selector: pod.node_selector.clone(),
        tolerations: tolerations.collect::<Result<_, _>>()?,
        priority_class_name: pod.priority_class_name.clone(),
    })
}

/// The API server's own rules: a refusal there would come late, and name a field of another object.
fn toleration(field: &str, toleration: &crd::Toleration) -> Result<Toleration, Invalid> {
    let crd::Toleration { key, operator, value, effect, toleration_seconds } = toleration;
    let wrong = |part: &str, reason: &str| Err(Invalid::new(format!("{field}.{part}"), reason));
    let exists = match operator.as_deref() {
        None | Some("Equal") => false,
        Some("Exists") => true,
        Some(_) => return wrong("operator", "must be Equal or Exists"),
    };
    if key.is_none() && !exists {
        return wrong("operator", "must be Exists where there is no key");
    }
    if exists && value.as_ref().is_some_and(|value| !value.is_empty()) {
        return wrong("value", "has no meaning with Exists");
    }
    if !matches!(effect.as_deref(), None | Some("NoSchedule" | "PreferNoSchedule" | "NoExecute")) {
        return wrong("effect", "must be NoSchedule, PreferNoSchedule or NoExecute");
    }
    if toleration_seconds.is_some() && effect.as_deref() != Some("NoExecute") {
        return wrong("tolerationSeconds", "needs the effect NoExecute");
    }
    Ok(Toleration {
        key: key.clone(),
        operator: operator.clone(),
        value: value.clone(),
        effect: effect.clone(),
        toleration_seconds: *toleration_seconds,
    })
}

fn resources(field: &str, asked: &crd::Resources, defaults: Defaults) -> Result<Resources, Invalid> {
    let parse = |part: &str, text: &str| {
        let invalid = |error: super::QuantityError| Invalid::new(format!("{field}.{part}"), error.to_string());
        text.parse::<Quantity>().map_err(invalid)
    };
    let read = |part: &str, asked: &Option<crd::Quantity>| {
        asked.as_ref().map(|quantity| parse(part, &quantity.to_string())).transpose()
    };
    let [cpu, memory, most_memory] = defaults;
    let request_cpu = read("requests.cpu", &asked.requests.cpu)?;
    let request_memory = read("requests.memory", &asked.requests.memory)?;
    let limit_cpu = read("limits.cpu", &asked.limits.cpu)?;
    let limit_memory = read("limits.memory", &asked.limits.memory)?;
    if let (Some(request), Some(limit)) = (&request_cpu, &limit_cpu)
        && request > limit
    {
        return Err(Invalid::new(format!("{field}.requests.cpu"), "must not exceed limits.cpu"));
    }
    if let (Some(request), Some(limit)) = (&request_memory, &limit_memory)
        && request > limit
    {
        return Err(Invalid::new(format!("{field}.requests.memory"), "must not exceed limits.memory"));
    }
    // a default gives way to what was asked for
    let (cpu, memory, most_memory) =
        (parse("requests.cpu", cpu)?, parse("requests.memory", memory)?, parse("limits.memory", most_memory)?);
    let request_cpu = request_cpu.unwrap_or_else(|| limit_cpu.clone().map_or(cpu.clone(), |limit| limit.min(cpu)));
    let request_memory =
        request_memory.unwrap_or_else(|| limit_memory.clone().map_or(memory.clone(), |limit| limit.min(memory)));
    let limit_memory = limit_memory.unwrap_or_else(|| most_memory.max(request_memory.clone()));
    Ok(Resources { request_cpu, request_memory, limit_cpu, limit_memory })
}
