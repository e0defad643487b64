//! `ConnectionManager`: which client connections live. A gateway reports its own; changes are announced to everyone else
//! on `connection.add` and `connection.remove`, as hints.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chatcluster_contracts::{
    ids::{BootId, ConnectionId, Node, UserId, WorkspaceId},
    problem::{Code, Problem},
    record::{ConnectionRecord, header, to_json},
    rpc::{
        Connection, Contacts, GetAllConnectionsRequest, GetConnectionsByUserRequest, GetConnectionsResponse,
        GetContactsRequest, GetContactsResponse, GetOnlineUsersRequest, GetOnlineUsersResponse,
        RegisterConnectionRequest, RegisterConnectionResponse, UnregisterConnectionRequest,
        UnregisterConnectionResponse, UpdateLastPingRequest, UpdateLastPingResponse,
        connection_manager_server::ConnectionManager,
    },
    topics::Topic,
};
use chatcluster_transport::event_log::{NewRecord, Producer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::status::{bounded, id, ids, status};
use crate::store::{LiveConnection, Store};

/// Connections in one answer of the stream.
const PAGE: u32 = 500;
/// Connections in one report.
const MAX_REPORT: usize = 10_000;
/// Users in one question.
const MAX_USERS: usize = 1_000;
/// A hint that cannot be given in this time is not worth it any more.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Connections {
    pub(super) store: Store,
    pub(super) producer: Arc<dyn Producer>,
}

fn too_many() -> Status {
    status(&Problem::new(Code::InvalidField, format!("at most {MAX_REPORT} connections in one report")))
}

fn record(connection: &Connection) -> Result<ConnectionRecord, Problem> {
    let record = ConnectionRecord {
        connection_id: id::<ConnectionId>("connectionId", &connection.connection_id)?,
        user_id: id("userId", &connection.user_id)?,
        workspace_id: id("workspaceId", &connection.workspace_id)?,
        node: id("node", &connection.node)?,
        boot_id: id("bootId", &connection.boot_id)?,
        connected_at_ms: connection.connected_at_ms,
    };
    if record.connection_id.node() != record.node.as_str() {
        return Err(Problem::new(Code::InvalidField, "connectionId belongs to another node"));
    }
    Ok(record)
}

fn connection(live: &LiveConnection) -> Connection {
    Connection {
        connection_id: live.record.connection_id.as_str().to_owned(),
        user_id: live.record.user_id.as_str().to_owned(),
        workspace_id: live.record.workspace_id.as_str().to_owned(),
        node: live.record.node.as_str().to_owned(),
        boot_id: live.record.boot_id.as_str().to_owned(),
        connected_at_ms: live.record.connected_at_ms,
        last_ping_ms: live.last_ping_ms,
    }
}

/// Tells everyone else, without holding the caller up: the registry is right without it.
pub(crate) fn announce(producer: &Arc<dyn Producer>, topic: Topic, records: &[ConnectionRecord]) {
    if records.is_empty() {
        return;
    }
    let event_type = if topic == Topic::ConnectionAdd { "CONNECTION_ADD" } else { "CONNECTION_REMOVE" };
    let records: Vec<NewRecord> = records
        .iter()
        .map(|record| NewRecord {
            topic,
            dead_letter: false,
            key: record.user_id.as_str().to_owned(),
            value: Bytes::from(to_json(record)),
            headers: vec![
                (header::ID.to_owned(), Bytes::from(Uuid::now_v7().to_string())),
                (header::EVENT_TYPE.to_owned(), Bytes::from_static(event_type.as_bytes())),
            ],
        })
        .collect();
    let producer = producer.clone();
    tokio::spawn(async move {
        let count = records.len();
        let told = tokio::time::timeout(ANNOUNCE_TIMEOUT, producer.append(records)).await;
        if !told.is_ok_and(|results| results.iter().all(Result::is_ok)) {
            tracing::debug!(count, event_type, "connection events not announced");
        }
    });
}

#[async_trait]
impl ConnectionManager for Connections {
    async fn register_connection(
        &self,
        request: Request<RegisterConnectionRequest>,
    ) -> Result<Response<RegisterConnectionResponse>, Status> {
        let connections = request.into_inner().connections;
        if connections.len() > MAX_REPORT {
            return Err(too_many());
        }
        let records: Vec<ConnectionRecord> =
            connections.iter().map(record).collect::<Result<_, _>>().map_err(|problem| status(&problem))?;
        let mut by_boot: BTreeMap<(Node, BootId), Vec<ConnectionRecord>> = BTreeMap::new();
        for record in &records {
            by_boot.entry((record.node.clone(), record.boot_id.clone())).or_default().push(record.clone());
        }
        for ((node, boot), records) in &by_boot {
            bounded(self.store.add_connections(node, boot, records)).await?;
        }
        announce(&self.producer, Topic::ConnectionAdd, &records);
        Ok(Response::new(RegisterConnectionResponse {}))
    }

