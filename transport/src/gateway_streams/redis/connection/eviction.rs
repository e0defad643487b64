//! A policy that evicts keys eats streams and the registry without a word, so say it.

use std::collections::BTreeSet;

use super::server::Link;

/// Servers that hide their state are left alone.
pub(super) async fn warn_of_eviction(link: &Link) {
    let Ok(servers) = link.info("memory").await else { return };
    let servers: Vec<String> = servers.into_iter().filter_map(|info| redis::from_redis_value(info).ok()).collect();
    let policies: BTreeSet<&str> = servers.iter().filter_map(|info| evicting(info)).collect();
    for policy in policies {
        tracing::error!(policy, "redis evicts keys when memory is short: streams or leases may vanish, use noeviction");
    }
}

/// `allkeys-*` takes anything, `volatile-*` what expires: the leases.
fn evicting(info: &str) -> Option<&str> {
    let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"))?.trim();
    (policy.starts_with("allkeys-") || policy.starts_with("volatile-")).then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_evicts_is_noticed() {
        let info = |policy: &str| format!("# Memory\r\nused_memory:1\r\nmaxmemory_policy:{policy}\r\nallocator:x\r\n");
        assert_eq!(evicting(&info("allkeys-lru")), Some("allkeys-lru"));
        assert_eq!(evicting(&info("volatile-ttl")), Some("volatile-ttl"));
        assert_eq!(evicting(&info("noeviction")), None);
        assert_eq!(evicting("# Memory\r\n"), None);
    }
}
