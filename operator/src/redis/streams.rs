//! The gateways' streams: there before a gateway is ready, gone when nobody will read them.
//!
//! Which streams there are says a set of node names, the index: looking for keys by pattern would go through the whole
//! keyspace. Gateways put themselves into it too. An operator is never needed: a gateway makes what is missing itself, also
//! when its stream is taken away under it, so a wrong guess here costs it a look into the database and no message.

use std::collections::BTreeSet;

use chatcluster_contracts::{
    ids::Node,
    redis_keys::{Keys, STREAM_GROUP},
};
use redis::{Cmd, FromRedisValue, RedisError, Value, cmd};

use super::connect::{Error, Redis};

/// Makes the stream and the group of each node, from the first entry on, and notes it in the index. Answers with those
/// that had none.
pub async fn provision(redis: &Redis, keys: &Keys, nodes: &[Node]) -> Result<Vec<Node>, Error> {
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    // The index first: a stream that is not in it would never be removed.
    let mut index = cmd("SADD");
    index.arg(keys.gateway_nodes());
    for node in nodes {
        index.arg(node.as_str());
    }
    understood::<Value>(redis.ask(index).await?)?;
    let create = |node: &Node| {
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(keys.gateway_stream(node)).arg(STREAM_GROUP).arg("0").arg("MKSTREAM");
        create
    };
    let answers = redis.ask_all(nodes.iter().map(create).collect()).await?;
    let mut made = Vec::new();
    for (node, answer) in nodes.iter().zip(answers) {
        match answer {
            Ok(_) => made.push(node.clone()),
            Err(error) if error.code() == Some("BUSYGROUP") => {}
            Err(error) => return Err(Error::from(&error)),
        }
    }
    Ok(made)
}

/// Removes the streams of nodes that are not among the living and whose lease has run out. Answers with their names.
pub async fn remove_gone(redis: &Redis, keys: &Keys, living: &BTreeSet<String>) -> Result<Vec<String>, Error> {
    let gone: Vec<String> = indexed(redis, keys).await?.into_iter().filter(|node| !living.contains(node)).collect();
    let lease = |node: &String| {
        let mut exists = cmd("EXISTS");
        exists.arg(keys.gateway_lease(node));
        exists
    };
    let leases = redis.ask_all(gone.iter().map(lease).collect()).await?;
    let mut expired = Vec::new();
    for (node, lease) in gone.into_iter().zip(leases) {
        if understood::<u64>(lease)? == 0 {
            expired.push(node);
        }
    }
    remove(redis, keys, &expired).await?;
    Ok(expired)
}

/// Removes every stream in the index, and the index. Answers with how many nodes were in it.
pub async fn remove_all(redis: &Redis, keys: &Keys) -> Result<usize, Error> {
    let nodes = indexed(redis, keys).await?;
    remove(redis, keys, &nodes).await?;
    Ok(nodes.len())
}

async fn indexed(redis: &Redis, keys: &Keys) -> Result<Vec<String>, Error> {
    let mut members = cmd("SMEMBERS");
    members.arg(keys.gateway_nodes());
    understood(redis.ask(members).await?)
}

/// The streams first: cut off between the two, the next pass finds the rest in the index.
async fn remove(redis: &Redis, keys: &Keys, nodes: &[String]) -> Result<(), Error> {
    if nodes.is_empty() {
        return Ok(());
    }
    // What is no node name has no stream; it only leaves the index.
    let delete = |node: Node| {
        let mut delete = cmd("DEL");
        delete.arg(keys.gateway_stream(&node));
        delete
    };
    let deletions: Vec<Cmd> = nodes.iter().filter_map(|node| Node::parse(node).ok()).map(delete).collect();
    for answer in redis.ask_all(deletions).await? {
        understood::<Value>(answer)?;
    }
    let mut forget = cmd("SREM");
    forget.arg(keys.gateway_nodes()).arg(nodes);
    understood::<Value>(redis.ask(forget).await?).map(drop)
}

fn understood<T: FromRedisValue>(answer: Result<Value, RedisError>) -> Result<T, Error> {
    let value = answer.map_err(|error| Error::from(&error))?;
    redis::from_redis_value(value).map_err(|error| Error::Unavailable(format!("an answer of another kind: {error}")))
}
