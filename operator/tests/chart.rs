//! The chart: what its roles may do, what it shows, and that a real API server takes it and keeps what it must keep. The
//! rendered files are those of `charts/chatcluster/tests/snapshots`, which `scripts/chart-check` holds to the templates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use chatcluster_operator::{cli, kinds::Kind};
use chatcluster_testkit::ApiServer;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chart() -> PathBuf {
    root().join("charts/chatcluster")
}

fn rendered(values: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(chart().join("tests/snapshots").join(values)).unwrap();
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    all.into_iter().filter(|object| !object.is_null()).collect()
}

const SNAPSHOTS: [&str; 3] = ["default.yaml", "available.yaml", "namespaced.yaml"];

fn texts<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The rules of every role in a snapshot, with its kind and name.
fn rules(objects: &[Value]) -> Vec<(&str, &str, &Value)> {
    let roles = objects.iter().filter(|object| matches!(object["kind"].as_str(), Some("Role" | "ClusterRole")));
    let each = roles.flat_map(|role| {
        let (kind, name) = (role["kind"].as_str().unwrap(), role["metadata"]["name"].as_str().unwrap());
        role["rules"].as_array().unwrap().iter().map(move |rule| (kind, name, rule))
    });
    each.collect()
}

/// What a role of the operator allows: (group, resource) -> verbs.
fn allowed<'a>(objects: &'a [Value], role: &str) -> BTreeMap<(String, String), BTreeSet<&'a str>> {
    let mut allowed: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for (_, _, rule) in rules(objects).into_iter().filter(|(_, name, _)| *name == role) {
        for (group, resource) in texts(rule, "apiGroups")
            .iter()
            .flat_map(|group| texts(rule, "resources").into_iter().map(move |it| (*group, it)))
        {
            allowed.entry((group.to_owned(), resource.to_owned())).or_default().extend(texts(rule, "verbs"));
        }
    }
    allowed
}

const OPERATOR: &str = "chatcluster-system:chatcluster-operator";

#[test]
fn no_role_has_a_wildcard_or_hands_out_rights() {
    for snapshot in SNAPSHOTS {
        let objects = rendered(snapshot);
        let rules = rules(&objects);
        assert!(rules.len() > 10, "{snapshot} has few rules: is it read at all?");
        for (_, role, rule) in rules {
            let all = ["apiGroups", "resources", "verbs"].map(|field| texts(rule, field));
            assert!(
                all.iter().all(|values| !values.is_empty() && values.iter().all(|value| !value.contains('*'))),
                "{role}: {rule}"
            );
            for verb in ["escalate", "bind", "impersonate"] {
                assert!(!all[2].contains(&verb), "{role}: {rule}");
            }
            assert!(!all[0].contains(&"rbac.authorization.k8s.io"), "{role} touches roles: {rule}");
            if all[1].iter().any(|resource| resource.starts_with("secrets")) {
                assert_eq!(all[2], ["get", "create"], "{role}: Secrets are read by name: {rule}");
            }
            assert!(!all[1].contains(&"pods/exec") && !all[1].contains(&"serviceaccounts/token"), "{role}: {rule}");
        }
    }
}

#[test]
fn the_operator_may_do_what_it_does_and_no_more() {
    let objects = rendered("default.yaml");
    let mut allowed = allowed(&objects, OPERATOR);
    let mut take =
        |group: &str, resource: &str| allowed.remove(&(group.to_owned(), resource.to_owned())).unwrap_or_default();
    let full = BTreeSet::from(["get", "list", "watch", "create", "patch", "delete"]);
    for kind in Kind::ALL {
        let api = kind.api();
        let verbs = take(&api.group, &api.plural);
        let wanted = if kind == Kind::Secret { BTreeSet::from(["get", "create"]) } else { full.clone() };
        assert_eq!(verbs, wanted, "{kind:?}");
    }
    let own = "chatcluster.dev";
    assert_eq!(take(own, "chatclusters"), BTreeSet::from(["get", "list", "watch", "patch"]));
    assert_eq!(take(own, "chatclusters/status"), BTreeSet::from(["get", "patch", "update"]));
    assert_eq!(take(own, "chatclusters/finalizers"), BTreeSet::from(["update"]));
    assert_eq!(take("", "pods"), BTreeSet::from(["get", "list", "watch"]));
    assert_eq!(take("events.k8s.io", "events"), BTreeSet::from(["create", "patch"]));
    assert!(allowed.is_empty(), "rights that nothing needs: {allowed:?}");
}

#[test]
fn with_named_namespaces_nothing_is_allowed_elsewhere() {
    let objects = rendered("namespaced.yaml");
    assert!(objects.iter().all(|object| !object["kind"].as_str().unwrap().starts_with("Cluster")));
    let roles = objects.iter().filter(|object| object["kind"] == "Role" && object["metadata"]["name"] == OPERATOR);
    let namespaces: Vec<&str> = roles.map(|role| role["metadata"]["namespace"].as_str().unwrap()).collect();
    assert_eq!(namespaces, ["chat-staging", "chat-production"]);
}

