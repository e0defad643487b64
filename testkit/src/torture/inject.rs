//! Does the faults and heals them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::fleet::Common;
use super::history::{Happened, Stillness};
use super::platform::{Platform, SPARE_WORKERS, WORKERS};
use super::schedule::{Fault, Planned};
use crate::faults::{SmallDisk, TcpProxy, WallClock};
use crate::{Kafka, Supervised};

/// What was on its way when Redis froze has this long to be committed.
const SETTLE: Duration = Duration::from_millis(1500);
/// How wrong a clock is, in seconds.
const AHEAD: u32 = 600;
const ASK_WITHIN: Duration = Duration::from_secs(3);
pub(super) const PARTITIONS: i32 = 12;
/// What cannot be read.
pub(super) const POISON: &str = "no event at all";

/// Does one fault now and heals it as late as planned; comes back when everything is up again.
pub(super) async fn inject(planned: &Planned, platform: &Arc<Platform>, common: &Arc<Common>) -> Result<()> {
    let _alone = platform.busy[planned.fault.victim() as usize].lock().await;
    let clock = common.recorder.clock;
    let (at, lasts) = (clock.now(), planned.heal.saturating_sub(planned.at));
    act(planned, lasts, platform, common).await.with_context(|| format!("the fault {}", planned.fault.name()))?;
    let gateway = planned.fault.is_of_one_gateway().then_some(planned.target);
    let name = planned.fault.name().to_owned();
    common.recorder.fault(Happened { name, gateway, at, healed: clock.now() });
    Ok(())
}

