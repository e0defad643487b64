//! The codec against the words of RFC 6455 and RFC 7692, wherever the bytes are split.

mod deflated;
mod messages;
mod splits;
mod violations;

use super::{Decoder, Incoming, Limits, Violation, Window, mask, negotiate};

const LIMITS: Limits = Limits { max_message: 256 * 1024, binary: true, deflate: false };
const DEFLATE: Limits = Limits { deflate: true, ..LIMITS };
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame: its first byte (FIN, RSV1 to 3, opcode), its payload.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_with(first, payload, KEY)
}

fn frame_with(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut out = super::encoder::Header::new(first, payload.len()).to_vec();
    out[1] |= 0x80;
    out.extend(key);
    let start = out.len();
    out.extend(payload);
    mask::apply(&mut out[start..], key);
    out
}

/// Everything the bytes mean, fed in the pieces given. Beside that, what must hold after every piece.
fn read_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> (Vec<Incoming>, Option<Violation>) {
    let (mut decoder, mut seen, mut fed) = (Decoder::new(), Vec::new(), 0);
    for mut piece in pieces {
        fed += piece.len();
        loop {
            match decoder.next(&mut piece, &limits) {
                Ok(Some(incoming)) => seen.push(incoming),
                Ok(None) => break,
                Err(violation) => {
                    let again = decoder.next(&mut &b"\x81\x80\0\0\0\0"[..], &limits);
                    assert_eq!(again, Err(violation), "nothing is read after a violation");
                    return (seen, Some(violation));
                }
            }
        }
        assert!(piece.is_empty(), "a decoder that needs more has read all there was");
        assert!(decoder.held_bytes() <= 256 + 2 * fed, "{} held of {fed}", decoder.held_bytes());
        assert!(!decoder.is_idle() || decoder.held_bytes() == 0);
    }
    (seen, None)
}

/// What the frames mean, read at once and in single bytes.
fn read(frames: &[Vec<u8>], limits: Limits) -> (Vec<Incoming>, Option<Violation>) {
    let bytes = frames.concat();
    let whole = read_pieces([&bytes[..]], limits);
    assert_eq!(read_pieces(bytes.chunks(1), limits), whole, "in single bytes");
    assert_eq!(read_pieces(frames.iter().map(Vec::as_slice), limits), whole, "frame by frame");
    whole
}

fn messages(frames: &[Vec<u8>]) -> Vec<Incoming> {
    let (seen, violation) = read(frames, LIMITS);
    assert_eq!(violation, None);
    seen
}

fn violation(frames: &[Vec<u8>]) -> Option<Violation> {
    read(frames, LIMITS).1
}

fn text(content: &str) -> Incoming {
    Incoming::Text(content.into())
}

/// What a server's frame carries.
fn payload_of(frame: &[u8]) -> &[u8] {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    &frame[header..]
}

/// What a client gets that asks for a window.
fn window(bits: u8) -> Window {
    let offer = format!("permessage-deflate; server_max_window_bits={bits}");
    negotiate([offer.as_str()]).unwrap().window
}
