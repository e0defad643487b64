//! One host for the gateways and core's REST.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};

use super::{metadata::object_meta, pod_template::HTTP};
use crate::validate::{Component, ValidatedCluster};

/// Path, how it is compared, and who answers. More than this is not shown outside: not health, not metrics.
const PATHS: [(&str, &str, Component); 8] = [
    ("/ws", "Prefix", Component::Gateway),
    ("/sockjs", "Prefix", Component::Gateway),
    ("/events", "Prefix", Component::Gateway),
    ("/user-events", "Prefix", Component::Gateway),
    ("/v1", "Prefix", Component::Core),
    ("/oauth2", "Prefix", Component::Core),
    ("/.well-known", "Prefix", Component::Core),
    ("/openapi.json", "Exact", Component::Core),
];

pub(super) fn build(cluster: &ValidatedCluster) -> Option<Ingress> {
    let asked = cluster.gateway.ingress.as_ref()?;
    let mut metadata = object_meta(cluster, cluster.objects.whole(), None);
    metadata.annotations = Some(asked.annotations.clone()).filter(|annotations| !annotations.is_empty());
    let path = |(path, compared, component): (&str, &str, Component)| HTTPIngressPath {
        path: Some(path.to_owned()),
        path_type: compared.to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: cluster.objects.component(component).into(),
                port: Some(ServiceBackendPort { name: Some(HTTP.to_owned()), number: None }),
            }),
            resource: None,
        },
    };
    let tls = asked
        .tls_secret_name
        .as_ref()
        .map(|secret| vec![IngressTLS { hosts: Some(vec![asked.host.clone()]), secret_name: Some(secret.clone()) }]);
    Some(Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: asked.class_name.clone(),
            rules: Some(vec![IngressRule {
                host: Some(asked.host.clone()),
                http: Some(HTTPIngressRuleValue { paths: PATHS.into_iter().map(path).collect() }),
            }]),
            tls,
            default_backend: None,
        }),
        status: None,
    })
}
