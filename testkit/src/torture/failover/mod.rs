//! One gateway of two is killed while it holds many sessions: all of them go on at the other, none misses an event or gets
//! one twice, and those who were there already hardly notice.

mod book;
mod client;
mod processors;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::book::Book;
pub use self::book::Figures;
use self::client::Client;
use super::history::Name;
use super::tokens::Tokens;
use crate::crowd::Crowd;
use crate::install::Progress;
use crate::{Api, Deployment, await_condition};

/// Members of one conversation at the gateway that is killed; the others are split likewise.
const MEMBERS: usize = 50;
const TOKEN: Duration = Duration::from_hours(1);
/// A debug build on two loaded cores.
const ONLINE_WITHIN: Duration = Duration::from_mins(2);
/// The shortest time that counts as "during".
const AFTERMATH: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Options {
    /// At the gateway that is killed.
    pub sessions: usize,
    /// At the other one.
    pub others: usize,
    /// Messages a second, over all conversations.
    pub rate: u32,
    /// Before anything is measured: Kafka compiles what it does for the first time, and takes a processor for that.
    pub settle: Duration,
    /// How long it is measured before.
    pub before: Duration,
    /// For all sessions to be back.
    pub within: Duration,
    pub progress: Progress,
}

/// Starts a platform, does it, and tells.
pub async fn run(options: &Options) -> Result<Figures> {
    let say = options.progress;
    let deployment = Deployment::builder().cores(2).workers(2).gateways(2).progress(say).start().await?;
    let api = deployment.api()?;
    let tokens = Tokens::load(&deployment.folder().join("core"), &api).await?;
    say("making users and conversations");
    let users = users(&deployment, options.sessions + options.others).await?;
    let (doomed, others) = users.split_at(options.sessions);
    let rooms = rooms(&api, &tokens, doomed, others).await?;

    let (book, over) = (Arc::new(Book::default()), watch::Sender::new(false));
    // what a thousand have to do at that moment is no part of what the others wait for, who are measured here
    let (crowd, mut clients) = (Crowd::new()?, JoinSet::new());
    for (at, users) in [doomed, others].into_iter().enumerate() {
        for user in users {
            let urls = deployment.gateway_ws_urls().to_vec();
            let client = Client::new(user.clone(), tokens.issue(user, TOKEN)?, urls, at, book.clone());
            let run = client.run(over.subscribe());
            if at == 0 {
                clients.spawn_on(run, crowd.handle())
            } else {
                clients.spawn(run)
            };
        }
    }
    await_condition("all sessions", ONLINE_WITHIN, || async {
        ensure!(book.online() == users.len(), "{} of {}", book.online(), users.len());
        anyhow::Ok(())
    })
    .await?;
    say(&format!("{} sessions; load begins", users.len()));
    let load_over = watch::Sender::new(false);
    let load = tokio::spawn(load(rooms, book.clone(), options.rate, load_over.subscribe()));
    tokio::time::sleep(options.settle).await;
    let (before, idle) = (Instant::now(), processors::used(&deployment));
    tokio::time::sleep(options.before).await;

    say("kill -9 of the gateway that holds most of them");
    let (killed, whole) = (Instant::now(), processors::used(&deployment));
    book.killed(killed);
    deployment.process("gateway-0")?.kill9().await?;
    await_condition("all sessions to be back", options.within, || async {
        ensure!(book.resumed() == doomed.len(), "{} of {}", book.resumed(), doomed.len());
        anyhow::Ok(())
    })
    .await
    .unwrap_or_else(|error| say(&format!("{error:#}")));
    let (back, calm) = (Instant::now(), processors::used(&deployment));
    say(&format!("all are back after {:.1} s", (back - killed).as_secs_f64()));
    tokio::time::sleep((killed + AFTERMATH).saturating_duration_since(Instant::now())).await;
    let after = Instant::now();
    load_over.send_replace(true);
    let heads = load.await.context("the load panicked")??;
    let seen = await_condition("everything to be seen", options.within, || async {
        let lacking = book.lacking(&heads);
        ensure!(lacking == 0, "{lacking} events are missing");
        anyhow::Ok(())
    });
    if let Err(error) = seen.await {
        say(&format!("{error:#}"));
    }
    over.send_replace(true);
    while clients.join_next().await.is_some() {}
    let mut figures = book.figures(options.sessions, &heads, before..killed, killed..after);
    figures.processors_before = whole.since(&idle);
    figures.processors_during = calm.since(&whole);
    deployment.stop().await?;
    Ok(figures)
}

/// Users without a password: a thousand of those would take minutes to hash.
async fn users(deployment: &Deployment, count: usize) -> Result<Vec<Name>> {
    let ids: Vec<Name> = (0..count).map(|index| format!("user-{index}").into()).collect();
    for some in ids.chunks(500) {
        let rows: Vec<String> = some.iter().map(|id| format!("('{id}','default','{id}','{id}',0)")).collect();
        let sql = format!(
            "INSERT INTO users (id, workspace_id, username, display_name, created_at) VALUES {}",
            rows.join(",")
        );
        deployment.query(&sql).await?;
    }
    Ok(ids)
}

/// A conversation and who speaks in it.
struct Room {
    id: Name,
    speaker: Api,
    members: usize,
}

/// Each has some of both, and is spoken in by one whose gateway stays.
async fn rooms(api: &Api, tokens: &Tokens, doomed: &[Name], others: &[Name]) -> Result<Vec<Room>> {
    let count = doomed.len().div_ceil(MEMBERS);
    let rooms = stream::iter(0..count).map(|index| async move {
        let of = |users: &[Name]| -> Vec<Name> { users.iter().skip(index).step_by(count).cloned().collect() };
        let (doomed, others) = (of(doomed), of(others));
        let speaker = others.first().context("there are fewer others than conversations")?;
        let speaker = api.with_token(&tokens.issue(speaker, TOKEN)?);
        let members: Vec<&str> = doomed.iter().chain(&others[1..]).map(|user| &**user).collect();
        let (status, made) = speaker.create_conversation("group", &members).await?;
        ensure!(status == 201, "creating a conversation: {status} {made}");
        let id = made["id"].as_str().context("a conversation without an id")?.into();
        anyhow::Ok(Room { id, speaker, members: members.len() + 1 })
    });
    rooms.buffered(4).try_collect().await
}

/// So many messages a second, whatever happens. Answers the conversations, how far each goes and how many are in it.
async fn load(
    rooms: Vec<Room>,
    book: Arc<Book>,
    rate: u32,
    mut over: watch::Receiver<bool>,
) -> Result<Vec<(Name, u64, usize)>> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    let mut sends = JoinSet::new();
    for number in 0_usize.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = over.wait_for(|over| *over) => break,
        }
        let room = &rooms[number % rooms.len()];
        let (id, speaker, content) = (room.id.clone(), room.speaker.clone(), book.stamp());
        sends.spawn(async move { speaker.send(&id, &format!("m{number}"), &content).await });
        while sends.try_join_next().is_some() {}
    }
    while sends.join_next().await.is_some() {}
    let mut heads = Vec::new();
    for room in rooms {
        let (_, conversation) = room.speaker.get(&format!("/v1/conversations/{}", room.id)).await?;
        let head = conversation["lastSeq"].as_u64().context("a conversation without a head")?;
        heads.push((room.id, head, room.members));
    }
    Ok(heads)
}
