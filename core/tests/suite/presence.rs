//! Presence: it follows from the connections that live, is told once a change, and outlives no gateway.

use chatcluster_contracts::{
    ids::WorkspaceId,
    record::{UserChange, UserRecord},
    rpc::{
        Connection, GetContactsRequest, RegisterConnectionRequest, UnregisterConnectionRequest,
        connection_manager_client::ConnectionManagerClient,
    },
    topics::{Group, Topic},
};
use chatcluster_core::domain::conversation::Kind;
use chatcluster_testkit::{Api, User, WAIT, await_condition};
use chatcluster_transport::event_log::{Consumed, Consumer};
use serde_json::Value;

use crate::{
    platform::{Platform, Service},
    support::{TestStore, conversation, user_id},
};

crate::over_both!(those_of_a_dm_or_a_small_group_know_each_other);

async fn those_of_a_dm_or_a_small_group_know_each_other(store: TestStore) {
    conversation(&store, Kind::Group, &["ann", "bob", "cem"]).await;
    conversation(&store, Kind::Channel, &["ann", "dan"]).await;
    conversation(&store, Kind::Dm, &["ann", "eve"]).await;
    let many: Vec<String> = (0..60).map(|i| format!("user{i}")).collect();
    let many: Vec<&str> = std::iter::once("ann").chain(many.iter().map(String::as_str)).collect();
    conversation(&store, Kind::Group, &many).await;
    let mut pairs = store.contacts(&[user_id("ann"), user_id("bob"), user_id("dan")]).await.unwrap();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(user, contact)| format!("{user}-{contact}")).collect();
    assert_eq!(pairs, ["ann-bob", "ann-cem", "ann-eve", "bob-ann", "bob-cem"]);
    let presence = store.presence_of(&WorkspaceId::default(), &[user_id("ann"), user_id("ghost")]).await.unwrap();
    assert_eq!((presence.len(), presence[0].online, presence[0].since), (1, false, None));
}

struct World {
    platform: Platform,
    manager: ConnectionManagerClient<Service>,
    ann: User,
    bob: User,
    events: Box<dyn Consumer>,
}

fn connection(id: &str, user: &User, boot: &str) -> Connection {
    Connection {
        connection_id: format!("gw-1~{id}"),
        user_id: user.id.clone(),
        workspace_id: "default".into(),
        node: "gw-1".into(),
        boot_id: boot.into(),
        connected_at_ms: 1,
        last_ping_ms: 0,
    }
}

impl World {
    async fn new() -> Self {
        let platform = Platform::ready().await;
        let (ann, bob) = (platform.api().user("ann").await.unwrap(), platform.api().user("bob").await.unwrap());
        let events = platform.log.subscribe(Group::Fanout, &[Topic::Users]).await.unwrap();
        let manager = ConnectionManagerClient::new(platform.service());
        Self { platform, manager, ann, bob, events }
    }

    async fn opens(&mut self, connections: Vec<Connection>) {
        self.manager.register_connection(RegisterConnectionRequest { connections }).await.unwrap();
    }

    async fn close(&mut self, id: &str) {
        let connection_ids = vec![format!("gw-1~{id}")];
        let request = UnregisterConnectionRequest { node: "gw-1".into(), boot_id: "b1".into(), connection_ids };
        self.manager.unregister_connection(request).await.unwrap();
    }

    /// The next record of the topic.
    async fn event(&mut self) -> UserRecord {
        let reading = async {
            loop {
                if let Ok(Consumed::Record(record)) = self.events.next().await {
                    let event: UserRecord = serde_json::from_slice(&record.value).unwrap();
                    assert_eq!(record.key.as_deref(), Some(event.user_id.as_str().as_bytes()));
                    assert_eq!(record.header("eventType"), Some(event.change.as_str()));
                    return event;
                }
            }
        };
        tokio::time::timeout(WAIT, reading).await.expect("nothing is told")
    }

    /// The next record of the topic is this one.
    async fn hears(&mut self, change: UserChange, user: &User) -> UserRecord {
        let event = self.event().await;
        assert_eq!((event.change, event.user_id.as_str()), (change, user.id.as_str()));
        event
    }
}

