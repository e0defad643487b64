//! Sessions from their first request to their end.

use http::StatusCode;

use super::{Client, PATIENCE, SHORT, client};
use crate::{
    listen::sockjs::{Departure, Settings},
    protocol::sockjs::route::Base,
};

#[tokio::test]
async fn what_is_sent_comes_back_to_whoever_receives_next() {
    let client = client();
    assert_eq!(client.post("/s/0/a/xhr_send", "[\"x\"]").await.status, StatusCode::NOT_FOUND, "nobody opened it");
    assert_eq!(client.post("/s/0/a/xhr", "").await.text().await, "o\n");
    assert_eq!(client.post("/s/0/a/xhr_send", "[\"x\",\"y\"]").await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.post("/s/9/a/xhr", "").await.text().await, "a[\"x\",\"y\"]\n", "the server id says nothing");
}

#[tokio::test]
async fn a_stream_goes_on_until_its_limit_and_then_in_the_next() {
    let client = Client::new(Base::new("/s"), Settings { response_limit: 10, ..Settings::default() });
    let mut stream = client.post("/s/0/a/xhr_streaming", "").await;
    assert_eq!(stream.header("x-accel-buffering"), Some("no"));
    assert_eq!(stream.chunk().await.unwrap().len(), 2049);
    assert_eq!(stream.chunk().await.unwrap(), "o\n");
    client.post("/s/0/a/xhr_send", "[\"x\"]").await;
    assert_eq!(stream.chunk().await.unwrap(), "a[\"x\"]\n");
    client.post("/s/0/a/xhr_send", "[\"y\"]").await;
    assert_eq!(stream.chunk().await.unwrap(), "a[\"y\"]\n", "over the limit with this one");
    assert_eq!(stream.chunk().await, None);
    client.post("/s/0/a/xhr_send", "[\"z\"]").await;
    let mut next = client.ask("GET", "/s/0/a/eventsource", &[], "").await;
    assert_eq!(next.chunk().await.unwrap(), "\r\n");
    assert_eq!(next.chunk().await.unwrap(), "data: a[\"z\"]\r\n\r\n");
    assert_eq!(client.echo.0.lock().opened, 1);
}

#[tokio::test]
async fn one_receives_at_a_time_and_a_broken_one_ends_the_session() {
    let client = Client::new(Base::new("/s"), Settings::default());
    let mut first = client.post("/s/0/a/xhr_streaming", "").await;
    first.chunk().await;
    assert_eq!(first.chunk().await.unwrap(), "o\n");
    let second = client.post("/s/0/a/xhr", "").await.text().await;
    assert_eq!(second, "c[2010,\"Another connection still open\"]\n");
    drop(first);
    assert_eq!(client.gone(1).await, [Departure::Interrupted]);
    let third = client.post("/s/0/a/xhr_streaming", "").await.text().await;
    assert!(third.ends_with("h\nc[1002,\"Connection interrupted\"]\n"));
}

#[tokio::test]
async fn a_receiver_waits_for_news_of_the_one_before() {
    let client = Client::new(Base::new("/s"), Settings::default());
    let first = client.post("/s/0/a/xhr_streaming", "").await;
    let (third, ()) = tokio::join!(client.post("/s/0/a/xhr", ""), async { drop(first) });
    assert_eq!(third.text().await, "c[1002,\"Connection interrupted\"]\n");
}

#[tokio::test]
async fn the_end_is_said_to_all_who_ask_until_it_is_forgotten() {
    let client = client();
    client.post("/s/0/a/xhr", "").await;
    client.post("/s/0/a/xhr_send", "[\"bye\"]").await;
    for _ in 0..2 {
        assert_eq!(client.post("/s/0/a/xhr", "").await.text().await, "c[3000,\"Go away!\"]\n");
    }
    let again = async {
        while client.ask("GET", "/s/0/a/jsonp?c=f", &[], "").await.text().await != "f(\"o\");\r\n" {
            tokio::time::sleep(2 * SHORT).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    assert!(client.echo.0.lock().gone.is_empty(), "it ended by itself");
}

#[tokio::test]
async fn a_client_that_does_not_come_back_is_gone() {
    let client = client();
    client.post("/s/0/a/xhr", "").await;
    assert_eq!(client.gone(1).await, [Departure::Silent]);
    assert_eq!(client.post("/s/0/a/xhr_send", "[\"x\"]").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_waiting_client_hears_heartbeats() {
    let client = Client::new(Base::new("/s"), Settings { heartbeat: SHORT, ..Settings::default() });
    client.post("/s/0/a/xhr", "").await;
    assert_eq!(client.post("/s/0/a/xhr", "").await.text().await, "h\n");
    let mut stream = client.post("/s/0/a/xhr_streaming", "").await;
    stream.chunk().await;
    for _ in 0..2 {
        assert_eq!(stream.chunk().await.unwrap(), "h\n");
    }
}
