//! Members who come and go while messages are sent, by REST.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Common;
use super::cast::Room;
use crate::torture::history::Name;

const REST_WITHIN: Duration = Duration::from_secs(5);

/// Somebody comes and goes in every conversation.
pub(super) async fn once(common: &Common, rooms: &[Room], churner: &Name) -> Result<()> {
    for room in rooms {
        let api = common.api_of(&room.owner)?;
        for (status, answer) in [api.add_member(&room.id, churner).await?, api.remove_member(&room.id, churner).await?]
        {
            ensure!(status < 300, "{status} {answer}");
        }
    }
    Ok(())
}

pub(super) async fn churn(common: Arc<Common>, rooms: Vec<Room>, churners: Vec<Name>) {
    let every = Duration::from_millis(common.size.churn_ms);
    let mut load_over = common.load_over.subscribe();
    let mut inside: HashSet<(Name, Name)> = HashSet::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = load_over.wait_for(|over| *over) => return,
        }
        let (room, user) = (&rooms[common.index(rooms.len())], &churners[common.index(churners.len())]);
        let Ok(api) = common.api_of(&room.owner) else { continue };
        let place = (room.id.clone(), user.clone());
        // a change that was not answered may have been made: then the next one changes nothing
        if inside.remove(&place) {
            let _ = tokio::time::timeout(REST_WITHIN, api.remove_member(&room.id, user)).await;
        } else {
            let _ = tokio::time::timeout(REST_WITHIN, api.add_member(&room.id, user)).await;
            inside.insert(place);
        }
    }
}