async fn act(planned: &Planned, lasts: Duration, platform: &Arc<Platform>, common: &Arc<Common>) -> Result<()> {
    let of = |kind: &str| platform.deployment.process(&format!("{kind}-{}", planned.target));
    let (mariadb, redis) = (&platform.servers.mariadb, &platform.servers.redis);
    let brokers: Vec<&Supervised> = platform.servers.brokers().map(Kafka::process).collect();
    let ways = &platform.ways;
    match planned.fault {
        Fault::KillCore => kill(of("core")?, lasts).await,
        Fault::KillWorker => kill(of("worker")?, lasts).await,
        Fault::KillGateway => kill(of("gateway")?, lasts).await,
        Fault::KillMariaDb => kill(mariadb.process(), lasts).await,
        Fault::KillKafka => try_join_all(brokers.iter().map(|broker| kill(broker, lasts))).await.map(drop),
        Fault::KillBroker => kill(brokers[planned.target % brokers.len()], lasts).await,
        Fault::KillRedis => kill(redis.process(), lasts).await,
        Fault::FillMariaDb => {
            fill(mariadb.disk(), lasts).await?;
            mariadb.process().start_again().await
        }
        Fault::FillKafka => {
            let kafka = &platform.servers.kafka;
            fill(kafka.disk(), lasts).await?;
            kill(kafka.process(), Duration::ZERO).await
        }
        Fault::JumpCoreClock => jump(platform.clocks.core.as_ref(), lasts).await,
        Fault::JumpGatewayClock => jump(platform.clocks.gateway.as_ref(), lasts).await,
        Fault::FreezeCore => freeze(of("core")?, lasts).await,
        Fault::FreezeWorker => freeze(of("worker")?, lasts).await,
        Fault::FreezeGateway => freeze(of("gateway")?, lasts).await,
        Fault::FreezeMariaDb => freeze(mariadb.process(), lasts).await,
        Fault::FreezeKafka => try_join_all(brokers.iter().map(|broker| freeze(broker, lasts))).await.map(drop),
        Fault::FreezeRedis => {
            redis.process().pause()?;
            let still = stillness(platform, common, lasts).await;
            redis.process().resume()?;
            // Kafka may be away at the same time: then there is nothing to compare
            if let Ok(still) = still {
                common.recorder.stillness(still);
            }
            Ok(())
        }
        Fault::DrainGateway => restart(of("gateway")?, lasts).await,
        Fault::ScaleWorkers => scale_workers(of("worker")?, lasts, platform).await,
        Fault::ReadOnlyMariaDb => {
            mariadb.query("mysql", "SET GLOBAL read_only = 1").await?;
            tokio::time::sleep(lasts).await;
            mariadb.query("mysql", "SET GLOBAL read_only = 0").await.map(drop)
        }
        Fault::LockMariaDb => {
            let seconds = lasts.as_secs_f64();
            let sql = format!("BEGIN; SELECT COUNT(*) FROM conversations FOR UPDATE; DO SLEEP({seconds}); COMMIT");
            mariadb.query(database(platform)?, &sql).await.map(drop)
        }
        Fault::SlowMariaDb => slow(&ways.cores_to_mariadb(), lasts).await,
        Fault::CutCommit => {
            cut_again_and_again(ways.cores_to_mariadb()[planned.target], lasts, common).await;
            Ok(())
        }
        Fault::TwoRelays => {
            let until = Instant::now() + lasts;
            while Instant::now() < until {
                let free = "UPDATE relay_leases SET holder = '', held_until = 0";
                mariadb.query(database(platform)?, free).await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Ok(())
        }
        Fault::PoisonTopic => poison(platform).await,
        Fault::FlushRedis => redis.flush().await,
        Fault::TrimStream => {
            let prefix = &platform.deployment.namespace().context("no namespace")?.redis_prefix;
            let key = format!("{prefix}gatewayId:gateway-{}:stream", planned.target);
            for _ in 0..5 {
                redis.command(&["XTRIM", &key, "MAXLEN", "0"]).await?;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            Ok(())
        }
        Fault::ResetClients => {
            common.reset_all();
            Ok(())
        }
        Fault::HalfOpenClients => {
            common.abandon_some();
            Ok(())
        }
        Fault::CutGatewayCore => cut(&ways.gateways_to_cores(), lasts).await,
        Fault::CutGatewayRedis => cut(&ways.gateways_to_redis(), lasts).await,
        Fault::IsolateGateway => cut(&ways.of_gateway(planned.target), lasts).await,
        Fault::DeafGatewayCore => deafen(&ways.gateways_to_cores(), lasts).await,
        Fault::DeafGatewayRedis => deafen(&ways.gateways_to_redis(), lasts).await,
        Fault::DeafWorkerRedis => deafen(&[&ways.workers_to_redis], lasts).await,
        Fault::DeafCoreMariaDb => deafen(&ways.cores_to_mariadb(), lasts).await,
    }
}

async fn cut(ways: &[&TcpProxy], lasts: Duration) -> Result<()> {
    each(ways, TcpProxy::cut);
    tokio::time::sleep(lasts).await;
    each(ways, TcpProxy::heal);
    Ok(())
}

async fn deafen(ways: &[&TcpProxy], lasts: Duration) -> Result<()> {
    each(ways, |way| way.deafen(true));
    tokio::time::sleep(lasts).await;
    each(ways, |way| way.deafen(false));
    Ok(())
}

/// Answers wait, most of the time.
async fn slow(ways: &[&TcpProxy], lasts: Duration) -> Result<()> {
    let until = Instant::now() + lasts;
    while Instant::now() < until {
        deafen(ways, Duration::from_millis(450)).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn each(ways: &[&TcpProxy], act: impl Fn(&TcpProxy)) {
    for way in ways {
        act(way);
    }
}

/// Each time some requests go through, and the last of them reaches the server without being answered.
async fn cut_again_and_again(way: &TcpProxy, lasts: Duration, common: &Common) {
    let until = Instant::now() + lasts;
    while Instant::now() < until {
        let segments = common.dice.lock().within(5..60);
        way.cut_after(segments);
        while !way.is_cut() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        way.heal();
    }
}

/// One goes, all that there are come, and all but the usual ones go again.
async fn scale_workers(one: &Supervised, lasts: Duration, platform: &Platform) -> Result<()> {
    one.stop().await?;
    tokio::time::sleep(lasts / 4).await;
    let spare: Vec<String> = (WORKERS..WORKERS + SPARE_WORKERS).map(|index| format!("worker-{index}")).collect();
    let spare: Vec<&Supervised> = spare.iter().map(|name| platform.deployment.process(name)).collect::<Result<_>>()?;
    try_join_all(spare.iter().map(|worker| worker.start_again()).chain([one.start_again()])).await?;
    tokio::time::sleep(lasts / 2).await;
    try_join_all(spare.iter().map(|worker| worker.stop())).await?;
    Ok(())
}

/// Records that are no events, at places where others are being written.
async fn poison(platform: &Arc<Platform>) -> Result<()> {
    let namespace = platform.deployment.namespace().context("no namespace")?.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &namespace.kafka_bootstrap_servers).create()?;
        for topic in ["message.all", "message.created", "message.ingest"] {
            let topic = format!("{}{topic}", namespace.kafka_prefix);
            for partition in 0..PARTITIONS {
                let record = BaseRecord::to(&topic).partition(partition).key(POISON).payload(POISON);
                producer.send(record).map_err(|(error, _)| error)?;
            }
        }
        producer.flush(ASK_WITHIN * 5)
    });
    writing.await.context("writing to Kafka panicked")?.context("failed to write to Kafka")
}

async fn kill(process: &Supervised, lasts: Duration) -> Result<()> {
    process.kill9().await?;
    tokio::time::sleep(lasts).await;
    process.start_again().await
}

async fn freeze(process: &Supervised, lasts: Duration) -> Result<()> {
    process.pause()?;
    tokio::time::sleep(lasts).await;
    process.resume()
}

async fn fill(disk: Option<&SmallDisk>, lasts: Duration) -> Result<()> {
    let disk = disk.context("there is no disk to fill")?;
    disk.fill()?;
    tokio::time::sleep(lasts).await;
    disk.free()
}

async fn jump(clock: Option<&WallClock>, lasts: Duration) -> Result<()> {
    let clock = clock.context("the clock cannot be set")?;
    clock.set_ahead(AHEAD)?;
    tokio::time::sleep(lasts).await;
    clock.set_ahead(0)
}

async fn restart(process: &Supervised, lasts: Duration) -> Result<()> {
    process.stop().await?;
    tokio::time::sleep(lasts).await;
    process.start_again().await
}

fn database(platform: &Platform) -> Result<&str> {
    Ok(&platform.deployment.namespace().context("no namespace")?.database_name)
}

/// Looks at the committed offsets a little after Redis has frozen and a little before it thaws.
async fn stillness(platform: &Arc<Platform>, common: &Common, lasts: Duration) -> Result<Stillness> {
    let start = tokio::time::Instant::now();
    let at = common.recorder.now();
    tokio::time::sleep(SETTLE).await;
    let first = committed(platform).await;
    tokio::time::sleep_until(start + lasts.saturating_sub(Duration::from_millis(300))).await;
    let last = committed(platform).await;
    Ok(Stillness { at, first: first?, last: last? })
}

async fn committed(platform: &Arc<Platform>) -> Result<BTreeMap<i32, i64>> {
    let namespace = platform.deployment.namespace().context("no namespace")?.clone();
    let asking = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &namespace.kafka_bootstrap_servers)
            .set("group.id", format!("{}fanout-worker-group", namespace.kafka_prefix))
            .create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition(&format!("{}message.all", namespace.kafka_prefix), partition);
        }
        let answered = consumer.committed_offsets(list, ASK_WITHIN)?;
        let offset = |offset: Offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        let offsets = answered.elements().iter().map(|at| (at.partition(), offset(at.offset()))).collect();
        Ok::<_, rdkafka::error::KafkaError>(offsets)
    });
    asking.await.context("asking Kafka panicked")?.context("failed to ask for committed offsets")
}
