//! Not a test of speed but a look at it: `cargo test -p chatcluster-core --test suite throughput -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use chatcluster_core::domain::conversation::Kind;

use crate::support::{TestStore, conversation, message, on_mariadb, sqlite};

async fn measure(store: &TestStore, senders: usize, distinct: bool) {
    let mut conversations = Vec::new();
    for sender in 0..senders {
        if sender == 0 || distinct {
            let names: Vec<String> = (0..senders).map(|i| format!("u{i}")).collect();
            let members: Vec<&str> =
                if distinct { vec![&names[sender]] } else { names.iter().map(String::as_str).collect() };
            conversations.push(conversation(store, Kind::Group, &members).await);
        }
    }
    let end = Instant::now() + Duration::from_secs(4);
    let tasks: Vec<_> = (0..senders)
        .map(|sender| {
            let store = store.store.clone();
            let conversation = conversations[sender % conversations.len()].clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let name = format!("{}-{distinct}-{}", senders, times.len());
                    let started = Instant::now();
                    store.send(message(&format!("u{sender}"), &conversation, &name, "hello there")).await.unwrap();
                    times.push(started.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    times.sort();
    let at = |q: usize| times[(times.len() - 1) * q / 100];
    println!(
        "{senders:3} senders, {}: {:6}/s  p50 {:?} p99 {:?}",
        if distinct { "own conversations" } else { "one conversation " },
        times.len() / 4,
        at(50),
        at(99)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn sends_per_second() {
    for (name, store) in [("mariadb", on_mariadb().await), ("sqlite", sqlite().await)] {
        println!("{name}");
        for (senders, distinct) in [(1, true), (8, true), (32, true), (8, false), (32, false)] {
            measure(&store, senders, distinct).await;
        }
    }
}
