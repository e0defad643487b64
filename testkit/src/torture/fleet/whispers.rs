//! Conversations in which one thing is said, and then nothing: a lost event leaves no gap there that a later one would
//! show. Some of the listeners reconnect at that very moment.

use std::sync::Arc;
use std::time::Duration;

use super::Common;
use super::device::{Handle, Order};
use crate::torture::history::Name;

const REST_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn whisper(common: Arc<Common>, whisperers: Vec<Handle>, listeners: Vec<Handle>) {
    let every = Duration::from_millis(common.size.whisper_ms);
    let mut load_over = common.load_over.subscribe();
    let mut rounds = tokio::task::JoinSet::new();
    for number in 0_usize.. {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = load_over.wait_for(|over| *over) => break,
        }
        let from = whisperers[number % whisperers.len()].clone();
        let to = listeners[common.index(listeners.len())].clone();
        rounds.spawn(round(common.clone(), from, to, number));
        while rounds.try_join_next().is_some() {}
    }
    while rounds.join_next().await.is_some() {}
}

async fn round(common: Arc<Common>, from: Handle, to: Handle, number: usize) {
    let Ok(api) = common.api_of(&from.user) else { return };
    let members = [&*to.user];
    let making = tokio::time::timeout(REST_WITHIN, api.create_conversation("group", &members));
    // while core is away there is one whisper less
    let Ok(Ok((201, made))) = making.await else { return };
    let Some(conversation) = made["id"].as_str().map(Name::from) else { return };
    if common.chance(common.size.startled_percent) {
        let _ = to.orders.send(Order::Reconnect);
        let pause = common.within_ms(0..400);
        tokio::time::sleep(pause).await;
    }
    from.whisper(&common, &conversation, format!("w{number}"));
}
