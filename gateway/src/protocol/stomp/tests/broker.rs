//! The broker as subscribers see it.

use bytes::Bytes;

use super::super::{
    broker::{Broker, BrokerError, BrokerLimits, Delivery, Subscriber},
    frame::{Headers, Version},
    request::{AckMode, AckRef, Send, Verdict},
    subscriptions::Key,
};

const ANN: Subscriber = Subscriber { session: 1, subscription: Key::new(0) };
const BOB: Subscriber = Subscriber { session: 2, subscription: Key::new(0) };
const LIMITS: BrokerLimits = BrokerLimits { destinations: 2, messages: 3, bytes: 10_000, prefetch: 2 };

pub(super) fn message(destination: &str, body: &str) -> Send {
    let mut headers = Headers::new();
    for (name, value) in
        [("destination", destination), ("cust", "f:o\no"), ("receipt", "r"), ("content-type", "text/plain")]
    {
        headers.push(name, value);
    }
    Send { destination: destination.into(), transaction: None, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// A broker with `to` subscribed to `destination`, one after the other.
fn broker(destination: &str, ack: AckMode, to: &[Subscriber]) -> Broker {
    let mut broker = Broker::new(LIMITS);
    for to in to {
        assert_eq!(broker.subscribe(*to, destination, ack, None), Ok(vec![]));
    }
    broker
}

fn send(broker: &mut Broker, destination: &str, body: &str) -> Vec<Delivery> {
    broker.send(message(destination, body)).unwrap()
}

/// Who got what.
fn seen(deliveries: &[Delivery]) -> Vec<(u64, &str, bool)> {
    let text = |delivery: &Delivery| std::str::from_utf8(&delivery.message.body).unwrap().to_owned().leak() as &str;
    deliveries.iter().map(|delivery| (delivery.to.session, text(delivery), delivery.redelivered)).collect()
}

fn settle(broker: &mut Broker, delivery: &Delivery, verdict: Verdict) -> Vec<Delivery> {
    let what = AckRef::Ack(delivery.tag.to_string());
    broker.settle(delivery.to.session, &what, verdict, true).unwrap()
}

fn encoded(delivery: &Delivery, version: Version, subscription: Option<&str>) -> Vec<u8> {
    let mut frame = Vec::new();
    delivery.write_prefix(&mut frame, version, subscription, delivery.tag);
    frame.extend_from_slice(delivery.body().tail(version));
    frame
}

#[test]
fn a_topic_gives_a_message_to_every_subscriber() {
    let mut broker = broker("/topic/x", AckMode::Auto, &[ANN, BOB]);
    assert_eq!(seen(&send(&mut broker, "/topic/x", "a")), [(1, "a", false), (2, "a", false)]);
    assert_eq!(broker.unsubscribe(ANN), []);
    assert_eq!(seen(&send(&mut broker, "/topic/x", "b")), [(2, "b", false)]);
    assert_eq!(broker.gone(2), []);
    assert_eq!(send(&mut broker, "/topic/x", "c"), [], "nobody listens, nothing is kept");
}

#[test]
fn a_queue_takes_turns_and_keeps_what_nobody_takes() {
    let mut broker = Broker::new(LIMITS);
    for body in ["a", "b"] {
        assert_eq!(send(&mut broker, "/queue/x", body), []);
    }
    let first = broker.subscribe(ANN, "/queue/x", AckMode::Auto, None).unwrap();
    assert_eq!(seen(&first), [(1, "a", false), (1, "b", false)]);
    broker.subscribe(BOB, "/queue/x", AckMode::Auto, None).unwrap();
    let took: Vec<_> = ["c", "d", "e"].iter().flat_map(|body| send(&mut broker, "/queue/x", body)).collect();
    assert_eq!(seen(&took), [(2, "c", false), (1, "d", false), (2, "e", false)]);
}

#[test]
fn a_refused_message_goes_to_another() {
    let mut broker = broker("/queue/x", AckMode::Client, &[ANN, BOB]);
    let first = send(&mut broker, "/queue/x", "a");
    let second = settle(&mut broker, &first[0], Verdict::Nack);
    let third = settle(&mut broker, &second[0], Verdict::Nack);
    assert_eq!([seen(&first), seen(&second), seen(&third)].concat(), [(1, "a", false), (2, "a", true), (1, "a", true)]);
    assert_eq!(settle(&mut broker, &third[0], Verdict::Ack), []);
    assert_eq!(broker.gone(1), [], "acknowledged is done");
    let alone = send(&mut broker, "/queue/x", "b");
    assert_eq!(seen(&settle(&mut broker, &alone[0], Verdict::Nack)), [(2, "b", true)], "there is nobody else");
    let what = AckRef::Ack("4".into());
    assert_eq!(broker.settle(2, &what, Verdict::Nack, true), Err(BrokerError::UnknownAck));
}

#[test]
fn a_message_refused_for_good_is_dropped() {
    let mut broker = broker("/queue/x", AckMode::Client, &[ANN, BOB]);
    let first = send(&mut broker, "/queue/x", "a");
    let what = AckRef::Message { message_id: first[0].tag.to_string(), subscription: None };
    assert_eq!(broker.settle(2, &what, Verdict::Nack, false), Err(BrokerError::UnknownAck), "not theirs");
    assert_eq!(broker.settle(1, &what, Verdict::Nack, false), Ok(vec![]));
    assert_eq!(broker.gone(1), []);
}

#[test]
fn what_a_lost_subscriber_did_not_acknowledge_goes_to_others_in_order() {
    let mut broker = broker("/queue/x", AckMode::Client, &[ANN]);
    let got: Vec<_> = ["a", "b", "c"].iter().flat_map(|body| send(&mut broker, "/queue/x", body)).collect();
    assert_eq!(seen(&got), [(1, "a", false), (1, "b", false)], "a prefetch of two");
    broker.subscribe(BOB, "/queue/x", AckMode::ClientIndividual, Some(1)).unwrap();
    let second = Subscriber { session: 1, subscription: Key::new(1) };
    broker.subscribe(second, "/queue/x", AckMode::Client, None).unwrap();
    let on = broker.gone(1);
    assert_eq!(seen(&on), [], "bob has the c already: his prefetch is one");
    let what = AckRef::Ack("3".into());
    let on = broker.settle(2, &what, Verdict::Ack, true).unwrap();
    assert_eq!(seen(&on), [(2, "a", true)]);
    assert_eq!(seen(&settle(&mut broker, &on[0], Verdict::Ack)), [(2, "b", true)]);
}

#[test]
fn client_acknowledges_everything_before_and_individual_one() {
    for (mode, left) in [(AckMode::Client, vec![]), (AckMode::ClientIndividual, vec![(2, "a", true)])] {
        let mut broker = broker("/queue/x", mode, &[ANN]);
        let got: Vec<_> = ["a", "b"].iter().flat_map(|body| send(&mut broker, "/queue/x", body)).collect();
        assert_eq!(settle(&mut broker, &got[1], Verdict::Ack), []);
        broker.gone(1);
        assert_eq!(seen(&broker.subscribe(BOB, "/queue/x", AckMode::Auto, None).unwrap()), left, "{mode:?}");
    }
}

#[test]
fn a_subscriber_to_a_topic_gets_its_own_back() {
    let mut broker = broker("/topic/x", AckMode::Client, &[ANN, BOB]);
    let got = send(&mut broker, "/topic/x", "a");
    assert_eq!(seen(&settle(&mut broker, &got[0], Verdict::Nack)), [(1, "a", true)]);
    assert_eq!(broker.gone(1), [], "bob has it");
}

#[test]
fn everything_is_bounded() {
    let mut broker = broker("/topic/x", AckMode::Client, &[ANN]);
    let unknown = BrokerError::UnknownDestination("/x".into());
    assert_eq!(broker.send(message("/x", "")), Err(unknown.clone()));
    assert_eq!(broker.subscribe(BOB, "/x", AckMode::Auto, None), Err(unknown));
    assert!(broker.subscribe(BOB, "/queue/", AckMode::Auto, None).is_err());
    assert_eq!(broker.subscribe(ANN, "/topic/y", AckMode::Auto, None), Err(BrokerError::Exists));
    for _ in 0..3 {
        send(&mut broker, "/queue/x", "a");
    }
    assert_eq!(broker.send(message("/queue/x", "a")), Err(BrokerError::Full));
    assert_eq!(broker.send(message("/queue/y", "a")), Err(BrokerError::TooManyDestinations(2)));
    for _ in 0..9 {
        send(&mut broker, "/topic/x", "a slow subscriber misses messages");
    }
    let drained = broker.subscribe(BOB, "/queue/x", AckMode::Auto, None).unwrap();
    assert_eq!(drained.len(), 3);
    assert_eq!(broker.send(message("/queue/x", &"x".repeat(10_000))), Err(BrokerError::Full));
    broker.gone(1);
    broker.gone(2);
    assert_eq!(send(&mut broker, "/queue/y", "a forgotten destination makes room"), []);
    assert_eq!(send(&mut broker, "/queue/z", "a"), []);
}

#[test]
fn the_frame_carries_the_senders_own_headers() {
    let mut broker = broker("/queue/x", AckMode::Client, &[ANN, BOB]);
    let first = send(&mut broker, "/queue/x", "a\0");
    let again = settle(&mut broker, &first[0], Verdict::Nack);
    assert_eq!(
        encoded(&first[0], Version::V1_2, Some("s")),
        b"MESSAGE\nsubscription:s\nack:1\nmessage-id:1\ndestination:/queue/x\ncontent-type:text/plain\ncust:f\\co\\no\n\
          content-length:2\n\na\0\0"
    );
    assert_eq!(
        encoded(&again[0], Version::V1_1, None),
        b"MESSAGE\nmessage-id:2\ndestination:/queue/x\ncontent-type:text/plain\ncust:f\\co\\no\nredelivered:true\n\
          content-length:2\n\na\0\0"
    );
}
