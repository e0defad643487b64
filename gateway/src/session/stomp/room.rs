//! SUBSCRIBE `/topic/rooms.{id}`: the session visits the room as long as it has such a subscription.

use chatcluster_contracts::{
    frame::Join,
    ids::ConversationId,
    problem::{Code, Problem},
    seq::Seq,
};

use super::{Done, Here, MAX_SUBSCRIPTIONS};
use crate::{
    delivery::{Asked, Delivery},
    protocol::stomp::{destination::SubscribeTo, frame::Headers, request::Subscribe},
};

/// Notes the subscription and begins the visit. The receipt is due when it is live.
pub(super) fn subscribe_to_room(
    here: Here<'_>,
    subscribe: &Subscribe,
    room_id: &ConversationId,
    receipt: Option<&str>,
) -> Result<Done, Problem> {
    let Here { shared, session, stomp } = here;
    let asked = Asked::from(asked(&subscribe.headers, room_id.clone())?);
    let is_there = session.shows_room(room_id);
    let to = SubscribeTo::Room(room_id.clone());
    let added = stomp.state.lock().subscriptions.add(&subscribe.name, to, subscribe.ack, MAX_SUBSCRIPTIONS);
    added.map_err(|error| Problem::new(error.code(), error.to_string()))?;
    if is_there {
        return Ok(Done::Now);
    }
    let visit = Delivery::begin_visit(session, room_id)?;
    let (shared, session, receipt) = (shared.clone(), session.clone(), receipt.map(str::to_owned));
    tokio::spawn(async move {
        let visited = shared.delivery.visit(&session, visit, asked).await;
        let Some(stomp) = session.stomp() else { return };
        match (visited, receipt) {
            (Ok(()), Some(receipt)) => stomp.receipt(&session, &receipt),
            (Ok(()), None) => {}
            (Err(problem), receipt) => {
                shared.metrics.refused_frames.inc();
                let reason = stomp.fail(&session, &problem, receipt.as_deref());
                session.close(reason);
            }
        }
    });
    Ok(Done::Later)
}

/// What the client wants of the past: headers `after`, `history` and `since`.
fn asked(headers: &Headers, room_id: ConversationId) -> Result<Join, Problem> {
    let number = |name: &str| match headers.get(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => {
            text.parse::<u64>().map(Some).map_err(|_| Problem::new(Code::InvalidField, format!("{name} is a number")))
        }
    };
    let join = Join {
        room_id,
        after: number("after")?.map(Seq::new),
        history: number("history")?.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        since: headers.get("since").filter(|id| !id.is_empty()).map(str::to_owned),
    };
    join.checked()
}
