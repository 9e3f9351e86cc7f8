//! Every metric the gateway exposes: its name after the namespace, type, labels and help text.
//!
//! Must hold: names and labels are a contract with dashboards and alerts, so they change only
//! together with their documentation. A label value comes from the config or from a closed list,
//! never from a client.

/// What a metric's samples mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations by size.
    Histogram,
}

macro_rules! metrics {
    ($($variant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        /// One metric family.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Metric {
            $(#[doc = $help] $variant,)*
        }

        impl Metric {
            /// Every metric, in the order of the exposition.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant),*];

            /// The name without the namespace and its underscore.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name,)* }
            }

            /// What its samples mean.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Metric::$variant => Kind::$kind,)* }
            }

            /// The label names, in the order in which values are given.
            #[must_use]
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Metric::$variant => &[$($label),*],)* }
            }

            /// The text of the `HELP` line.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Metric::$variant => $help,)* }
            }
        }
    };
}

metrics! {
    Requests = "requests_total", Counter, ["route", "method", "status"],
        "Exchanges finished.";
    RequestDuration = "request_duration_seconds", Histogram, ["route", "method"],
        "From the first byte of a request to the last byte of its reply, in seconds.";
    UpstreamDuration = "upstream_duration_seconds", Histogram, ["upstream"],
        "Time an exchange spent with its upstream, all tries, in seconds.";
    RequestSize = "request_size_bytes", Histogram, [],
        "Bytes received from clients per exchange.";
    ResponseSize = "response_size_bytes", Histogram, [],
        "Bytes sent to clients per exchange.";
    ActiveRequests = "active_requests", Gauge, [],
        "Exchanges on their way now.";
    ActiveConnections = "active_connections", Gauge, ["listener"],
        "Client connections open now.";
    Connections = "connections_total", Counter, ["listener", "code"],
        "Connections of tcp and tls listeners that ended, by why (`ok` if both sides closed), and connections any listener refused.";
    ConnectionDuration = "connection_duration_seconds", Histogram, ["listener"],
        "From accepting a connection of a tcp or tls listener to its end, in seconds.";
    ConnectionReceived = "connection_received_bytes_total", Counter, ["listener"],
        "Bytes passed from clients to targets by tcp and tls listeners.";
    ConnectionSent = "connection_sent_bytes_total", Counter, ["listener"],
        "Bytes passed from targets to clients by tcp and tls listeners.";
    RequestErrors = "request_errors_total", Counter, ["route", "code"],
        "Exchanges the gateway answered by itself, by reason.";
    GrpcCalls = "grpc_calls_total", Counter, ["route", "grpc_status"],
        "gRPC calls finished, by how they ended.";
    TargetHealth = "target_health", Gauge, ["upstream", "target"],
        "1 if the target may be used, 0 if not.";
    BreakerState = "circuit_breaker_state", Gauge, ["upstream"],
        "0 closed, 1 open, 2 half-open.";
    RateLimitHits = "rate_limit_hits_total", Counter, ["route"],
        "Exchanges refused by a rate limit.";
    Retries = "retries_total", Counter, ["upstream"],
        "Tries after the first.";
    ConfigReloads = "config_reloads_total", Counter, ["result"],
        "Attempts to load a changed config, by result.";
    ConfigGeneration = "config_generation", Gauge, [],
        "Number of the config in use; grows by one with each that was applied.";
    AccessLogDropped = "access_log_dropped_total", Counter, [],
        "Access-log records lost because their output was full, slow or broken.";
    MirrorDropped = "mirror_dropped_total", Counter, [],
        "Mirrored requests not sent because too many were on their way or the body was too large.";
    Http2Floods = "http2_floods_total", Counter, ["kind"],
        "HTTP/2 connections ended because they sent too many frames that cost them nothing.";
    Http3Floods = "http3_floods_total", Counter, ["kind"],
        "HTTP/3 connections ended because they sent too many frames that cost them nothing.";
    TlsHandshakes = "tls_handshakes_total", Counter, ["listener", "version", "cipher", "handshake"],
        "TLS handshakes with clients that went well, by version, cipher and whether they were resumed.";
    TlsHandshakeFailures = "tls_handshake_failures_total", Counter, ["listener", "reason"],
        "TLS handshakes with clients that failed, by reason.";
    CertificateExpiry = "tls_certificate_expiry_timestamp_seconds", Gauge, ["listener", "certificate"],
        "Until when a listener's certificate is valid, in seconds since the Unix epoch; 0 while none has been issued.";
    AcmeOrders = "acme_orders_total", Counter, ["result"],
        "Certificates ordered (ACME): issued, or failed.";
    ProcessCpu = "process_cpu_seconds_total", Counter, [],
        "User and system time of the process, in seconds.";
    ProcessMemory = "process_resident_memory_bytes", Gauge, [],
        "Resident memory of the process, in bytes.";
    ProcessOpenFds = "process_open_fds", Gauge, [],
        "File descriptors open now.";
    ProcessMaxFds = "process_max_fds", Gauge, [],
        "File descriptors the process may open.";
    ProcessStart = "process_start_time_seconds", Gauge, [],
        "When the process started, in seconds since the Unix epoch.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counters_end_in_total() {
        for metric in Metric::ALL {
            assert_eq!(
                metric.name().ends_with("_total"),
                metric.kind() == Kind::Counter,
                "{}",
                metric.name()
            );
        }
    }
}
