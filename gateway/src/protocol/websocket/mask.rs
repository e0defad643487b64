//! Masking (RFC 6455 section 5.3): byte `i` of the payload is masked with byte `i % 4` of the key.

/// Masks or unmasks. The word loop is written so that the compiler makes vector instructions of it.
pub(super) fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The key as it applies to what follows `count` bytes.
pub(super) fn after(mut key: [u8; 4], count: usize) -> [u8; 4] {
    key.rotate_left(count % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_repeats_every_four_bytes_from_any_place() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).collect();
            let masked: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            for cut in 0..=plain.len() {
                let mut bytes = masked.clone();
                let (front, back) = bytes.split_at_mut(cut);
                apply(front, key);
                apply(back, after(key, cut));
                assert_eq!(bytes, plain, "{length} bytes cut at {cut}");
            }
        }
    }
}
