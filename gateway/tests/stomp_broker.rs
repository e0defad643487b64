//! The plain message broker of conformance mode, as users of other brokers know them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use support::{
    binary::Binary as Gateway,
    stomp::{Frame, Stomp, frame},
};

async fn guest(gateway: &Gateway) -> Stomp {
    let mut client = Stomp::open(&format!("ws://{}/stomp", gateway.address)).await;
    client.connect("guest", &[("login", "guest")]).await;
    client
}

fn bodies(client: &Stomp) -> Vec<&str> {
    client.seen.iter().filter(|frame| frame.command == "MESSAGE").map(|frame| frame.body.as_str()).collect()
}

/// The nth message, once it is there.
async fn message(client: &mut Stomp, n: usize) -> Frame {
    loop {
        if let Some(message) = client.seen.iter().filter(|frame| frame.command == "MESSAGE").nth(n - 1) {
            return message.clone();
        }
        client.until("MESSAGE").await;
    }
}

async fn subscribe(client: &mut Stomp, id: &str, destination: &str, ack: &str) {
    client.done("SUBSCRIBE", &[("id", id), ("destination", destination), ("ack", ack)], "").await;
}

#[tokio::test]
async fn a_topic_gives_everybody_every_message_in_order() {
    let gateway = Gateway::start();
    let mut clients = Vec::new();
    // some alike, some with an id of their own, more than are shared
    for n in 0..40 {
        let mut client = guest(&gateway).await;
        let id = if n < 20 { "sub-0".to_owned() } else { format!("own-{n}") };
        subscribe(&mut client, &id, "/topic/t", if n % 5 == 0 { "client" } else { "auto" }).await;
        clients.push((id, client));
    }
    let mut sender = guest(&gateway).await;
    let all: String =
        (0..300).map(|n| frame("SEND", &[("destination", "/topic/t"), ("own", "a:b")], &n.to_string())).collect();
    sender.send_bytes(all.as_bytes()).await;
    for (id, client) in &mut clients {
        while bodies(client).len() < 300 {
            client.until("MESSAGE").await;
        }
        assert_eq!(bodies(client), (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
        let mut ids: Vec<&str> = client.seen.iter().filter_map(|frame| frame.get("message-id")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 300, "each message has an id of its own");
        let message = client.seen.last().unwrap();
        assert_eq!((message.header("subscription"), message.header("own")), (id.as_str(), "a:b"));
        assert_eq!(message.header("destination"), "/topic/t");
    }
}

#[tokio::test]
async fn a_queue_gives_each_message_to_one_and_again_to_another() {
    let gateway = Gateway::start();
    let (mut one, mut other) = (guest(&gateway).await, guest(&gateway).await);
    one.done("SEND", &[("destination", "/queue/q")], "first").await;
    subscribe(&mut one, "s", "/queue/q", "client-individual").await;
    let first = message(&mut one, 1).await;
    assert_eq!((first.body.as_str(), first.get("redelivered")), ("first", None));
    subscribe(&mut other, "s", "/queue/q", "client-individual").await;
    one.done("NACK", &[("id", first.header("ack"))], "").await;
    let again = message(&mut other, 1).await;
    assert_eq!((again.body.as_str(), again.get("redelivered")), ("first", Some("true")));
    // its connection is lost
    drop(other);
    let third = message(&mut one, 2).await;
    assert_eq!((third.body.as_str(), third.get("redelivered")), ("first", Some("true")));
    one.done("ACK", &[("id", third.header("ack"))], "").await;
    one.done("UNSUBSCRIBE", &[("id", "s")], "").await;
    subscribe(&mut one, "t", "/queue/q", "auto").await;
    one.done("SEND", &[("destination", "/queue/q")], "last").await;
    assert_eq!(message(&mut one, 3).await.body, "last");
}

#[tokio::test]
async fn only_the_guest_and_only_plain_destinations() {
    let gateway = Gateway::start();
    let ended = async |frames: &[(&str, &[(&str, &str)])]| {
        let mut client = Stomp::open(&format!("ws://{}/stomp", gateway.address)).await;
        for (command, headers) in frames {
            client.send(command, headers, "").await;
        }
        client.until_closed().await.unwrap()
    };
    let guest: &[(&str, &str)] = &[("login", "guest"), ("passcode", "guest"), ("accept-version", "1.2")];
    let other: &[(&str, &str)] = &[("login", "guest"), ("passcode", "other")];
    assert_eq!(ended(&[("CONNECT", other)]).await.header("code"), "bad_credentials");
    for frame in [
        ("SUBSCRIBE", &[("id", "s"), ("destination", "/user/queue/messages")][..]),
        ("SEND", &[("destination", "/app/chat")]),
        ("ACK", &[("id", "7")]),
        ("COMMIT", &[("transaction", "t")]),
    ] {
        assert_eq!(ended(&[("STOMP", guest), frame]).await.header("code"), "not_found", "{frame:?}");
    }
}

#[tokio::test]
async fn a_transaction_is_sent_as_a_whole_or_not_at_all() {
    let gateway = Gateway::start();
    let mut client = guest(&gateway).await;
    subscribe(&mut client, "s", "/topic/t", "auto").await;
    for transaction in ["kept", "dropped"] {
        client.done("BEGIN", &[("transaction", transaction)], "").await;
        for _ in 0..2 {
            client.send("SEND", &[("destination", "/topic/t"), ("transaction", transaction)], transaction).await;
        }
    }
    client.done("ABORT", &[("transaction", "dropped")], "").await;
    client.done("SEND", &[("destination", "/topic/t")], "outside").await;
    client.done("COMMIT", &[("transaction", "kept")], "").await;
    while bodies(&client).len() < 3 {
        client.until("MESSAGE").await;
    }
    assert_eq!(bodies(&client), ["outside", "kept", "kept"]);
    let message: &Frame = client.seen.iter().rfind(|frame| frame.command == "MESSAGE").unwrap();
    assert_eq!(message.get("transaction"), None);
}

#[tokio::test]
async fn a_reader_that_stalls_holds_up_the_others_only_a_little() {
    let gateway = Gateway::start();
    let (mut reader, mut stalled) = (guest(&gateway).await, guest(&gateway).await);
    for client in [&mut reader, &mut stalled] {
        subscribe(client, "s", "/topic/t", "auto").await;
    }
    let mut sender = guest(&gateway).await;
    let body = "x".repeat(1 << 20);
    let send = frame("SEND", &[("destination", "/topic/t")], &body);
    for _ in 0..20 {
        sender.send_bytes(send.as_bytes()).await;
        reader.until("MESSAGE").await;
    }
    assert_eq!(stalled.until_closed().await.unwrap().header("code"), "slow_consumer");
}
