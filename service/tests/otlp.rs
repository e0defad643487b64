//! A traced hop reaches the collector under the message's own trace id; an untraced one does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::time::Duration;

use chatcluster_contracts::trace::TraceParent;
use chatcluster_service::{
    telemetry::{self, LogFormat, LogOptions},
    trace::hop,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hops_reach_the_collector_under_the_messages_trace_id() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (spans, mut exported) = mpsc::unbounded_channel();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(spans)));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let options = LogOptions {
        log_format: LogFormat::Json,
        log_level: "warn".into(),
        otlp_endpoint: Some(endpoint),
        trace_rate: 1,
    };
    let telemetry = telemetry::init("chatcluster-test", &options).unwrap();
    let traced = TraceParent { trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, parent_id: 7, sampled: true };
    drop(hop("test.untraced", &TraceParent { sampled: false, ..traced }).entered());
    drop(hop("test.traced", &traced).entered());
    // what is left is sent when the process ends
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();

    let request = tokio::time::timeout(Duration::from_secs(20), exported.recv()).await.unwrap().unwrap();
    let spans: Vec<_> = request.resource_spans.iter().flat_map(|it| &it.scope_spans).flat_map(|it| &it.spans).collect();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(spans[0].name, "test.traced");
    assert_eq!(spans[0].trace_id, traced.trace_id.to_be_bytes());
    assert_eq!(spans[0].parent_span_id, 7_u64.to_be_bytes());
}
