//! How far a client has acknowledged, per conversation: the delivered watermark follows only what was acknowledged without
//! a gap. Pure.

use chatcluster_contracts::{ids::ConversationId, seq::Seq};

#[derive(Debug, Clone)]
struct Mark {
    conversation: ConversationId,
    /// The highest seq acknowledged.
    highest: Seq,
    /// The lowest seq that was refused, or given up unacknowledged: nothing from here on counts.
    refused: Option<Seq>,
    /// What core was told last.
    told: Seq,
}

/// 8 bytes where nothing is acknowledged.
#[derive(Debug, Clone, Default)]
#[expect(clippy::box_collection, reason = "a thin pointer where most sessions have nothing")]
pub(super) struct Watermarks(Option<Box<Vec<Mark>>>);

impl Watermarks {
    /// The client acknowledged these; `waiting` are those that it has not acknowledged yet. Returns the watermarks that
    /// rose.
    pub(super) fn acknowledge(
        &mut self,
        acknowledged: &[(ConversationId, Seq)],
        waiting: &[(ConversationId, Seq)],
    ) -> Vec<(ConversationId, Seq)> {
        for (conversation, seq) in acknowledged {
            let mark = self.of(conversation);
            mark.highest = mark.highest.max(*seq);
        }
        let mut risen = Vec::new();
        for mark in self.0.iter_mut().flat_map(|marks| marks.iter_mut()) {
            if !acknowledged.iter().any(|(conversation, _)| *conversation == mark.conversation) {
                continue;
            }
            let open = waiting.iter().filter(|(conversation, _)| *conversation == mark.conversation);
            let lowest = open.map(|(_, seq)| *seq).chain(mark.refused).min();
            let reached = lowest.map_or(mark.highest, |lowest| mark.highest.min(lowest.previous()));
            if reached > mark.told {
                mark.told = reached;
                risen.push((mark.conversation.clone(), reached));
            }
        }
        risen
    }

    /// What core was told, and may not have stored yet.
    pub(super) fn told(&self) -> impl Iterator<Item = (&ConversationId, Seq)> {
        let told = self.0.iter().flat_map(|marks| marks.iter()).map(|mark| (&mark.conversation, mark.told));
        told.filter(|(_, seq)| *seq > Seq::ZERO)
    }

    /// These will not be acknowledged in this session.
    pub(super) fn refuse(&mut self, refused: &[(ConversationId, Seq)]) {
        for (conversation, seq) in refused {
            let mark = self.of(conversation);
            mark.refused = Some(mark.refused.map_or(*seq, |lowest| lowest.min(*seq)));
        }
    }

    fn of(&mut self, conversation: &ConversationId) -> &mut Mark {
        let marks = self.0.get_or_insert_default();
        let at = marks.iter().position(|mark| mark.conversation == *conversation).unwrap_or_else(|| {
            let conversation = conversation.clone();
            marks.push(Mark { conversation, highest: Seq::ZERO, refused: None, told: Seq::ZERO });
            marks.len() - 1
        });
        &mut marks[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(of: &[(&str, u64)]) -> Vec<(ConversationId, Seq)> {
        of.iter().map(|(id, seq)| (ConversationId::parse(id).unwrap(), Seq::new(*seq))).collect()
    }

    #[test]
    fn it_rises_over_what_has_no_gap() {
        let mut marks = Watermarks::default();
        let mut acknowledge = |acknowledged: &[_], waiting: &[_]| {
            let risen = marks.acknowledge(&events(acknowledged), &events(waiting));
            risen.iter().map(|(id, seq)| format!("{id}={seq}")).collect::<Vec<_>>()
        };
        assert_eq!(acknowledge(&[("a", 3)], &[("a", 1), ("a", 2), ("b", 7)]), [""; 0], "1 waits");
        assert_eq!(acknowledge(&[("a", 1)], &[("a", 2), ("b", 7)]), ["a=1"]);
        assert_eq!(acknowledge(&[("a", 2)], &[("b", 7)]), ["a=3"], "3 was acknowledged before");
        assert_eq!(acknowledge(&[("a", 3)], &[("b", 7)]), [""; 0], "told already");
        assert_eq!(acknowledge(&[("b", 7), ("a", 5)], &[]), ["a=5", "b=7"]);
        marks.refuse(&events(&[("c", 1)]));
        assert_eq!(marks.told().map(|(id, seq)| format!("{id}={seq}")).collect::<Vec<_>>(), ["a=5", "b=7"]);
    }

    #[test]
    fn it_stops_before_what_was_refused() {
        let mut marks = Watermarks::default();
        marks.refuse(&events(&[("a", 4), ("a", 2)]));
        assert_eq!(marks.acknowledge(&events(&[("a", 1), ("a", 3)]), &[]), events(&[("a", 1)]));
        assert_eq!(marks.acknowledge(&events(&[("a", 5)]), &[]), []);
    }

    #[test]
    fn it_costs_nothing_where_nothing_is_acknowledged() {
        assert_eq!(size_of::<Watermarks>(), 8);
    }
}
