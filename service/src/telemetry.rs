//! Logs to standard error, spans to an OTLP collector when one is configured.

use anyhow::Context;
use clap::{Args, ValueEnum};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line, for log collectors.
    Json,
}

#[derive(Debug, Clone, Args)]
pub struct LogOptions {
    /// How log lines look
    #[arg(long, env = "CHATCLUSTER_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// What is logged: a level, or directives such as `info,chatcluster_gateway=debug`
    #[arg(long, env = "CHATCLUSTER_LOG_LEVEL", default_value = "info", value_parser = crate::config::log_directives)]
    pub log_level: String,

    /// OTLP collector for traces (gRPC), such as `http://otel-collector:4317`; none: traces stay in the log
    #[arg(long, env = "CHATCLUSTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// How many messages a second a gateway traces; the rest keep their id but are not logged hop by hop
    #[arg(long, env = "CHATCLUSTER_TRACE_RATE", default_value_t = 50, value_name = "MESSAGES/S")]
    pub trace_rate: u32,
}

/// Keeps telemetry alive; sends what is left when dropped.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Sets up logs and traces of this process. Must run inside the tokio runtime when OTLP is configured.
pub fn init(service: &'static str, options: &LogOptions) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(&options.log_level)
        .with_context(|| format!("--log-level {:?} is not understood", options.log_level))?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    let format = match options.log_format {
        LogFormat::Text => format.with_target(false).boxed(),
        LogFormat::Json => format.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    let provider = options.otlp_endpoint.as_deref().map(|endpoint| provider(service, endpoint)).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer(service)).with_filter(
            tracing_subscriber::filter::filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == crate::trace::TARGET
            }),
        )
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(format.with_filter(filter))
        .try_init()
        .context("failed to install the log subscriber")?;
    Ok(Telemetry { provider })
}

fn provider(service: &'static str, endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("--otlp-endpoint {endpoint:?} is not usable"))?;
    let resource = Resource::builder().with_service_name(service).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.provider
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}
