//! Record headers as one column: each name and value behind its length, 32 bits, big endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub(super) fn encode(headers: &[(String, Bytes)]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for (name, value) in headers {
        for part in [name.as_bytes(), value] {
            out.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
            out.put_slice(part);
        }
    }
    out.to_vec()
}

/// `None` if the column is damaged.
pub(super) fn decode(mut column: Bytes) -> Option<Vec<(String, Bytes)>> {
    let mut part = || -> Option<Option<Bytes>> {
        if column.is_empty() {
            return Some(None);
        }
        if column.len() < 4 {
            return None;
        }
        let length = usize::try_from(column.get_u32()).ok()?;
        (length <= column.len()).then(|| Some(column.split_to(length)))
    };
    let mut headers = Vec::new();
    while let Some(name) = part()? {
        headers.push((String::from_utf8(name.to_vec()).ok()?, part()??));
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_damage_is_noticed() {
        let headers = vec![("id".to_owned(), Bytes::from_static(b"\x00\xff")), (String::new(), Bytes::new())];
        let column = Bytes::from(encode(&headers));
        assert_eq!(decode(column.clone()), Some(headers));
        assert_eq!(decode(Bytes::new()), Some(Vec::new()));
        for cut in 1..column.len() - 8 {
            assert_eq!(decode(column.slice(..cut)), None, "{cut}");
        }
    }
}
