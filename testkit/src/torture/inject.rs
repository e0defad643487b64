//! Does the faults and heals them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::fleet::Common;
use super::history::{Happened, Stillness};
use super::platform::Platform;
use super::schedule::{Fault, Planned};
use crate::Supervised;

/// What was on its way when Redis froze has this long to be committed.
const SETTLE: Duration = Duration::from_millis(1500);
const ASK_WITHIN: Duration = Duration::from_secs(3);
pub(super) const PARTITIONS: i32 = 12;

/// Does one fault now and heals it as late as planned; comes back when everything is up again.
pub(super) async fn inject(planned: &Planned, platform: &Arc<Platform>, common: &Arc<Common>) -> Result<()> {
    let clock = common.recorder.clock;
    let (at, lasts) = (clock.now(), planned.heal.saturating_sub(planned.at));
    act(planned, lasts, platform, common).await.with_context(|| format!("the fault {}", planned.fault.name()))?;
    let healed = clock.now();
    common.recorder.fault(Happened { name: planned.fault.name().to_owned(), target: planned.target, at, healed });
    Ok(())
}

async fn act(planned: &Planned, lasts: Duration, platform: &Arc<Platform>, common: &Arc<Common>) -> Result<()> {
    let of = |kind: &str| platform.deployment.process(&format!("{kind}-{}", planned.target));
    let (mariadb, redis, kafka) = (&platform.servers.mariadb, &platform.servers.redis, &platform.servers.kafka);
    match planned.fault {
        Fault::KillCore => kill(of("core")?, lasts).await,
        Fault::KillWorker => kill(of("worker")?, lasts).await,
        Fault::KillGateway => kill(of("gateway")?, lasts).await,
        Fault::KillMariaDb => kill(mariadb.process(), lasts).await,
        Fault::KillKafka => kill(kafka.process(), lasts).await,
        Fault::KillRedis => kill(redis.process(), lasts).await,
        Fault::FreezeCore => freeze(of("core")?, lasts).await,
        Fault::FreezeWorker => freeze(of("worker")?, lasts).await,
        Fault::FreezeGateway => freeze(of("gateway")?, lasts).await,
        Fault::FreezeMariaDb => freeze(mariadb.process(), lasts).await,
        Fault::FreezeKafka => freeze(kafka.process(), lasts).await,
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
        Fault::ScaleWorkers => restart(of("worker")?, lasts).await,
        Fault::ReadOnlyMariaDb => {
            mariadb.query("mysql", "SET GLOBAL read_only = 1").await?;
            tokio::time::sleep(lasts).await;
            mariadb.query("mysql", "SET GLOBAL read_only = 0").await.map(drop)
        }
        Fault::SlowMariaDb => {
            let seconds = lasts.as_secs_f64();
            let sql = format!("BEGIN; SELECT COUNT(*) FROM conversations FOR UPDATE; DO SLEEP({seconds}); COMMIT");
            mariadb.query(database(platform)?, &sql).await.map(drop)
        }
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
        Fault::CutGatewayCore => {
            platform.gateways_to_cores.iter().for_each(crate::faults::TcpProxy::cut);
            tokio::time::sleep(lasts).await;
            platform.gateways_to_cores.iter().for_each(crate::faults::TcpProxy::heal);
            Ok(())
        }
        Fault::DeafGatewayCore => {
            platform.gateways_to_cores.iter().for_each(|proxy| proxy.deafen(true));
            tokio::time::sleep(lasts).await;
            platform.gateways_to_cores.iter().for_each(|proxy| proxy.deafen(false));
            Ok(())
        }
        Fault::DeafWorkerRedis => {
            platform.workers_to_redis.deafen(true);
            tokio::time::sleep(lasts).await;
            platform.workers_to_redis.deafen(false);
            Ok(())
        }
    }
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
