//! `user.events`: who came and who went, told to those who know them. A consumer of its own, so that a storm of
//! connections holds up no message; what is old by the time it is read is nobody's news any more.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chatcluster_contracts::{
    frame::ServerFrame,
    ids::UserId,
    record::{UserChange, UserRecord},
    rpc::{GetContactsRequest, connection_manager_client::ConnectionManagerClient},
    stream_entry::StreamEntry,
    time,
    topics::{Group, Topic},
};
use chatcluster_service::rpc::ServiceToken;
use chatcluster_transport::event_log::Record;
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use crate::{
    clock::age,
    consume::hints::Hints,
    dead_letter::DeadLetters,
    plan::recipients,
    publish::{Publisher, until_done},
    resolve::Connections,
};

/// After this time a change is told to nobody: whoever asks is answered by core.
const NEWS_FOR: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(5);

type ManagerClient = ConnectionManagerClient<InterceptedService<Channel, ServiceToken>>;

#[derive(Clone)]
pub(crate) struct PresenceNews {
    pub(crate) core: ManagerClient,
    pub(crate) connections: Arc<Connections>,
    pub(crate) publisher: Publisher,
    pub(crate) dead_letters: DeadLetters,
}

impl Hints for PresenceNews {
    const GROUP: Group = Group::Fanout;
    const TOPICS: &'static [Topic] = &[Topic::Users];
    const AT_ONCE: usize = 256;

    async fn take(&self, batch: &[Record]) {
        self.tell(batch).await;
    }
}

impl PresenceNews {
    /// Returns once everybody was told who is to be, or it is too late for that.
    async fn tell(&self, batch: &[Record]) {
        let mut changes = Vec::with_capacity(batch.len());
        for record in batch {
            match serde_json::from_slice::<UserRecord>(&record.value) {
                Ok(change) if age(record) < NEWS_FOR => changes.push(change),
                Ok(_) => {}
                Err(error) => self.dead_letters.keep(record, &error.to_string()).await,
            }
        }
        let newest = newest(changes);
        if newest.is_empty() {
            return;
        }
        let since = std::time::Instant::now();
        let metrics = &self.publisher.metrics;
        let contacts = until_done("contacts", metrics, || async {
            if since.elapsed() > NEWS_FOR { Ok(HashMap::new()) } else { self.contacts(newest.keys()).await }
        })
        .await;
        let users: HashSet<UserId> = contacts.values().flatten().cloned().collect();
        let routes = until_done("connections", metrics, || self.connections.routes(&users)).await;
        let mut entries = Vec::new();
        for (user, change) in &newest {
            let told = contacts.get(user).into_iter().flatten();
            let frame = ServerFrame::Presence {
                user_id: user,
                online: change.change == UserChange::UserOnline,
                since: time::format(change.timestamp),
            };
            let payload = bytes::Bytes::from(frame.to_json());
            for (node, recipients) in recipients(told, &routes) {
                let payload = payload.clone();
                entries.push((node, Arc::new(StreamEntry::Ephemeral { conversation_id: None, recipients, payload })));
            }
        }
        metrics.presence_told.inc_by(newest.len() as u64);
        self.publisher.write(entries).await;
    }

    async fn contacts<'a>(
        &self,
        users: impl Iterator<Item = &'a UserId>,
    ) -> Result<HashMap<UserId, Vec<UserId>>, String> {
        let request = GetContactsRequest { user_ids: users.map(ToString::to_string).collect() };
        let mut core = self.core.clone();
        let answer = tokio::time::timeout(PATIENCE, core.get_contacts(request)).await;
        let answer = answer.map_err(|_| "core did not answer".to_owned())?;
        let contacts = answer.map_err(|status| status.message().to_owned())?.into_inner().contacts;
        let parsed = contacts.iter().filter_map(|contacts| {
            let of = contacts.contact_ids.iter().filter_map(|id| UserId::parse(id).ok()).collect();
            Some((UserId::parse(&contacts.user_id).ok()?, of))
        });
        Ok(parsed.collect())
    }
}

/// Of each user the last coming or going; joins and leaves are told by the conversations.
fn newest(changes: Vec<UserRecord>) -> HashMap<UserId, UserRecord> {
    let mut newest: HashMap<UserId, UserRecord> = HashMap::new();
    for change in changes {
        let comes_or_goes = matches!(change.change, UserChange::UserOnline | UserChange::UserOffline);
        let is_newer = newest.get(&change.user_id).is_none_or(|known| known.timestamp <= change.timestamp);
        if comes_or_goes && is_newer {
            newest.insert(change.user_id.clone(), change);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_and_goes_is_told_once_as_it_is_now() {
        let change = |change: UserChange, user: &str, at: i64| UserRecord {
            change,
            user_id: UserId::parse(user).unwrap(),
            workspace_id: chatcluster_contracts::ids::WorkspaceId::default(),
            conversation_id: None,
            timestamp: jiff::Timestamp::from_second(at).unwrap(),
        };
        let told = newest(vec![
            change(UserChange::UserOnline, "ann", 1),
            change(UserChange::UserOffline, "bob", 5),
            change(UserChange::UserOffline, "ann", 3),
            change(UserChange::UserOnline, "bob", 4),
            change(UserChange::UserJoined, "cem", 9),
        ]);
        let mut told: Vec<_> = told.values().map(|it| format!("{} {}", it.user_id, it.change.as_str())).collect();
        told.sort();
        assert_eq!(told, ["ann USER_OFFLINE", "bob USER_OFFLINE"], "a record that comes late says nothing new");
    }
}
