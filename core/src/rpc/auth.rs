//! `AuthService`

use chatcluster_contracts::{
    problem::{Code, Problem},
    rpc::{
        HelloRequest, HelloResponse, ListRevocationsRequest, ListRevocationsResponse, RedeemTicketRequest, Revocation,
        VerifyAccessTokenRequest, VerifyAccessTokenResponse, auth_service_server::AuthService,
    },
};
use tonic::{Request, Response, Status, async_trait};

use super::status::status;
use crate::{
    identity::{Caller, Identity},
    store::Store,
};

#[derive(Debug)]
pub(super) struct Auth {
    pub(super) identity: Identity,
    pub(super) store: Store,
}

/// A refusal is an answer; being unable to tell is a failure of the call.
fn answer(caller: Result<Caller, Problem>) -> Result<Response<VerifyAccessTokenResponse>, Status> {
    let answer = match caller {
        Ok(caller) => VerifyAccessTokenResponse {
            valid: true,
            user_id: caller.user_id.as_str().to_owned(),
            workspace_id: caller.workspace_id.as_str().to_owned(),
            expires_at: caller.expires_at,
            token_id: caller.token_id.unwrap_or_default(),
            code: String::new(),
            user_events: caller.user_events.iter().map(ToString::to_string).collect(),
            admin: caller.admin,
            login: caller.login.map(|login| login.to_string()).unwrap_or_default(),
        },
        Err(problem) if matches!(problem.code, Code::Unavailable | Code::Internal) => return Err(status(&problem)),
        Err(problem) => {
            VerifyAccessTokenResponse { code: problem.code.as_str().to_owned(), ..VerifyAccessTokenResponse::default() }
        }
    };
    Ok(Response::new(answer))
}

#[async_trait]
impl AuthService for Auth {
    async fn verify_access_token(
        &self,
        request: Request<VerifyAccessTokenRequest>,
    ) -> Result<Response<VerifyAccessTokenResponse>, Status> {
        answer(self.identity.verify(&request.into_inner().access_token).await)
    }

    async fn redeem_ticket(
        &self,
        request: Request<RedeemTicketRequest>,
    ) -> Result<Response<VerifyAccessTokenResponse>, Status> {
        answer(self.identity.redeem_ticket(&request.into_inner().ticket).await)
    }

    async fn list_revocations(
        &self,
        request: Request<ListRevocationsRequest>,
    ) -> Result<Response<ListRevocationsResponse>, Status> {
        let page = self.store.revocations(request.into_inner().since_ms).await;
        let page = page.map_err(|error| status(&error.into()))?;
        let revocations = page.revocations.iter();
        let revocations = revocations.map(|it| Revocation { login: it.login.to_string(), until: it.until });
        Ok(Response::new(ListRevocationsResponse {
            revocations: revocations.collect(),
            next_since_ms: page.next_since,
            more: page.more,
        }))
    }

    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        Ok(Response::new(HelloResponse { message: request.into_inner().name }))
    }
}
