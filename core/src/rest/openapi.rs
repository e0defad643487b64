//! The OpenAPI document, generated from the handlers.

use axum::Json;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{
    conversations, events, members, messages, notifications, presence, problem, receipts, sign_in, sync, tickets, users,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "ChatCluster core", description = "Identity, conversations and messages. \
        Errors are RFC 9457 problem documents with a stable `code`."),
    paths(
        super::jwks, users::sign_up, users::find, users::get_one, users::me, sign_in::login, sign_in::refresh,
        sign_in::logout, tickets::issue, conversations::create, conversations::list, conversations::get_one,
        members::add, members::remove, members::list, messages::send, messages::history, events::list, receipts::set,
        receipts::list, sync::sync, notifications::list, notifications::read_one, notifications::read_all, presence::list,
    ),
    components(schemas(problem::ProblemDocument)),
    modifiers(&Bearer),
    security(("token" = [])),
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The document, for whoever wants it without a running server.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi())
}
