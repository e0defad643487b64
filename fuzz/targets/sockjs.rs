//! What SockJS clients post, ask for and frame: no panic, and whatever is sent back is one frame that reads as it was meant.
#![no_main]

use chatcluster_fuzz::sockjs::{frames::Message, hixie76::Decoder, incoming, route::Base};

fn hixie(bytes: &[u8], size: usize) -> (usize, bool) {
    let (mut decoder, mut seen) = (Decoder::new(4096), 0);
    for mut piece in bytes.chunks(size) {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(_)) => seen += 1,
                Ok(None) => break,
                Err(_) => return (seen, false),
            }
        }
    }
    (seen, true)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    if let Ok(texts) = incoming::post(bytes) {
        for text in &texts {
            // what a client reads is what was sent
            let message = Message::new(text);
            let frame = std::str::from_utf8(message.frame()).expect("frames are text");
            let array = frame.strip_prefix('a').expect("a message frame");
            assert_eq!(serde_json::from_str::<Vec<String>>(array).expect("JSON"), [text.clone()]);
        }
    }
    let _ = incoming::form(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = incoming::websocket(text);
        let _ = Base::new("/sockjs").route(text);
        let _ = Base::new("/sockjs").upgrade(text);
    }
    assert_eq!(hixie(bytes, bytes.len().max(1)), hixie(bytes, usize::from(*size) + 1));
});
