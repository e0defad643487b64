//! What the watches have brought: the objects the operator made, the gateways' pods, the `ChatCluster`s. A pass reads from
//! here and asks the API server nothing.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, DynamicObject, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use parking_lot::Mutex;

use crate::{
    crd::ChatCluster,
    kinds::{CLUSTER_LABEL, COMPONENT_LABEL, Kind, MANAGED_BY_LABEL, MANAGER},
};

/// A `ChatCluster` that may be undecodable: one such must not stop the watch of all.
pub(crate) type Guarded = DeserializeGuard<ChatCluster>;
/// Something happened that concerns this `ChatCluster`.
pub(crate) type Trigger = Result<ObjectRef<Guarded>, watcher::Error>;

type Key = (Kind, String, String);

/// What a write answered, until the watch has caught up with it.
#[derive(Debug, Clone)]
struct Written {
    /// Version that the watch had shown when this was written.
    before: Option<String>,
    now: Arc<DynamicObject>,
    at: Instant,
}

/// Watches lag by milliseconds. Whatever an answer is believed for longer, it is not the truth.
const OVERLAY: Duration = Duration::from_secs(10);

pub(crate) struct Caches {
    kinds: HashMap<Kind, Store<DynamicObject>>,
    pods: Store<PartialObjectMeta<Pod>>,
    clusters: Store<Guarded>,
    written: Mutex<HashMap<Key, Written>>,
}

impl std::fmt::Debug for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caches").field("clusters", &self.clusters.len()).finish_non_exhaustive()
    }
}

