//! The promise as users see it. Every test runs unchanged over the embedded deployment (one process, nothing installed)
//! and the real one (Kafka, Redis, MariaDB, two gateways, separate processes).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod crashes;
mod outages;
mod outside;

use anyhow::Result;
use chatcluster_testkit::Deployment;
use chatcluster_testkit::acceptance::{
    bad_input, entitlement, fallback, idempotence, operations, ordering, resume, sessions, tracing,
};

/// Shows what the processes had to say when a test failed, and stops them in an orderly way when it did not.
async fn conclude(deployment: Deployment, outcome: Result<()>) -> Result<()> {
    if let Err(error) = outcome {
        for process in deployment.processes() {
            eprintln!("--- {} (last lines)\n{}", process.name(), process.log_tail(25));
        }
        return Err(error);
    }
    deployment.stop().await
}

macro_rules! suite {
    ($deployment:ident = $start:expr => $($module:ident::$test:ident,)*) => {
        mod $deployment {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() -> Result<()> {
                    let deployment = $start.await?;
                    let outcome = $module::$test(&deployment).await;
                    conclude(deployment, outcome).await
                }
            )*
        }
    };
}

macro_rules! over_both {
    ($($tests:tt)*) => {
        suite! { embedded = Deployment::embedded() => $($tests)* }
        suite! { real = Deployment::on_shared_servers(1, 1, 2) => $($tests)* }
    };
}

chatcluster_testkit::acceptances! { over_both:
    sessions::an_open_socket_is_closed_at_expiry,
    tracing::one_id_follows_a_message,
}

suite! {
    embedded_settings = Deployment::embedded() =>
    outside::an_outside_issuers_subject_is_itself_and_nobody_else,
}

suite! {
    embedded_crash = Deployment::embedded() =>
    crashes::the_one_process_is_killed_while_sending,
}

suite! {
    real_crash = Deployment::on_shared_servers(2, 2, 2) =>
    crashes::a_core_is_killed_while_sending,
    crashes::a_worker_is_killed_while_sending,
    crashes::a_gateway_is_killed_while_sending,
}

suite! {
    real_outage = Deployment::real(1, 1, 2) =>
    outages::kafka_redis_and_the_database_are_away_for_a_while,
    outages::redis_forgets_everything,
}
