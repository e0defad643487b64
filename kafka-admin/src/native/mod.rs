//! The one place that calls librdkafka's C interface. Everything in here blocks.
//!
//! Each request has an answer queue of its own. What the client reports besides, e.g. why no broker can be reached,
//! collects in its main queue; it is read with every request, and becomes the reason of a failure.
#![allow(unsafe_code, reason = "the binding wraps neither these requests nor the brokers' explanations")]

mod configs;
mod handle;
mod topics;

use std::{
    ffi::{c_int, c_void},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext,
    bindings::{self as rd, rd_kafka_admin_op_t as Operation},
    client::Client,
    types::{RDKafkaErrorCode as Code, RDKafkaType},
};

use self::handle::{Handle, outcome, text};
pub(crate) use self::topics::Answers;
use crate::error::Failure;

/// While an answer is awaited, the client's reports are read so often.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// librdkafka ends a request that took too long itself; this much later it is taken to have forgotten.
const GRACE: Duration = Duration::from_secs(1);

struct Silent;

impl ClientContext for Silent {}

/// A client. librdkafka runs one thread for it and one for each broker it knows.
pub(crate) struct Native {
    client: Client<Silent>,
    reported: Mutex<Reported>,
}

/// The last things the client complained about.
#[derive(Default)]
struct Reported {
    latest: Option<String>,
    /// Brokers were reached and did not let us in.
    locked_out: Option<(Instant, Failure)>,
}

type Event = Handle<rd::rd_kafka_event_t>;

/// What the C functions that send a request want.
struct Sending {
    client: *mut rd::rd_kafka_t,
    options: *const rd::rd_kafka_AdminOptions_t,
    queue: *mut rd::rd_kafka_queue_t,
}