impl Caches {
    /// Starts the watches of one namespace, or of all. They run while the stream of triggers is polled.
    pub(crate) fn watch(client: &Client, namespace: Option<&str>) -> (Arc<Self>, BoxStream<'static, Trigger>) {
        let mut triggers: Vec<BoxStream<'static, Trigger>> = Vec::new();
        let mut kinds = HashMap::new();
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_watched()) {
            let resource = kind.api();
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
                None => Api::all_with(client.clone(), &resource),
            };
            let writer = Writer::new(resource);
            kinds.insert(kind, writer.as_reader());
            let watch = watcher(api, watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGER}")));
            let watch = watch.modify(move |object| {
                // who owns the replicas is all that is asked of these
                if kind != Kind::Deployment {
                    object.managed_fields_mut().clear();
                }
            });
            triggers.push(reflected(watch, writer));
        }

        let pods_api: Api<PartialObjectMeta<Pod>> = scoped(client, namespace);
        let pods_writer = Writer::default();
        let pods = pods_writer.as_reader();
        let labels = format!("{MANAGED_BY_LABEL}={MANAGER},{COMPONENT_LABEL}=gateway");
        let watch = watcher(pods_api, watcher::Config::default().labels(&labels));
        triggers.push(reflected(watch.modify(|pod| pod.managed_fields_mut().clear()), pods_writer));

        let clusters_api: Api<Guarded> = scoped(client, namespace);
        let clusters_writer = Writer::default();
        let clusters = clusters_writer.as_reader();
        let watch = watcher(clusters_api, watcher::Config::default());
        let own = watch
            .modify(|cluster| cluster.managed_fields_mut().clear())
            .default_backoff()
            .reflect(clusters_writer)
            .touched_objects()
            .map(|event| event.map(|cluster| ObjectRef::from_obj(&cluster)));
        triggers.push(own.boxed());

        let caches = Self { kinds, pods, clusters, written: Mutex::default() };
        (Arc::new(caches), stream::select_all(triggers).boxed())
    }

    /// Waits until every watch has brought its first list.
    pub(crate) async fn ready(&self) {
        for store in self.kinds.values() {
            // fails only when the watch is gone, and with it this process
            let _ = store.wait_until_ready().await;
        }
        let _ = self.pods.wait_until_ready().await;
    }

    pub(crate) fn clusters(&self) -> &Store<Guarded> {
        &self.clusters
    }

    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<DynamicObject>> {
        let reference = ObjectRef::new_with(name, kind.api()).within(namespace);
        let watched = self.kinds.get(&kind).and_then(|store| store.get(&reference));
        self.newest(&(kind, namespace.to_owned(), name.to_owned()), watched)
    }

    /// All objects of a kind that belong to a `ChatCluster`.
    pub(crate) fn of_cluster(&self, kind: Kind, namespace: &str, cluster: &str) -> Vec<Arc<DynamicObject>> {
        let Some(store) = self.kinds.get(&kind) else { return Vec::new() };
        let mut names: BTreeSet<String> = store
            .state_filter(|object| belongs(object, namespace, cluster))
            .iter()
            .map(|object| object.name_any())
            .collect();
        let written = self.written.lock();
        names.extend(
            written
                .iter()
                .filter(|((k, n, _), it)| *k == kind && n == namespace && belongs(&*it.now, namespace, cluster))
                .map(|((_, _, name), _)| name.clone()),
        );
        drop(written);
        names.iter().filter_map(|name| self.get(kind, namespace, name)).collect()
    }

    /// The version that the watch shows, for [`wrote`](Self::wrote): to be taken before writing.
    pub(crate) fn shown(&self, kind: Kind, namespace: &str, name: &str) -> Option<String> {
        let watched = self.kinds.get(&kind)?.get(&ObjectRef::new_with(name, kind.api()).within(namespace));
        watched.and_then(|object| object.resource_version())
    }

    /// Remembers what a write answered for as long as the watch shows what it showed `before`.
    pub(crate) fn wrote(&self, kind: Kind, namespace: &str, name: &str, before: Option<String>, now: DynamicObject) {
        if !self.kinds.contains_key(&kind) {
            return;
        }
        let key = (kind, namespace.to_owned(), name.to_owned());
        let mut written = self.written.lock();
        written.retain(|_, it| it.at.elapsed() < OVERLAY);
        written.insert(key, Written { before, now: Arc::new(now), at: Instant::now() });
    }

    /// The watch lags behind the operator's own writes; while it still shows what was there before one, the answer to
    /// the write is newer.
    fn newest(&self, key: &Key, watched: Option<Arc<DynamicObject>>) -> Option<Arc<DynamicObject>> {
        let mut written = self.written.lock();
        match written.get(key) {
            Some(it)
                if it.at.elapsed() < OVERLAY
                    && it.before == watched.as_ref().and_then(|object| object.resource_version()) =>
            {
                Some(it.now.clone())
            }
            Some(_) => {
                written.remove(key);
                watched
            }
            None => watched,
        }
    }

    /// Names of the gateway pods there are, ending ones included.
    pub(crate) fn gateway_pods(&self, namespace: &str, cluster: &str) -> BTreeSet<String> {
        let pods = self.pods.state_filter(|pod| belongs(pod, namespace, cluster));
        pods.iter().map(|pod| pod.name_any()).collect()
    }

    pub(crate) fn managed(&self) -> usize {
        self.kinds.values().map(Store::len).sum()
    }
}

fn belongs<K: Resource>(object: &K, namespace: &str, cluster: &str) -> bool {
    object.meta().namespace.as_deref() == Some(namespace)
        && object.labels().get(CLUSTER_LABEL).is_some_and(|label| label == cluster)
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Keeps what a watch brings in its store, and says whose it is.
fn reflected<K, W>(watch: W, writer: Writer<K>) -> BoxStream<'static, Trigger>
where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: Clone + Eq + std::hash::Hash + Send + Sync,
    W: Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
{
    let touched = watch.default_backoff().reflect(writer).touched_objects();
    touched
        .filter_map(|event| async move {
            match event {
                Ok(object) => {
                    let cluster = object.labels().get(CLUSTER_LABEL)?;
                    let namespace = object.namespace()?;
                    Some(Ok(ObjectRef::new(cluster).within(&namespace)))
                }
                Err(error) => Some(Err(error)),
            }
        })
        .boxed()
}
