//! Which outbox shard a key belongs to: the same answer in every process and release, or two relays would publish one
//! conversation.

/// FNV-1a, 64 bit (<http://www.isthe.com/chongo/tech/comp/fnv/>).
pub fn hash(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The shard of a record key, below `shards`.
pub fn of(key: &str, shards: u32) -> u32 {
    u32::try_from(hash(key) % u64::from(shards.max(1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
        assert!((0..1000).map(|i| of(&format!("c{i}"), 8)).collect::<std::collections::HashSet<_>>().len() == 8);
    }
}
