//! Does the server throw keys away when its memory is full? Streams, the registry and leases must not vanish without a
//! word; a server that refuses writes instead is noticed.

use std::fmt;

use redis::{Value, cmd};

use super::connect::{Error, Redis};

/// The server's `maxmemory-policy`. On a cluster that of the server with the worst one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub name: String,
    pub evicts: Evicts,
}

/// What goes when memory is full; the later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evicts {
    Nothing,
    /// Leases expire, so they are among these: a living gateway would be taken for dead.
    KeysWithExpiry,
    /// Also streams and the registry of connections.
    AnyKey,
}

impl Policy {
    fn named(name: &str) -> Self {
        let evicts = if name == "noeviction" {
            Evicts::Nothing
        } else if name.starts_with("volatile-") {
            Evicts::KeysWithExpiry
        } else {
            Evicts::AnyKey
        };
        Self { name: name.to_owned(), evicts }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = match self.evicts {
            Evicts::Nothing => return write!(f, "maxmemory-policy is {}: nothing is evicted", self.name),
            Evicts::KeysWithExpiry => "the gateways' leases, so that living gateways are taken for dead",
            Evicts::AnyKey => "the gateways' streams and the registry of connections",
        };
        let name = &self.name;
        write!(f, "maxmemory-policy is {name}: when memory is full Redis evicts {lost}; set it to noeviction")
    }
}

/// Asks `INFO memory`, which needs no right to read the configuration. `None`: the server does not say, or not to us.
pub async fn maxmemory_policy(redis: &Redis) -> Result<Option<Policy>, Error> {
    let mut info = cmd("INFO");
    info.arg("memory");
    match redis.ask(info).await {
        Ok(answer) => Ok(worst(&answer.map_err(|error| Error::from(&error))?)),
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The text of one server, or on a cluster those of all of them by their addresses.
fn worst(answer: &Value) -> Option<Policy> {
    match answer {
        Value::BulkString(bytes) => in_info(&String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => in_info(text),
        Value::Map(servers) => servers.iter().filter_map(|(_, info)| worst(info)).max_by_key(|policy| policy.evicts),
        _ => None,
    }
}

fn in_info(info: &str) -> Option<Policy> {
    info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(|name| Policy::named(name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(policy: &str) -> Value {
        let text = format!("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\nallocator:x\r\n");
        Value::BulkString(text.into_bytes())
    }

    #[test]
    fn policies_are_told_apart_by_what_they_evict() {
        let evicts = |name: &str| worst(&info(name)).unwrap().evicts;
        assert_eq!(evicts("noeviction"), Evicts::Nothing);
        assert_eq!(evicts("volatile-ttl"), Evicts::KeysWithExpiry);
        assert_eq!(evicts("allkeys-lru"), Evicts::AnyKey);
        assert_eq!(evicts("something-new"), Evicts::AnyKey, "what is not known is not trusted");
        assert_eq!(worst(&Value::BulkString(b"# Memory\r\n".to_vec())), None);
        assert!(worst(&info("volatile-lru")).unwrap().to_string().contains("noeviction"));
    }

    #[test]
    fn of_many_servers_the_worst_counts() {
        let servers = [("a", "noeviction"), ("b", "allkeys-lfu"), ("c", "volatile-lru")];
        let servers = servers.map(|(server, policy)| (Value::SimpleString(server.to_owned()), info(policy)));
        assert_eq!(worst(&Value::Map(servers.into())).unwrap().name, "allkeys-lfu");
    }
}