    async fn unregister_connection(
        &self,
        request: Request<UnregisterConnectionRequest>,
    ) -> Result<Response<UnregisterConnectionResponse>, Status> {
        let request = request.into_inner();
        if request.connection_ids.len() > MAX_REPORT {
            return Err(too_many());
        }
        let gone = bounded(async {
            let boot: BootId = id("bootId", &request.boot_id)?;
            let connections: Vec<ConnectionId> = ids("connectionIds", &request.connection_ids)?;
            Ok::<_, Problem>(self.store.remove_connections(&boot, &connections).await?)
        })
        .await?;
        let records: Vec<ConnectionRecord> = gone.into_iter().map(|live| live.record).collect();
        announce(&self.producer, Topic::ConnectionRemove, &records);
        Ok(Response::new(UnregisterConnectionResponse {}))
    }

    async fn update_last_ping(
        &self,
        request: Request<UpdateLastPingRequest>,
    ) -> Result<Response<UpdateLastPingResponse>, Status> {
        let request = request.into_inner();
        let known = bounded(async {
            let boot: BootId = id("bootId", &request.boot_id)?;
            Ok::<_, Problem>(self.store.ping_boot(&boot).await?)
        })
        .await?;
        Ok(Response::new(UpdateLastPingResponse { register_again: !known }))
    }

    async fn get_connections_by_user(
        &self,
        request: Request<GetConnectionsByUserRequest>,
    ) -> Result<Response<GetConnectionsResponse>, Status> {
        let user: UserId = id("userId", &request.into_inner().user_id).map_err(|problem| status(&problem))?;
        let connections = bounded(self.store.connections_of(&user)).await?.iter().map(connection).collect();
        Ok(Response::new(GetConnectionsResponse { connections }))
    }

    async fn get_online_users(
        &self,
        request: Request<GetOnlineUsersRequest>,
    ) -> Result<Response<GetOnlineUsersResponse>, Status> {
        let workspace = request.into_inner().workspace_id;
        let workspace: WorkspaceId = id("workspaceId", &workspace).map_err(|problem| status(&problem))?;
        let users: BTreeSet<String> = bounded(self.store.online_users(&workspace)).await?.into_iter().collect();
        Ok(Response::new(GetOnlineUsersResponse { user_ids: users.into_iter().collect() }))
    }

    async fn get_contacts(
        &self,
        request: Request<GetContactsRequest>,
    ) -> Result<Response<GetContactsResponse>, Status> {
        let asked = request.into_inner().user_ids;
        if asked.len() > MAX_USERS {
            return Err(status(&Problem::new(
                Code::InvalidField,
                format!("at most {MAX_USERS} users in one question"),
            )));
        }
        let users: Vec<UserId> = ids("userIds", &asked).map_err(|problem| status(&problem))?;
        let mut contacts: BTreeMap<UserId, Vec<String>> = BTreeMap::new();
        for (user, contact) in bounded(self.store.contacts(&users)).await? {
            contacts.entry(user).or_default().push(contact.to_string());
        }
        let contacts = contacts.into_iter();
        let contacts =
            contacts.map(|(user, contact_ids)| Contacts { user_id: user.to_string(), contact_ids }).collect();
        Ok(Response::new(GetContactsResponse { contacts }))
    }

    type GetAllConnectionsStream = ReceiverStream<Result<GetConnectionsResponse, Status>>;

    /// A page at a time: a connection that lives all the while is in exactly one of them.
    async fn get_all_connections(
        &self,
        _request: Request<GetAllConnectionsRequest>,
    ) -> Result<Response<Self::GetAllConnectionsStream>, Status> {
        let (sender, pages) = mpsc::channel(2);
        let store = self.store.clone();
        tokio::spawn(async move {
            let mut after = String::new();
            loop {
                let page = bounded(store.all_connections(&after, PAGE)).await;
                let last = page.as_ref().ok().and_then(|page| page.last());
                let next = last.map(|live| live.record.connection_id.as_str().to_owned());
                let full = page.as_ref().is_ok_and(|page| page.len() == PAGE as usize);
                let page =
                    page.map(|page| GetConnectionsResponse { connections: page.iter().map(connection).collect() });
                if sender.send(page).await.is_err() || !full {
                    return;
                }
                after = next.unwrap_or_default();
            }
        });
        Ok(Response::new(ReceiverStream::new(pages)))
    }
}