async fn is_online(api: &Api, user: &str) -> bool {
    let (status, list) = api.get(&format!("/v1/presence?userIds={user},nobody")).await.unwrap();
    assert_eq!((status, list["presence"].as_array().unwrap().len()), (200, 1), "{list}");
    list["presence"][0]["online"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_is_told_once() {
    let mut world = World::new().await;
    let (ann, bob) = (world.ann.clone(), world.bob.clone());
    world.opens(vec![connection("1", &ann, "b1"), connection("2", &ann, "b1")]).await;
    world.opens(vec![connection("3", &ann, "b1")]).await;
    world.hears(UserChange::UserOnline, &ann).await;
    assert!(is_online(&bob.api, &ann.id).await && !is_online(&bob.api, &bob.id).await);
    world.opens(vec![connection("4", &bob, "b1")]).await;
    world.hears(UserChange::UserOnline, &bob).await;
    // one of several is not the last one; whoever had only one is looked at together with them
    world.close("1").await;
    world.close("4").await;
    world.hears(UserChange::UserOffline, &bob).await;
    world.opens(vec![connection("5", &bob, "b1")]).await;
    let came = world.hears(UserChange::UserOnline, &bob).await;
    assert!(is_online(&bob.api, &ann.id).await);
    // away for a moment: nobody hears of it
    world.close("5").await;
    world.opens(vec![connection("6", &bob, "b1")]).await;
    world.close("2").await;
    world.close("3").await;
    let went = world.hears(UserChange::UserOffline, &ann).await;
    assert!(went.timestamp > came.timestamp);
    assert!(!is_online(&bob.api, &ann.id).await && is_online(&bob.api, &bob.id).await);
}

/// A gateway that was killed says nothing. What it held is not alive once its boot has been silent for its time.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_stays_online_after_their_gateway_died() {
    let mut world = World::new().await;
    let ann = world.ann.clone();
    world.opens(vec![connection("1", &ann, "b1")]).await;
    assert_eq!(world.event().await.change, UserChange::UserOnline);
    let went = tokio::time::timeout(2 * WAIT, async {
        loop {
            if let Ok(Consumed::Record(record)) = world.events.next().await {
                return serde_json::from_slice::<UserRecord>(&record.value).unwrap();
            }
        }
    });
    let went = went.await.expect("a ghost");
    assert_eq!((went.change, went.user_id.as_str()), (UserChange::UserOffline, ann.id.as_str()));
    assert!(!is_online(&ann.api, &ann.id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_and_leaves_are_told_and_contacts_answered() {
    let mut world = World::new().await;
    let (ann, bob) = (world.ann.clone(), world.bob.clone());
    let (_, room) = ann.api.create_conversation("group", &[]).await.unwrap();
    let room = room["id"].as_str().unwrap();
    ann.api.add_member(room, &bob.id).await.unwrap();
    let joined = world.event().await;
    assert_eq!((joined.change, joined.user_id.as_str()), (UserChange::UserJoined, bob.id.as_str()));
    assert_eq!(joined.conversation_id.unwrap().as_str(), room);
    let asked = GetContactsRequest { user_ids: vec![ann.id.clone()] };
    let contacts = world.manager.get_contacts(asked).await.unwrap().into_inner().contacts;
    assert_eq!((contacts.len(), &contacts[0].contact_ids), (1, &vec![bob.id.clone()]));
    let (_, list): (u16, Value) = ann.api.get("/v1/presence").await.unwrap();
    assert_eq!(list["presence"], serde_json::json!([{"userId": bob.id, "online": false}]));
    ann.api.remove_member(room, &bob.id).await.unwrap();
    assert_eq!(world.event().await.change, UserChange::UserLeft);
    let gone = || async {
        let (_, list) = ann.api.get("/v1/presence").await?;
        anyhow::ensure!(list["presence"] == serde_json::json!([]), "{list}");
        Ok(())
    };
    await_condition("they do not know each other any more", WAIT, gone).await.unwrap();
    world.platform.core.stop().await;
}
