//! Slots: which commands may go together, and which server has them.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};
use redis::{Cmd, RedisError, Value, cluster_async::ClusterConnection, cluster_routing::Slot};

use super::server::pipeline;
use crate::gateway_streams::StreamError;

/// Slots asked at the same time.
const AT_ONCE: usize = 256;

/// Commands of one slot, with their places in the whole.
#[derive(Debug, Default)]
struct Group {
    commands: Vec<Cmd>,
    places: Vec<usize>,
}

/// Sends the commands of each slot together, in their order, and those of different slots at the same time. The answers
/// come in the order of the commands. All are sent, also when some fail.
pub(super) async fn run_by_slot(connection: &ClusterConnection, commands: Vec<Cmd>) -> Result<Vec<Value>, RedisError> {
    let mut answers = vec![Value::Nil; commands.len()];
    let mut asking = stream::iter(by_slot(commands))
        .map(|group| {
            let mut connection = connection.clone();
            async move {
                let answers: Vec<Value> = pipeline(group.commands).query_async(&mut connection).await?;
                Ok((group.places, answers))
            }
        })
        .buffer_unordered(AT_ONCE);
    let mut failed = None;
    while let Some(answered) = asking.next().await {
        match answered {
            Ok((places, found)) => {
                for (place, answer) in places.into_iter().zip(found) {
                    answers[place] = answer;
                }
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(answers), Err)
}

fn by_slot(commands: Vec<Cmd>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<Option<Slot>, usize> = HashMap::new();
    for (place, command) in commands.into_iter().enumerate() {
        let group = *known.entry(slot(&command)).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Group::default());
        }
        groups[group].commands.push(command);
        groups[group].places.push(place);
    }
    groups
}

/// Of the key: the first argument, and of a script the one after the text and the number of keys.
fn slot(command: &Cmd) -> Option<Slot> {
    let argument = |place: usize| match command.args_iter().nth(place) {
        Some(redis::Arg::Simple(argument)) => Some(argument),
        _ => None,
    };
    let place = if argument(0)? == b"EVAL" { 3 } else { 1 };
    argument(place).map(Slot::for_key)
}

/// A server of a cluster. An empty host is that of whoever told of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Which master has which slots, as CLUSTER SLOTS says.
#[derive(Debug, Default)]
pub(super) struct Topology {
    ranges: Vec<(u16, u16, Node)>,
}

impl Topology {
    /// `[[first slot, last slot, [host, port, ...] of the master, [host, port, ...] of a replica, ...], ...]`
    pub(super) fn of_reply(reply: &Value) -> Self {
        let ranges = array(reply).iter().filter_map(|range| {
            let [Value::Int(from), Value::Int(to), master, ..] = array(range) else { return None };
            let [host, Value::Int(port), ..] = array(master) else { return None };
            let host = match host {
                Value::BulkString(host) => String::from_utf8_lossy(host).into_owned(),
                _ => String::new(),
            };
            // a server that nobody knows the name of
            if host == "?" {
                return None;
            }
            let node = Node { host, port: u16::try_from(*port).ok()? };
            Some((u16::try_from(*from).ok()?, u16::try_from(*to).ok()?, node))
        });
        Self { ranges: ranges.collect() }
    }

    pub(super) fn masters(&self) -> impl Iterator<Item = &Node> {
        let nodes = self.ranges.iter().map(|(_, _, node)| node).enumerate();
        nodes
            .filter(|(place, node)| !self.ranges[..*place].iter().any(|(_, _, earlier)| earlier == *node))
            .map(|(_, node)| node)
    }

    /// Of each master.
    pub(super) fn first_slots(&self) -> impl Iterator<Item = u16> {
        let of = |master: &Node| self.ranges.iter().filter(|range| range.2 == *master).map(|range| range.0).min();
        self.masters().filter_map(of)
    }

    pub(super) fn owner(&self, key: &str) -> Result<&Node, StreamError> {
        let slot = Slot::for_key(key);
        let owned = |(from, to, _): &&(u16, u16, Node)| (*from..=*to).any(|number| Slot::new(number) == Some(slot));
        let found = self.ranges.iter().find(owned).map(|(_, _, node)| node);
        found.ok_or_else(|| StreamError::Unavailable("no server of the cluster has the slot of the stream".to_owned()))
    }

    /// One of the masters, at random.
    pub(super) fn any(&self) -> Result<&Node, StreamError> {
        let masters: Vec<&Node> = self.masters().collect();
        let chosen = masters.get(rand::random_range(0..masters.len().max(1))).copied();
        chosen.ok_or_else(|| StreamError::Unavailable("the cluster has no servers".to_owned()))
    }
}

fn array(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use redis::cmd;

    use super::*;

    #[test]
    fn commands_of_a_slot_stay_together_in_their_order() {
        let commands = vec![
            cmd("HSET").arg("{a}1").arg("f").arg(1).take(),
            cmd("EVAL").arg("return 1").arg(1).arg("b").take(),
            cmd("SADD").arg("{a}2").arg("m").take(),
            cmd("GET").arg("b").take(),
            cmd("PING"),
        ];
        let places: Vec<Vec<usize>> = by_slot(commands).into_iter().map(|group| group.places).collect();
        assert_eq!(places, [vec![0, 2], vec![1, 3], vec![4]]);
    }

    #[test]
    fn the_owner_of_a_key_is_found() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), bulk("id")]);
        let range = |from, to, master| {
            Value::Array(vec![Value::Int(from), Value::Int(to), master, node(bulk("replica"), 6379)])
        };
        let topology = Topology::of_reply(&Value::Array(vec![
            range(0, 8191, node(bulk("a"), 1)),
            range(8192, 12999, node(Value::Nil, 2)),
            range(13000, 16383, node(bulk("a"), 1)),
        ]));
        // the slots of the cluster specification's examples: 12182 and 5061
        assert_eq!(topology.owner("foo").unwrap(), &Node { host: String::new(), port: 2 });
        assert_eq!(topology.owner("bar").unwrap(), &Node { host: "a".to_owned(), port: 1 });
        assert_eq!(topology.masters().count(), 2);
        assert_eq!(topology.first_slots().collect::<Vec<_>>(), [0, 8192]);
        let any = topology.any().unwrap();
        assert!(topology.masters().any(|node| node == any));
        assert!(Topology::of_reply(&Value::Nil).owner("foo").is_err());
        assert!(Topology::default().any().is_err());
    }
}
