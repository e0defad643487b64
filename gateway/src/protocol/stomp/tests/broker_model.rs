//! A queue under any sequence of subscribers, losses and acknowledgements.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    super::{
        broker::{Broker, BrokerError, BrokerLimits, Delivery, Subscriber},
        request::{AckMode, AckRef, Verdict},
        subscriptions::Key,
    },
    broker::message,
};

#[derive(Debug, Clone, Copy)]
enum Step {
    Send,
    Subscribe(u64, AckMode),
    Gone(u64),
    /// Of the messages that wait for an acknowledgement, one.
    Settle(prop::sample::Index, Verdict),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mode = prop::sample::select(vec![AckMode::Auto, AckMode::Client, AckMode::ClientIndividual]);
    let verdict = prop::sample::select(vec![Verdict::Ack, Verdict::Nack]);
    let step = prop_oneof![
        4 => Just(Step::Send),
        2 => (1..4_u64, mode).prop_map(|(session, mode)| Step::Subscribe(session, mode)),
        1 => (1..4_u64).prop_map(Step::Gone),
        4 => (any::<prop::sample::Index>(), verdict).prop_map(|(which, verdict)| Step::Settle(which, verdict)),
    ];
    prop::collection::vec(step, 0..60)
}

/// What a queue's users hold: every message is with one subscriber at a time, and done once.
#[derive(Default)]
struct Model {
    modes: Vec<(u64, AckMode)>,
    /// Session, tag, message.
    held: Vec<(u64, u64, String)>,
    done: BTreeSet<String>,
}

impl Model {
    fn take(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let body = String::from_utf8(delivery.message.body.to_vec()).unwrap();
            assert!(self.held.iter().all(|(_, _, held)| *held != body), "{body} is with two at a time");
            assert!(!self.done.contains(&body), "{body} was acknowledged before");
            if delivery.needs_ack {
                self.held.push((delivery.to.session, delivery.tag.to_string().parse().unwrap(), body));
            } else {
                self.done.insert(body);
            }
        }
    }

    fn settled(&mut self, session: u64, tag: u64, verdict: Verdict) {
        let cumulative = self.modes.contains(&(session, AckMode::Client));
        let covered = |held: &(u64, u64, String)| held.0 == session && (held.1 == tag || cumulative && held.1 < tag);
        let (settled, held) = std::mem::take(&mut self.held).into_iter().partition(covered);
        self.held = held;
        let settled: Vec<(u64, u64, String)> = settled;
        if verdict == Verdict::Ack {
            self.done.extend(settled.into_iter().map(|(_, _, body)| body));
        }
    }
}

const FORGOTTEN: &str = "destinations: {},";
const EMPTY: &str = " bytes: 0 }";

proptest! {
    #[test]
    fn a_queue_loses_nothing_and_doubles_nothing(steps in steps()) {
        let mut broker = Broker::new(BrokerLimits { prefetch: 2, ..BrokerLimits::default() });
        let mut model = Model::default();
        let mut sent = 0;
        for step in steps {
            let deliveries = match step {
                Step::Send => {
                    sent += 1;
                    broker.send(message("/queue/x", &format!("{sent:03}"))).unwrap()
                }
                Step::Subscribe(session, mode) => {
                    let to = Subscriber { session, subscription: Key::new(0) };
                    match broker.subscribe(to, "/queue/x", mode, None) {
                        Ok(deliveries) => {
                            model.modes.push((session, mode));
                            deliveries
                        }
                        Err(error) => {
                            prop_assert_eq!(error, BrokerError::Exists);
                            vec![]
                        }
                    }
                }
                Step::Gone(session) => {
                    model.modes.retain(|(other, _)| *other != session);
                    model.held.retain(|(other, _, _)| *other != session);
                    broker.gone(session)
                }
                Step::Settle(which, verdict) if !model.held.is_empty() => {
                    let &(session, tag, _) = which.get(&model.held);
                    model.settled(session, tag, verdict);
                    broker.settle(session, &AckRef::Ack(tag.to_string()), verdict, true).unwrap()
                }
                Step::Settle(..) => vec![],
            };
            model.take(&deliveries);
        }
        for session in 1..4 {
            model.held.retain(|(other, _, _)| *other != session);
            model.take(&broker.gone(session));
        }
        let rest = broker.subscribe(Subscriber { session: 1, subscription: Key::new(0) }, "/queue/x", AckMode::Auto, None).unwrap();
        let bodies: Vec<_> = rest.iter().map(|delivery| delivery.message.body.clone()).collect();
        prop_assert!(bodies.is_sorted(), "what comes back keeps its place: {:?}", bodies);
        model.take(&rest);
        prop_assert_eq!(model.done.len(), sent);
        broker.gone(1);
        let left = format!("{broker:?}");
        prop_assert!(left.contains(FORGOTTEN), "{}", left);
        prop_assert!(left.ends_with(EMPTY), "{}", left);
    }
}
