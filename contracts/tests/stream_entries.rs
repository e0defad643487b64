//! Stream entries survive the trip through Redis fields, in any field order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use bytes::Bytes;
use chatcluster_contracts::{
    event::EventType,
    ids::{ConversationId, UserId},
    seq::Seq,
    stream_entry::{InvalidEntry, Recipients, StreamEntry},
    trace::TraceParent,
};
use proptest::prelude::*;

fn id() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9@._|=-]{1,40}"
}

fn recipients() -> impl Strategy<Value = Recipients> {
    proptest::collection::vec(id(), 0..5)
        .prop_map(|users| Recipients::new(&users.iter().map(|u| UserId::parse(u).unwrap()).collect::<Vec<_>>()))
}

fn payload() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn conversation() -> impl Strategy<Value = ConversationId> {
    id().prop_map(|text| ConversationId::parse(&text).unwrap())
}

fn entry() -> impl Strategy<Value = StreamEntry> {
    let trace = (1_u128.., 1_u64.., any::<bool>()).prop_map(|(trace_id, parent_id, sampled)| TraceParent {
        trace_id,
        parent_id,
        sampled,
    });
    prop_oneof![
        (
            conversation(),
            1_u64..,
            0..EventType::ALL.len(),
            proptest::option::of(id()),
            recipients(),
            payload(),
            proptest::option::of(trace),
            any::<bool>()
        )
            .prop_map(|(conversation_id, seq, kind, subject, recipients, payload, traceparent, broadcast)| {
                StreamEntry::Event {
                    conversation_id,
                    seq: Seq::new(seq),
                    event_type: EventType::ALL[kind],
                    subject: subject.map(|text| UserId::parse(&text).unwrap()),
                    recipients,
                    payload,
                    traceparent,
                    broadcast,
                }
            }),
        (conversation(), recipients(), payload()).prop_map(|(conversation_id, recipients, payload)| {
            StreamEntry::Ephemeral { conversation_id: Some(conversation_id), recipients, payload }
        }),
        (recipients(), payload()).prop_map(|(recipients, payload)| StreamEntry::Direct { recipients, payload }),
        proptest::collection::vec((conversation(), 0_u64..), 0..6).prop_map(|heads| StreamEntry::Digest {
            heads: heads.into_iter().map(|(id, n)| (id, Seq::new(n))).collect()
        }),
    ]
}

proptest! {
    #[test]
    fn entries_round_trip_in_any_field_order(entry in entry(), turn in 0_usize..8) {
        let mut fields = entry.to_fields();
        let length = fields.len();
        fields.rotate_left(turn % length);
        fields.push(("from-a-newer-release", Bytes::from_static(b"x")));
        prop_assert_eq!(StreamEntry::from_fields(fields).unwrap(), entry);
    }

    #[test]
    fn no_fields_make_the_decoder_panic(fields in proptest::collection::vec((0_usize..9, payload()), 0..8)) {
        let names = ["k", "c", "s", "t", "u", "r", "p", "tp", "?"];
        let _ = StreamEntry::from_fields(fields.into_iter().map(|(name, value)| (names[name], value)));
    }
}

#[test]
fn an_entry_without_kind_is_refused() {
    assert_eq!(StreamEntry::from_fields([]), Err(InvalidEntry::UnknownKind));
}
