//! Which partition a key belongs to: murmur2, as every JVM producer computes it (Kafka's `Utils.murmur2` and
//! `BuiltInPartitioner.partitionForKey`). A conversation must not change partition when the relay does.

/// Kafka's variant of `MurmurHash2`, 32 bits, with its fixed seed.
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    // Java's arrays have int lengths; keys are far shorter.
    let mut hash = SEED ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash.cast_signed()
}

/// The partition of `key` among `partitions` (at least one).
pub fn partition_of(key: &[u8], partitions: u32) -> i32 {
    let positive = murmur2(key).cast_unsigned() & 0x7fff_ffff;
    (positive % partitions.max(1)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn the_hash_is_the_one_of_the_jvm() {
        for (text, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn partitions_lie_in_range() {
        assert_eq!(partition_of(b"abc", 12), 479_470_107 % 12);
        assert!((0..1000).all(|n: u32| (0..12).contains(&partition_of(n.to_string().as_bytes(), 12))));
    }
}
