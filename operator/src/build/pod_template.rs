//! What the pods of all components have in common: hardened, spread out, probed, and ended in order.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
        HTTPGetAction, KeyToPath, Lifecycle, LifecycleHandler, LocalObjectReference, ObjectFieldSelector,
        PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext,
        SleepAction, TopologySpreadConstraint, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{
    config_map, metadata,
    metadata::{Labels, label_selector, selector},
    secret_settings, settings,
};
use crate::{
    crd::PullPolicy,
    validate::{Component, Pods, Resources, ValidatedCluster, fingerprint},
};

/// The user of the images, who owns nothing.
const USER: i64 = 65532;
const CONFIG_FOLDER: &str = "/etc/chatcluster";
/// So long a pod that ends still serves, until nobody sends it anything new.
const LEAVING_SECONDS: i64 = 5;
/// After its drain a process gives up leases and closes connections.
const MARGIN_SECONDS: i64 = 15;
/// The longest that core and worker take to finish what is under way.
const DRAIN_SECONDS: i64 = 10;

const CONFIG_HASH: &str = "chatcluster.dev/config-hash";
pub(super) const SECRETS_HASH: &str = "chatcluster.dev/secrets-hash";

/// Name of the port of HTTP, health and metrics.
pub(super) const HTTP: &str = "http";
pub(super) const GRPC: &str = "grpc";
pub(super) const USER_EVENTS: &str = "user-events";
pub(super) const USER_EVENTS_PORT: u16 = 8084;
pub(super) const STOMP: &str = "stomp";

pub(super) fn build(cluster: &ValidatedCluster, component: Component, version: &str) -> PodTemplateSpec {
    let pods = pods(cluster, component);
    let drain = if component == Component::Gateway { cluster.gateway.drain_seconds.into() } else { DRAIN_SECONDS };
    let mut annotations = pods.annotations.clone();
    annotations.insert(CONFIG_HASH.to_owned(), fingerprint([config_map::text(cluster, component).as_str()]));
    annotations.insert(SECRETS_HASH.to_owned(), cluster.secret_hashes.of(component).to_owned());
    let mut labels = pods.labels.clone();
    labels.extend(metadata::with_version(metadata::labels(cluster, Some(component.as_str())), version));
    let mut spec = hardened(cluster, component, pods, container(cluster, component, version));
    spec.volumes.get_or_insert_default().extend(volumes(cluster, component));
    spec.termination_grace_period_seconds = Some(LEAVING_SECONDS + drain + MARGIN_SECONDS);
    spec.topology_spread_constraints = Some(spread(&selector(cluster, Some(component.as_str()))));
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }),
        spec: Some(spec),
    }
}

fn pods(cluster: &ValidatedCluster, component: Component) -> &Pods {
    match component {
        Component::Core => &cluster.core.pods,
        Component::Worker => &cluster.worker.pods,
        Component::Gateway => &cluster.gateway.pods,
    }
}

pub(super) fn image(cluster: &ValidatedCluster, component: Component, version: &str) -> String {
    format!("{}/chatcluster-{component}:{version}", cluster.images.registry)
}

pub(super) fn pull_policy(cluster: &ValidatedCluster) -> String {
    match cluster.images.pull_policy {
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Always => "Always",
        PullPolicy::Never => "Never",
    }
    .to_owned()
}

