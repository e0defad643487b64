//! The message path as users see it: what every deployment has to do, whatever it runs on. The tests run it over one
//! process and over separate ones, `testkit e2e` through the Services of a cluster.

pub mod bad_input;
pub mod entitlement;
pub mod fallback;
pub mod idempotence;
pub mod operations;
pub mod ordering;
pub mod participant;
pub mod resume;
pub mod sessions;
pub mod tracing;

use anyhow::Result;
use futures_util::future::BoxFuture;

use crate::Deployment;

/// Something that is to be so.
pub type Acceptance = for<'a> fn(&'a Deployment) -> BoxFuture<'a, Result<()>>;

/// Everything that needs no settings of its own and looks at nothing but the platform's ports: the names go to the macro
/// that is named, behind what is given.
#[macro_export]
macro_rules! acceptances {
    ($then:ident: $($before:tt)*) => {
        $then! {
            $($before)*
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
            sessions::a_ticket_opens_one_session,
            sessions::receipts_reach_the_sender_as_status,
            sessions::typing_reaches_the_others,
            bad_input::frames_are_refused_and_the_connection_survives,
            bad_input::what_cannot_be_survived_closes_with_its_reason,
            bad_input::rest_answers_problem_documents,
            fallback::a_polling_session_is_found_by_every_request,
            operations::every_service_shows_health_and_figures,
        }
    };
}

macro_rules! collect {
    ($($module:ident::$name:ident,)*) => {
        vec![$((stringify!($name), (|deployment| Box::pin($module::$name(deployment))) as Acceptance),)*]
    };
}

/// All of [`acceptances!`](crate::acceptances) with their names.
pub fn through_ports() -> Vec<(&'static str, Acceptance)> {
    acceptances! { collect: }
}