#[test]
fn pods_are_restricted_and_the_settings_are_those_of_the_binary() {
    let known: BTreeSet<String> = <chatcluster_operator::options::Options as clap::CommandFactory>::command()
        .get_arguments()
        .filter_map(|argument| argument.get_env().map(|env| env.to_string_lossy().into_owned()))
        .collect();
    for snapshot in SNAPSHOTS {
        let objects = rendered(snapshot);
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
        assert!(container["resources"]["limits"]["memory"].is_string());
        for env in container["env"].as_array().unwrap() {
            assert!(known.contains(env["name"].as_str().unwrap()), "{snapshot}: the operator has no setting {env}");
        }
        let budgets = objects.iter().filter(|object| object["kind"] == "PodDisruptionBudget").count();
        assert_eq!(budgets == 1, deployment["spec"]["replicas"] == 2, "{snapshot}");
    }
}

#[test]
fn the_definition_is_the_generated_one() {
    let generated = cli::definition().unwrap();
    for file in ["crds/chatcluster.dev_chatclusters.yaml", "charts/chatcluster/files/crd.yaml"] {
        assert!(
            std::fs::read_to_string(root().join(file)).unwrap() == generated,
            "{file} is out of date: run `make generated`"
        );
    }
}

#[test]
fn every_metric_on_a_dashboard_is_one_that_a_process_has() {
    let sources = ["core", "gateway", "worker", "operator"].map(|service| {
        let source = std::fs::read_to_string(root().join(service).join("src/metrics.rs")).unwrap();
        (format!("chatcluster_{service}_"), source)
    });
    let mut seen = 0;
    for dashboard in ["platform.json", "operator.json"] {
        let text = std::fs::read_to_string(chart().join("files/dashboards").join(dashboard)).unwrap();
        let dashboard_value: Value = serde_json::from_str(&text).unwrap();
        assert!(dashboard_value["panels"].as_array().unwrap().len() > 5);
        for word in
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("chatcluster_"))
        {
            let registered = sources.iter().any(|(prefix, source)| {
                let Some(name) = word.strip_prefix(prefix.as_str()) else { return false };
                let name = ["_total", "_bucket"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
                name == "start_time_seconds" || source.contains(&format!("\"{name}\""))
            });
            assert!(registered || word == "chatcluster_dependency_up", "{dashboard}: no process has {word}");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} metrics found: are the dashboards read at all?");
}

/// May this service account do that?
async fn may(
    client: &Client,
    user: &str,
    verb: &str,
    (group, resource): (&str, &str),
    namespace: Option<&str>,
) -> bool {
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.to_owned()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}

#[tokio::test]
async fn helm_installs_upgrades_and_leaves_what_people_made() {
    let api = ApiServer::shared().await.unwrap();
    let client = api.client().await.unwrap();
    let (home, elsewhere) = (api.namespace().await.unwrap(), api.namespace().await.unwrap());
    let helm = |arguments: &[&str]| {
        let output = Command::new(&api.tools().helm)
            .args(arguments)
            .args(["--namespace", &home, "--kubeconfig"])
            .arg(api.kubeconfig())
            .output()
            .unwrap();
        assert!(output.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let chart = chart().display().to_string();
    let user = format!("system:serviceaccount:{home}:chatcluster-operator");
    let (secrets, deployments) = (("", "secrets"), ("apps", "deployments"));

    let notes =
        helm(&["install", "chatcluster", &chart, "--set", "replicas=2", "--set", "metrics.dashboards.enabled=true"]);
    assert!(notes.contains("kubectl apply -f examples/chatcluster.yaml"), "{notes}");
    api.kubectl(&["wait", "--for=condition=Established", "crd/chatclusters.chatcluster.dev"]).await.unwrap();
    assert!(may(&client, &user, "get", secrets, Some(&elsewhere)).await);
    assert!(may(&client, &user, "patch", deployments, Some(&elsewhere)).await);
    assert!(may(&client, &user, "create", ("coordination.k8s.io", "leases"), Some(&home)).await);
    for (verb, what) in [("list", secrets), ("watch", secrets), ("delete", secrets), ("get", ("", "nodes"))] {
        assert!(!may(&client, &user, verb, what, None).await, "{verb} {what:?}");
        assert!(!may(&client, &user, verb, what, Some(&elsewhere)).await, "{verb} {what:?}");
    }
    assert!(!may(&client, &user, "create", ("coordination.k8s.io", "leases"), Some(&elsewhere)).await);

    let mine = "{apiVersion: chatcluster.dev/v1alpha1, kind: ChatCluster, metadata: {name: kept, namespace: NAMESPACE}, spec: {version: '1', \
                kafka: {bootstrapServers: 'kafka:9092'}, redis: {url: 'redis://redis'}, database: {url: 'mysql://u@h/d'}}}";
    api.apply(&mine.replace("NAMESPACE", &elsewhere)).await.unwrap();

    helm(&["upgrade", "chatcluster", &chart, "--set", &format!("watchNamespaces={{{elsewhere}}}")]);
    assert!(may(&client, &user, "get", secrets, Some(&elsewhere)).await);
    assert!(!may(&client, &user, "get", secrets, Some("default")).await, "the ClusterRole went with the upgrade");

    helm(&["uninstall", "chatcluster"]);
    assert!(!may(&client, &user, "get", secrets, Some(&elsewhere)).await);
    let left = api.kubectl(&["get", "chatcluster", "kept", "--namespace", &elsewhere, "--output", "name"]).await;
    assert_eq!(left.unwrap().trim(), "chatcluster.chatcluster.dev/kept");

    // what is left belongs to nobody: another release takes it over
    helm(&["install", "chatcluster-again", &chart, "--take-ownership"]);
    helm(&["uninstall", "chatcluster-again"]);
    api.kubectl(&["get", "crd", "chatclusters.chatcluster.dev"]).await.unwrap();
}