/// A pod of one container under the restricted policy of Pod Security, where the component's pods may run.
pub(super) fn hardened(
    cluster: &ValidatedCluster,
    component: Component,
    pods: &Pods,
    mut container: Container,
) -> PodSpec {
    container.security_context = Some(SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    });
    container.volume_mounts.get_or_insert_default().push(mount("tmp", "/tmp", false));
    let secrets = cluster.images.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    PodSpec {
        automount_service_account_token: Some(false),
        containers: vec![container],
        enable_service_links: Some(false),
        image_pull_secrets: Some(secrets.collect::<Vec<_>>()).filter(|secrets| !secrets.is_empty()),
        node_selector: Some(pods.node_selector.clone()).filter(|labels| !labels.is_empty()),
        priority_class_name: pods.priority_class_name.clone(),
        security_context: Some(PodSecurityContext {
            fs_group: Some(USER),
            run_as_group: Some(USER),
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        service_account_name: Some(cluster.objects.component(component).into()),
        tolerations: Some(pods.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
        volumes: Some(vec![scratch("tmp")]),
        ..PodSpec::default()
    }
}

fn container(cluster: &ValidatedCluster, component: Component, version: &str) -> Container {
    let mut mounts = vec![mount("config", CONFIG_FOLDER, true)];
    mounts.extend(
        secret_settings::volume(cluster, component).map(|volume| mount(&volume.name, secret_settings::FOLDER, true)),
    );
    if component == Component::Core {
        mounts.push(mount("data", settings::DATA_DIR, false));
    }
    // workers need no name
    let node = (component != Component::Worker).then(node);
    let environment = node.into_iter().chain(secret_settings::environment(cluster, component));
    Container {
        name: component.to_string(),
        image: Some(image(cluster, component, version)),
        image_pull_policy: Some(pull_policy(cluster)),
        args: Some(vec![format!("--config={CONFIG_FOLDER}/{}", config_map::FILE)]),
        env: Some(environment.collect()),
        ports: Some(ports(cluster, component)),
        resources: Some(resources(&pods(cluster, component).resources)),
        volume_mounts: Some(mounts),
        startup_probe: Some(probe("/healthz", 2, 30)),
        liveness_probe: Some(probe("/healthz", 10, 3)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: LEAVING_SECONDS }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..Container::default()
    }
}

/// Core and gateway are known by the names of their pods.
fn node() -> EnvVar {
    let field = ObjectFieldSelector { field_path: "metadata.name".to_owned(), api_version: None };
    EnvVar {
        name: "CHATCLUSTER_NODE".to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
        ..EnvVar::default()
    }
}

fn ports(cluster: &ValidatedCluster, component: Component) -> Vec<ContainerPort> {
    let port = |name: &str, port: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mut ports = vec![port(HTTP, component.port())];
    match component {
        Component::Core => ports.push(port(GRPC, settings::GRPC_PORT)),
        Component::Gateway => {
            ports.push(port(USER_EVENTS, USER_EVENTS_PORT));
            ports.extend(cluster.gateway.stomp_port.map(|number| port(STOMP, number)));
        }
        Component::Worker => {}
    }
    ports
}

/// Healthy is a process that answers; ready is one whose dependencies do too. A restart mends none of those.
fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(HTTP.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

pub(super) fn resources(resources: &Resources) -> ResourceRequirements {
    let quantity = |quantity: &crate::validate::Quantity| Quantity(quantity.to_string());
    let list = |cpu: Option<_>, memory| {
        let cpu = cpu.map(|cpu| ("cpu".to_owned(), quantity(cpu)));
        Some(cpu.into_iter().chain([("memory".to_owned(), quantity(memory))]).collect::<BTreeMap<_, _>>())
    };
    ResourceRequirements {
        requests: list(Some(&resources.request_cpu), &resources.request_memory),
        limits: list(resources.limit_cpu.as_ref(), &resources.limit_memory),
        claims: None,
    }
}

fn volumes(cluster: &ValidatedCluster, component: Component) -> Vec<Volume> {
    let items = vec![KeyToPath { key: config_map::FILE.to_owned(), path: config_map::FILE.to_owned(), mode: None }];
    let config = Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: cluster.objects.component(component).into(),
            items: Some(items),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    let data = (component == Component::Core).then(|| scratch("data"));
    [config].into_iter().chain(secret_settings::volume(cluster, component)).chain(data).collect()
}

fn scratch(name: &str) -> Volume {
    let limit = Some(Quantity("64Mi".to_owned()));
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource { size_limit: limit, medium: None }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// Over nodes and zones, as far as there are any; each revision by itself, or a rollout would count the old pods.
fn spread(selector: &Labels) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        label_selector: Some(label_selector(selector.clone())),
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    };
    vec![over("kubernetes.io/hostname"), over("topology.kubernetes.io/zone")]
}
