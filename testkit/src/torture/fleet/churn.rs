//! Members who come and go while messages are sent, by REST.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Common;
use super::cast::Room;
use crate::torture::history::Name;

const EVERY: Duration = Duration::from_millis(700);
const REST_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn churn(common: Arc<Common>, rooms: Vec<Room>, churners: Vec<Name>) {
    let mut load_over = common.load_over.subscribe();
    let mut inside: HashSet<(Name, Name)> = HashSet::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
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