impl Native {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, Failure> {
        // The binding's messages name the property, not its value.
        let invalid = |error: rdkafka::error::KafkaError| Failure::invalid(error.to_string());
        let native = config.create_native_config().map_err(invalid)?;
        // SAFETY: the configuration lives during the call. With this flag errors are reported in the main queue
        // instead of in the log.
        unsafe { rd::rd_kafka_conf_set_events(native.ptr(), rd::RD_KAFKA_EVENT_ERROR) };
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, Silent).map_err(invalid)?;
        Ok(Self { client, reported: Mutex::default() })
    }

    /// The id that the cluster was formatted with.
    pub(crate) fn cluster_id(&self, timeout: Duration) -> Option<String> {
        let client = self.client.native_ptr();
        // SAFETY: the client lives as long as `self`. The string is ours and goes back below.
        let id = unsafe { rd::rd_kafka_clusterid(client, milliseconds(timeout)) };
        self.read_reports();
        if id.is_null() {
            return None;
        }
        // SAFETY: not null, zero-terminated, and not yet freed.
        let copy = unsafe { text(id) };
        // SAFETY: `rd_kafka_clusterid` asks for exactly this, and nobody has the pointer any more.
        unsafe { rd::rd_kafka_mem_free(client, id.cast::<c_void>()) };
        Some(copy)
    }

    /// Some broker's id, the controller's where that means something.
    pub(crate) fn any_broker(&self, timeout: Duration) -> Option<i32> {
        // SAFETY: the client lives as long as `self`.
        let id = unsafe { rd::rd_kafka_controllerid(self.client.native_ptr(), milliseconds(timeout)) };
        self.read_reports();
        (id >= 0).then_some(id)
    }

    /// Why brokers cannot be reached, as far as the client has said.
    pub(crate) fn unreachable(&self) -> Failure {
        self.timed_out(Instant::now())
    }

    /// Sends a request and waits for its answer. `at_controller`: the request changes topics, and the controller itself
    /// is to be told how long it may take.
    fn call(
        &self,
        operation: Operation,
        timeout: Duration,
        at_controller: bool,
        send: impl FnOnce(&Sending),
    ) -> Result<Event, Failure> {
        let started = Instant::now();
        let client = self.client.native_ptr();
        let options = self.options(operation, timeout, at_controller)?;
        // SAFETY: the client outlives the queue, and the queue is ours to destroy. An answer that comes after that is
        // freed by librdkafka.
        let queue = unsafe { Handle::own(rd::rd_kafka_queue_new(client), rd::rd_kafka_queue_destroy) };
        let queue = queue.ok_or_else(|| Failure::invalid("no queue for the answer"))?;
        send(&Sending { client, options: options.as_ptr(), queue: queue.as_ptr() });
        let given_up = started + timeout + GRACE;
        loop {
            if let Some(event) = poll(&queue, LOOK_EVERY) {
                // SAFETY: the event lives; its message lives as long.
                let answered = unsafe {
                    outcome(rd::rd_kafka_event_error(event.as_ptr()), rd::rd_kafka_event_error_string(event.as_ptr()))
                };
                self.read_reports();
                return match answered {
                    Ok(()) => Ok(event),
                    Err(failure) if waits_for_brokers(failure.code) => Err(self.timed_out(started)),
                    Err(failure) => Err(failure),
                };
            }
            self.read_reports();
            let locked_out = self.reported().locked_out.clone();
            match locked_out {
                Some((at, failure)) if at >= started => return Err(failure),
                _ if Instant::now() >= given_up => return Err(self.timed_out(started)),
                _ => {}
            }
        }
    }

    fn options(
        &self,
        operation: Operation,
        timeout: Duration,
        at_controller: bool,
    ) -> Result<Handle<rd::rd_kafka_AdminOptions_t>, Failure> {
        // SAFETY: the client lives; the options are ours to destroy.
        let options = unsafe {
            let options = rd::rd_kafka_AdminOptions_new(self.client.native_ptr(), operation);
            Handle::own(options, rd::rd_kafka_AdminOptions_destroy)
        };
        let options = options.ok_or_else(|| Failure::invalid("librdkafka does not know this request"))?;
        let mut said = [0; 256];
        // SAFETY: the options live, and the buffer is as long as we say.
        let set = unsafe {
            let set = rd::rd_kafka_AdminOptions_set_request_timeout;
            set(options.as_ptr(), milliseconds(timeout), said.as_mut_ptr(), said.len())
        };
        // SAFETY: librdkafka ends the message with a zero byte; an untouched buffer is an empty message.
        unsafe { outcome(set, said.as_ptr()) }?;
        if at_controller {
            // SAFETY: as above. Half of the time, so that the answer is back before the request is given up.
            let set = unsafe {
                let set = rd::rd_kafka_AdminOptions_set_operation_timeout;
                set(options.as_ptr(), milliseconds(timeout / 2), said.as_mut_ptr(), said.len())
            };
            // SAFETY: as above.
            unsafe { outcome(set, said.as_ptr()) }?;
        }
        Ok(options)
    }

    /// Empties the main queue.
    fn read_reports(&self) {
        // SAFETY: the client lives; this reference to its queue is ours to give back.
        let main =
            unsafe { Handle::own(rd::rd_kafka_queue_get_main(self.client.native_ptr()), rd::rd_kafka_queue_destroy) };
        let Some(main) = main else { return };
        while let Some(event) = poll(&main, Duration::ZERO) {
            // SAFETY: the event lives.
            if unsafe { rd::rd_kafka_event_type(event.as_ptr()) } != rd::RD_KAFKA_EVENT_ERROR {
                continue;
            }
            // SAFETY: the event lives, and its message as long.
            let complaint = unsafe {
                outcome(rd::rd_kafka_event_error(event.as_ptr()), rd::rd_kafka_event_error_string(event.as_ptr()))
            };
            if let Err(failure) = complaint {
                self.reported().note(failure);
            }
        }
    }

    fn reported(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timed_out(&self, started: Instant) -> Failure {
        let reported = self.reported();
        match (&reported.locked_out, &reported.latest) {
            (Some((at, failure)), _) if *at >= started => failure.clone(),
            (_, Some(complaint)) => Failure { code: Code::OperationTimedOut, message: complaint.clone() },
            _ => Failure { code: Code::OperationTimedOut, message: "no broker answered in time".to_owned() },
        }
    }
}

impl Reported {
    fn note(&mut self, failure: Failure) {
        match failure.code {
            Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
                self.locked_out = Some((Instant::now(), failure));
            }
            // It only sums up what was said about each broker.
            Code::AllBrokersDown if self.latest.is_some() => {}
            _ => self.latest = Some(failure.message),
        }
    }
}

/// Says no more than that time passed; the client's own complaints say why.
fn waits_for_brokers(code: Code) -> bool {
    matches!(
        code,
        Code::OperationTimedOut | Code::MessageTimedOut | Code::BrokerTransportFailure | Code::AllBrokersDown
    )
}

fn poll(queue: &Handle<rd::rd_kafka_queue_t>, wait: Duration) -> Option<Event> {
    // SAFETY: the queue lives; what comes out of it is ours to destroy.
    unsafe { Handle::own(rd::rd_kafka_queue_poll(queue.as_ptr(), milliseconds(wait)), rd::rd_kafka_event_destroy) }
}

fn milliseconds(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}
