//! Native frames: what is read, what is refused and by which code, and that no input makes the decoder panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use chatcluster_contracts::{
    frame::{ClientFrame, ServerFrame, decode},
    ids::{ConversationId, UserId},
    position,
    problem::Code,
    seq::Seq,
};
use proptest::prelude::*;

fn refused(text: &str) -> Code {
    decode(text).expect_err(text).problem.code
}

#[test]
fn the_documented_frames_are_read() {
    let ClientFrame::Connect(connect) = decode(r#"{"type":"CONNECT","token":"t","resume":{"c1":42}}"#).unwrap() else {
        panic!("not a CONNECT")
    };
    assert_eq!(connect.token.as_deref(), Some("t"));
    assert_eq!(connect.resume[&ConversationId::parse("c1").unwrap()], Seq::new(42));
    assert!(!format!("{connect:?}").contains("\"t\""), "the token must not be printed");

    let send = r#"{"type":"SEND","clientMsgId":"m1","conversationId":"c1","content":"hi","threadRootId":null}"#;
    assert!(matches!(decode(send).unwrap(), ClientFrame::Send(send) if send.content == "hi"));
    let receipt = r#"{"type":"RECEIPT","conversationId":"c1","readSeq":40}"#;
    assert!(matches!(decode(receipt).unwrap(), ClientFrame::Receipt(r) if r.read_seq == Some(Seq::new(40))));
    assert_eq!(decode(r#"{"type":"PING"}"#).unwrap(), ClientFrame::Ping);
}

#[test]
fn refusals_say_what_is_wrong() {
    assert_eq!(refused("hello"), Code::InvalidJson);
    for no_object in ["[]", "[[[[", "null", "\"x\"", "7", ""] {
        assert_eq!(refused(no_object), Code::InvalidJson, "{no_object}");
    }
    assert_eq!(refused("{}"), Code::MissingField);
    assert_eq!(refused(r#"{"type":"DANCE"}"#), Code::UnknownType);
    assert_eq!(refused(r#"{"type":"SEND","clientMsgId":"m","conversationId":"c"}"#), Code::MissingField);
    assert_eq!(refused(r#"{"type":"SEND","clientMsgId":"m","conversationId":"a b","content":""}"#), Code::InvalidField);
    assert_eq!(refused(r#"{"type":"TYPING","conversationId":"c","isTyping":"yes"}"#), Code::InvalidField);
    assert_eq!(refused(r#"{"type":"RECEIPT","conversationId":"c"}"#), Code::MissingField);
    let refusal = decode(r#"{"type":"SEND","clientMsgId":"m7","conversationId":"c"}"#).unwrap_err();
    assert_eq!(refusal.client_msg_id.as_deref(), Some("m7"));
}

#[test]
fn server_frames_have_the_documented_members() {
    let ack = ServerFrame::Ack { client_msg_id: "m", message_id: "x", conversation_id: "c", seq: Seq::new(42) };
    assert_eq!(
        String::from_utf8(ack.to_json()).unwrap(),
        r#"{"type":"ACK","clientMsgId":"m","messageId":"x","conversationId":"c","seq":42}"#
    );
    let user = UserId::parse("u").unwrap();
    let connected = ServerFrame::Connected { session_id: "s", user_id: &user, heartbeat_ms: 25000 };
    assert_eq!(
        String::from_utf8(connected.to_json()).unwrap(),
        r#"{"type":"CONNECTED","sessionId":"s","userId":"u","heartbeatMs":25000}"#
    );
    assert_eq!(String::from_utf8(ServerFrame::Pong.to_json()).unwrap(), r#"{"type":"PONG"}"#);
}

proptest! {
    #[test]
    fn no_text_makes_the_decoder_panic(text in ".{0,200}") {
        let _ = decode(&text);
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused_and_never_misread(cut in 1_usize..60) {
        let whole = r#"{"type":"SEND","clientMsgId":"m1","conversationId":"c1","content":"hello"}"#;
        prop_assert!(decode(&whole[..cut.min(whole.len() - 1)]).is_err());
    }

    #[test]
    fn positions_round_trip(entries in proptest::collection::btree_map("[a-zA-Z0-9=~.-]{1,20}", 0_u64.., 0..20)) {
        let resume: position::Resume =
            entries.into_iter().map(|(id, seq)| (ConversationId::parse(&id).unwrap(), Seq::new(seq))).collect();
        prop_assert_eq!(position::decode(&position::encode(&resume)).unwrap(), resume);
    }

    #[test]
    fn no_position_makes_the_decoder_panic(text in ".{0,100}") {
        let _ = position::decode(&text);
    }
}
