//! User events: whoever publishes them, one after the other for each name, and whoever listens to them, with a token for that
//! name alone.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use super::Common;
use super::device::{ABANDON_PERCENT, CONNECTED_WITHIN, LONG_TOKEN, said};
use super::outside::turn;
use crate::redis::Connection;
use crate::servers::Servers;
use crate::torture::history::Name;
use crate::torture::history::outside::{Listening, Place, Road, Told, user_event};
use crate::torture::socket::{self, Socket};

/// The listeners of each name: with ids, as they come from the log, or without.
pub(super) const ROADS: [bool; 3] = [true, false, true];

const AGAIN_IN: Duration = Duration::from_millis(200);

/// Publishes events of one name. The next one goes out when the one before was answered, however long that takes, or when
/// the Redis is gone that it was handed to: so their order is known.
pub(super) async fn publish(common: Arc<Common>, servers: Arc<Servers>, name: Name, channel: String) {
    let mut connection: Option<Connection> = None;
    let mut number = 0;
    while turn(&common, common.size.user_event_ms).await {
        let Some(redis) = &mut connection else {
            connection = servers.redis.connect().await.ok();
            continue;
        };
        number += 1;
        let published = common.recorder.publishing(&name, number);
        match redis.command(&["PUBLISH", &channel, &user_event(&name, number)]).await {
            Ok(_) => common.recorder.answered(published),
            Err(_) => connection = None,
        }
    }
}

/// One device that listens to one name.
pub(super) async fn listen(device: u32, name: Name, numbered: bool, common: Arc<Common>) {
    let mut over = common.over.subscribe();
    let mut last = None;
    while !*over.borrow() {
        let life = async {
            match connect(device, &name, numbered, last, &common).await {
                Ok((socket, listening)) => hear(socket, listening, numbered, &mut last, &common).await,
                Err(_) => tokio::time::sleep(AGAIN_IN).await,
            }
        };
        tokio::select! {
            () = life => {}
            // what is still open when the recording ends has no end
            () = said(&mut over) => return,
        }
    }
}

async fn connect(
    device: u32,
    name: &Name,
    numbered: bool,
    last: Option<Place>,
    common: &Common,
) -> Result<(Socket, usize)> {
    let gateway = common.index(common.user_events.len());
    let token = common.tokens.issue(name, LONG_TOKEN)?;
    let listening = |road: Road| {
        let (name, ready) = (name.clone(), common.recorder.now());
        common.recorder.listens(Listening { device, name, gateway, road, ready, end: None, heard: Vec::new() })
    };
    // somebody else's name is not for it
    if common.chance(10) {
        let url = format!("{}?username={name}1", common.user_events[gateway]);
        if let Ok(Ok(_)) = tokio::time::timeout(CONNECTED_WITHIN, socket::open_as(&url, &token)).await {
            let number = listening(Road::Live);
            common.recorder.told(number, Told::Strange(format!("it was let in to {name}1")));
            common.recorder.listens_no_more(number);
        }
    }
    // some begin anew
    let since = last.filter(|_| numbered && common.chance(80));
    let mut url = format!("{}?username={name}", common.user_events[gateway]);
    if numbered {
        url.push_str("&ids=1");
    }
    if let Some((ms, number)) = since {
        let _ = write!(url, "&since={ms}-{number}");
    }
    let connecting = tokio::time::timeout(CONNECTED_WITHIN, socket::open_as(&url, &token));
    let socket = connecting.await.context("no upgrade in time")??;
    let road = if numbered { Road::Log { since } } else { Road::Live };
    Ok((socket, listening(road)))
}

/// Until the connection ends, whoever ends it.
async fn hear(mut socket: Socket, listening: usize, numbered: bool, last: &mut Option<Place>, common: &Common) {
    let (mut reset, mut abandon) = (common.reset.subscribe(), common.abandon.subscribe());
    let mut load_over = common.load_over.subscribe();
    reset.borrow_and_update();
    abandon.borrow_and_update();
    let stay = common.size.stay_ms;
    let lifetime = tokio::time::sleep(common.within_ms(stay / 2..stay * 4));
    tokio::pin!(lifetime);
    loop {
        tokio::select! {
            _ = reset.changed() => break,
            _ = abandon.changed() => if common.chance(ABANDON_PERCENT) {
                common.recorder.listens_no_more(listening);
                common.left_open.lock().push(socket);
                return;
            },
            () = &mut lifetime, if !*load_over.borrow_and_update() => break,
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let told = Told::read(&text, numbered);
                    if let Told::Event { place: Some(place), .. } = &told {
                        *last = Some(*place);
                    }
                    common.recorder.told(listening, told);
                }
                Some(Ok(Message::Binary(bytes))) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    common.recorder.told(listening, Told::Strange(text));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    common.recorder.listens_no_more(listening);
}
