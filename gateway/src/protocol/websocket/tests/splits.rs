//! Properties: where the bytes are split does not matter, and what was put in comes out.

use proptest::prelude::*;

use super::{
    super::{binary_deflated, text_deflated},
    *,
};

/// Messages in random fragments, with random keys and pings between them, and what they mean.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<Incoming>)> {
    let content = prop_oneof![
        ".{0,60}".prop_map(Incoming::Text),
        "[aä☃𝄞]{0,1500}".prop_map(Incoming::Text),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Incoming::Binary),
    ];
    let message = (content, prop::collection::vec(any::<prop::sample::Index>(), 0..4), any::<[u8; 4]>(), any::<bool>());
    prop::collection::vec(message, 1..6).prop_map(|messages| {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (content, cuts, key, with_ping) in messages {
            let (opcode, payload) = match &content {
                Incoming::Text(text) => (1, text.as_bytes()),
                Incoming::Binary(bytes) => (2, &bytes[..]),
                _ => continue,
            };
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            cuts.sort_unstable();
            let mut start = 0;
            for (index, end) in cuts.iter().copied().chain([payload.len()]).enumerate() {
                let opcode = if index == 0 { opcode } else { 0 };
                let fin = if index == cuts.len() { 0x80 } else { 0 };
                bytes.extend(frame_with(fin | opcode, &payload[start..end], key));
                start = end;
                if with_ping && fin == 0 {
                    bytes.extend(frame_with(0x89, b"tick", key));
                    expected.push(Incoming::Ping(b"tick".to_vec()));
                }
            }
            expected.push(content);
        }
        (bytes, expected)
    })
}

/// Cuts at random places.
fn pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec()).collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in((bytes, expected) in stream(), cuts in cuts(), size in 1usize..9) {
        prop_assert_eq!(&read_pieces([&bytes[..]], LIMITS), &(expected.clone(), None));
        prop_assert_eq!(&read_pieces(bytes.chunks(size), LIMITS), &(expected.clone(), None));
        let pieces = pieces(&bytes, &cuts);
        prop_assert_eq!(&read_pieces(pieces.iter().map(Vec::as_slice), LIMITS), &(expected, None));
    }

    #[test]
    fn any_bytes_mean_the_same_in_pieces(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        likely in prop::option::of(prop::sample::select(vec![0x81u8, 0x01, 0x89, 0x88, 0xc1, 0x41])),
        size in 1usize..9,
        deflate in any::<bool>(),
    ) {
        if let (Some(first), true) = (likely, bytes.len() > 2) {
            bytes[0] = first;
            bytes[1] |= 0x80;
        }
        let limits = Limits { max_message: 100, binary: true, deflate };
        let whole = read_pieces([&bytes[..]], limits);
        prop_assert_eq!(read_pieces(bytes.chunks(size), limits), whole);
    }

    #[test]
    fn damage_within_a_stream_means_the_same_in_pieces(
        (mut bytes, _) in stream(),
        place in any::<prop::sample::Index>(),
        value in any::<u8>(),
        cuts in cuts(),
    ) {
        let place = place.index(bytes.len());
        bytes[place] = value;
        let pieces = pieces(&bytes, &cuts);
        let whole = read_pieces([&bytes[..]], LIMITS);
        prop_assert_eq!(read_pieces(pieces.iter().map(Vec::as_slice), LIMITS), whole);
    }

    #[test]
    fn what_is_compressed_comes_out_again(
        content in prop_oneof!["[ab ]{0,3000}", ".{0,500}"],
        cuts in cuts(),
        bits in 8u8..=15,
    ) {
        let sent = text_deflated(content.as_bytes(), window(bits));
        let as_client = |sent: &[u8]| frame(sent[0], payload_of(sent));
        let bytes = as_client(&sent);
        let pieces = pieces(&bytes, &cuts);
        let seen = read_pieces(pieces.iter().map(Vec::as_slice), DEFLATE);
        prop_assert_eq!(seen, (vec![Incoming::Text(content.clone())], None));
        let binary = as_client(&binary_deflated(content.as_bytes(), window(bits)));
        prop_assert_eq!(read_pieces([&binary[..]], DEFLATE).0, vec![Incoming::Binary(content.into_bytes())]);
    }
}
