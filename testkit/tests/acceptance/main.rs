//! The promise as users see it. Every test runs unchanged over the embedded deployment (one process, nothing installed)
//! and the real one (Kafka, Redis, MariaDB, two gateways, separate processes).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod bad_input;
mod crashes;
mod entitlement;
mod idempotence;
mod operations;
mod ordering;
mod outages;
mod outside;
mod participant;
mod resume;
mod sessions;
mod tracing;

use anyhow::Result;
use chatcluster_testkit::Deployment;

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

over_both! {
    ordering::a_thousand_messages_from_three_users_are_seen_in_order_once,
    ordering::who_joins_later_sees_what_follows_and_who_leaves_sees_nothing_more,
    ordering::a_new_conversation_reaches_sessions_that_were_there_before_it,
    resume::a_client_that_resumes_gets_exactly_what_it_missed,
    resume::a_position_resumes_like_a_map,
    resume::a_session_without_resume_goes_on_from_the_delivered_watermark,
    resume::too_long_an_absence_is_said_explicitly,
    idempotence::the_same_client_msg_id_is_one_message,
    entitlement::a_stranger_can_neither_send_nor_read_nor_receive,
    entitlement::a_forged_sender_has_no_effect,
    entitlement::workspaces_and_tokens_are_checked,
    sessions::an_open_socket_is_closed_at_expiry,
    sessions::a_ticket_opens_one_session,
    sessions::receipts_reach_the_sender_as_status,
    sessions::typing_reaches_the_others,
    bad_input::frames_are_refused_and_the_connection_survives,
    bad_input::what_cannot_be_survived_closes_with_its_reason,
    bad_input::rest_answers_problem_documents,
    operations::every_service_shows_health_and_figures,
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
