//! Databases for the tests and short ways to fill them.

use std::sync::atomic::{AtomicU32, Ordering};

use chatcluster_contracts::{
    ids::{ClientMsgId, ConversationId, UserId, WorkspaceId},
    topics::Names,
};
use chatcluster_core::{
    domain::{
        conversation::Kind,
        message::{Content, NewMessage},
    },
    store::{NewConversation, Store, StoreOptions, User, sqlite_url},
};
use chatcluster_service::config::Secret;
use chatcluster_testkit::{MariaDb, install};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A store in an empty database of its own.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) url: Secret,
    _folder: Option<TempDir>,
}

impl std::ops::Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

async fn mariadb() -> &'static MariaDb {
    static SERVER: OnceCell<MariaDb> = OnceCell::const_new();
    SERVER.get_or_init(|| async { MariaDb::start(&install::ready(install::quiet).await.unwrap()).await.unwrap() }).await
}

pub(crate) fn open(url: &Secret) -> Store {
    let names = Names::with_prefix("t.");
    Store::open(&StoreOptions { url: url.clone(), names, outbox_shards: 8, append_lanes: 4, pool_size: 8 }).unwrap()
}

async fn migrated(url: Secret, folder: Option<TempDir>) -> TestStore {
    let store = open(&url);
    store.migrate().await.unwrap();
    TestStore { store, url, _folder: folder }
}

pub(crate) async fn sqlite() -> TestStore {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder.path().join("core.db"));
    migrated(url, Some(folder)).await
}

pub(crate) async fn on_mariadb() -> TestStore {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("core_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let url = Secret::new(mariadb().await.create_database(&name).await.unwrap());
    migrated(url, None).await
}

/// The same tests over both databases.
#[macro_export]
macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::support::sqlite().await).await; })*
        }
        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name($crate::support::on_mariadb().await).await; })*
        }
    };
}

pub(crate) fn user_id(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

pub(crate) async fn add_user(store: &Store, id: &str) -> UserId {
    let user = User {
        id: user_id(id),
        workspace_id: WorkspaceId::default(),
        username: Some(id.to_owned()),
        display_name: id.to_owned(),
        issuer: None,
    };
    store.create_user(&user, None).await.unwrap();
    user.id
}

/// A conversation of users made for it; the first one creates it.
pub(crate) async fn conversation(store: &Store, kind: Kind, members: &[&str]) -> ConversationId {
    for member in members {
        if store.user(&user_id(member)).await.unwrap().is_none() {
            add_user(store, member).await;
        }
    }
    let new = NewConversation {
        workspace_id: WorkspaceId::default(),
        kind,
        name: Some("a conversation".into()),
        open: false,
        fanout: None,
        creator_id: user_id(members[0]),
        members: members[1..].iter().map(|member| user_id(member)).collect(),
    };
    store.create_conversation(&new).await.unwrap().0.id
}

pub(crate) fn message(sender: &str, conversation: &ConversationId, name: &str, content: &str) -> NewMessage {
    NewMessage {
        sender_id: user_id(sender),
        workspace_id: WorkspaceId::default(),
        conversation_id: conversation.clone(),
        client_msg_id: ClientMsgId::parse(name).unwrap(),
        content: Content::parse(content.into()).unwrap(),
        thread_root_id: None,
        attachment_ids: Vec::new(),
        trace: None,
    }
}
