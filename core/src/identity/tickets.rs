//! Tickets: for clients that cannot set a header. Random, single use, short-lived; only the hash is stored.

use std::time::Duration;

use chatcluster_contracts::problem::{Code, Problem};

use super::{Caller, Identity, hash_token, random_token};
use crate::{clock, store::Ticket};

pub(crate) const TICKET_TTL: Duration = Duration::from_secs(30);

impl Identity {
    /// A ticket that stands for the caller's token once.
    pub async fn issue_ticket(&self, caller: &Caller) -> Result<String, Problem> {
        let ticket = random_token();
        let stands_for = Ticket {
            user_id: caller.user_id.clone(),
            workspace_id: caller.workspace_id.clone(),
            token_id: caller.token_id.clone(),
            login: caller.login,
            token_expires_at: caller.expires_at,
            user_events: caller.user_events.clone(),
        };
        let expires = clock::now_ms().saturating_add_unsigned(TICKET_TTL.as_secs() * 1_000);
        self.store.add_ticket(&hash_token(&ticket), &stands_for, expires).await?;
        Ok(ticket)
    }

    pub async fn redeem_ticket(&self, ticket: &str) -> Result<Caller, Problem> {
        let unknown = || Problem::new(Code::Unauthenticated, "the ticket is unknown, used or expired");
        let ticket = self.store.redeem_ticket(&hash_token(ticket)).await?.ok_or_else(unknown)?;
        if ticket.token_expires_at <= clock::now().as_second() {
            return Err(Problem::new(Code::TokenExpired, "the token behind the ticket has expired"));
        }
        self.revocations.check(ticket.login)?;
        Ok(Caller {
            user_id: ticket.user_id,
            workspace_id: ticket.workspace_id,
            token_id: ticket.token_id,
            login: ticket.login,
            expires_at: ticket.token_expires_at,
            user_events: ticket.user_events,
            // nobody opens a session to look at figures
            admin: false,
        })
    }
}
