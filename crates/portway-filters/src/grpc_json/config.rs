//! The settings of `grpc_json`, and the way from them to the filter.
//!
//! Must hold: what is wrong with a descriptor set is said at the place in the config that names it, or the
//! service that it is about.

use std::sync::Arc;
use std::time::Duration;

use portway_config::{Address, Decode, Node, Scheme, Size, Spanned, choice, config, defaults};
use portway_filter::{Built, Compile, Service};
use portway_tls::spec::Verify;
use portway_tls::{Alpn, ConnectSpec};

use super::GrpcJson;
use super::overlay::{QueryRules, Unknown};
use super::print::Print;
use super::rules::{self, Problem, Selection};
use super::status::Details;
use super::told::Streams;

/// A descriptor set is no larger, octets: all of googleapis has 30 MiB.
const SET_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Services are asked for their descriptors no more often.
const REFRESH_MIN: Duration = Duration::from_secs(1);
/// A message may be no larger, octets: each one is held whole.
const MESSAGE_BYTES_MAX: u64 = 256 * 1024 * 1024;

choice! {
    /// What becomes of what a message has no field for.
    pub enum UnknownFields {
        /// The request is refused, and told which one it is.
        Reject = "reject",
        /// It is left out.
        Ignore = "ignore",
    }
}

choice! {
    /// What becomes of requests that no method is bound to.
    pub enum Unmatched {
        /// They are refused.
        Refuse = "refuse",
        /// They go on as they are.
        Pass = "pass",
    }
}

choice! {
    /// How the messages of a stream are put together, unless `Accept` says it.
    pub enum StreamForm {
        /// As one JSON array.
        Array = "array",
        /// One message to a line.
        Ndjson = "ndjson",
    }
}

config! {
    /// Serves gRPC services to clients that speak JSON.
    pub struct GrpcJsonConfig {
        /// The file of the services' descriptors with all their imports, as made by `protoc
        /// --include_imports --descriptor_set_out`, which is watched; or `grpc://HOST:PORT`, with TLS
        /// `grpcs://HOST:PORT`, where the services tell their descriptors by server reflection.
        pub descriptors: Spanned<String>,
        /// From one question to the next, whether services that tell their descriptors tell others by now.
        pub refresh: Spanned<Duration> = Duration::from_secs(60),
        /// The services, with their packages; none for all that are in the file.
        pub services: Vec<Spanned<String>> = Vec::new(),
        /// What of a path goes before the paths of the bindings.
        pub prefix: Option<Spanned<String>>,
        /// Whether `POST /package.Service/Method` is bound to each method as well.
        pub unbound_methods: bool = false,
        /// What becomes of requests that no method is bound to.
        pub unmatched: Unmatched = Unmatched::Refuse,
        /// What becomes of query parameters and members of bodies that no field has.
        pub unknown_fields: UnknownFields = UnknownFields::Reject,
        /// Query parameters that are for somebody else, as an API key is.
        pub ignored_query: Vec<String> = Vec::new(),
        /// How the messages of a stream are put together, unless `Accept` says it.
        pub streams: StreamForm = StreamForm::Array,
        /// How messages are printed.
        pub print: PrintConfig = defaults(),
        /// The most octets of one message, either way.
        pub max_message: Spanned<Size> = Size(4 * 1024 * 1024),
    }
}

config! {
    /// How messages are printed.
    pub struct PrintConfig {
        /// Also fields that have their default value.
        pub defaults: bool = false,
        /// Enums as numbers.
        pub enum_numbers: bool = false,
        /// Names of fields as in the proto file, instead of lowerCamelCase.
        pub proto_names: bool = false,
    }
}

/// Makes the filter. `None` after an error was noted.
pub(super) fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = GrpcJsonConfig::decode(node, cx.diagnostics)?;
    let prefix = prefix(&config, cx);
    let max = config.max_message.bytes();
    let sized = (1..=MESSAGE_BYTES_MAX).contains(&max);
    if !sized {
        let what = "a message has between 1B and 256MiB";
        cx.error(config.max_message.span(), what, "set a size, as in 4MiB");
    }
    let set = match service(&config, cx)? {
        Some(service) => cx.ask(&config.descriptors, &service)?,
        None => cx.read(&config.descriptors, "the descriptor set", SET_BYTES_MAX)?,
    };
    let pool = match rules::read(&set) {
        Ok(pool) => pool,
        Err(problem) => {
            note(&config, &problem, cx);
            return None;
        }
    };
    let wanted = Selection {
        services: config.services.iter().map(|s| (**s).clone()).collect(),
        unbound: config.unbound_methods,
    };
    let mut problems = Vec::new();
    let rules = rules::compile(&pool, &wanted, &mut problems);
    for problem in &problems {
        note(&config, problem, cx);
    }
    let good = problems.iter().all(|problem| problem.is_warning);
    let prefix = prefix.filter(|_| good && sized)?;
    Some(Built::Filter(Arc::new(GrpcJson {
        rules,
        details: Arc::new(Details::new(pool)),
        prefix,
        pass_unmatched: config.unmatched == Unmatched::Pass,
        query: QueryRules {
            unknown: match config.unknown_fields {
                UnknownFields::Reject => Unknown::Reject,
                UnknownFields::Ignore => Unknown::Ignore,
            },
            ignored: config.ignored_query.clone(),
        },
        streams: match config.streams {
            StreamForm::Array => Streams::Array,
            StreamForm::Ndjson => Streams::Lines,
        },
        print: Print {
            defaults: config.print.defaults,
            enum_numbers: config.print.enum_numbers,
            proto_names: config.print.proto_names,
        },
        message_bytes_max: usize::try_from(max).unwrap_or(usize::MAX),
    })))
}

/// The service that tells its descriptors; `Some(None)` if a file has them. `None` after an error was noted.
#[allow(clippy::option_option)] // the outer one is the way of compile steps
fn service(config: &GrpcJsonConfig, cx: &mut Compile<'_>) -> Option<Option<Service>> {
    if !config.descriptors.contains("://") {
        return Some(None);
    }
    let at = match Address::read(&config.descriptors) {
        Ok(at) if matches!(at.scheme, Some(Scheme::Grpc | Scheme::Grpcs)) => at,
        Ok(at) => {
            let scheme = at.scheme.map_or("", Scheme::as_str);
            let what = format!("no service tells its descriptors at `{scheme}://`");
            let hint = "write grpc://HOST:PORT or grpcs://HOST:PORT, or the path of a file";
            cx.error(config.descriptors.span(), what, hint);
            return None;
        }
        Err(no) => {
            let what = format!("no service to tell its descriptors: {}", no.what);
            let hint = format!("{}, as in grpc://HOST:PORT", no.hint);
            cx.error(config.descriptors.span(), what, hint);
            return None;
        }
    };
    let refresh = config.refresh.value();
    if refresh < REFRESH_MIN {
        let what = format!("services are asked no more often than every {REFRESH_MIN:?}");
        cx.error(config.refresh.span(), what, "set a longer time, as in 60s");
        return None;
    }
    // Where the service is some upstream's target, that upstream's settings take the place of these.
    let tls = (at.scheme == Some(Scheme::Grpcs)).then(|| ConnectSpec {
        at: Spanned::new((), config.descriptors.span()),
        ca: None,
        server_name: None,
        client: None,
        verify: Verify::Yes,
        alpn: vec![Alpn::H2],
    });
    Some(Some(Service { at, tls, refresh }))
}

fn prefix(config: &GrpcJsonConfig, cx: &mut Compile<'_>) -> Option<Box<str>> {
    let Some(prefix) = &config.prefix else {
        return Some(Box::default());
    };
    if !prefix.starts_with('/') {
        let what = format!("the prefix `{}` does not begin with `/`", **prefix);
        cx.error(prefix.span(), what, "write it as in /api");
        return None;
    }
    Some(prefix.trim_end_matches('/').into())
}

fn note(config: &GrpcJsonConfig, problem: &Problem, cx: &mut Compile<'_>) {
    let service = problem.service.and_then(|at| config.services.get(at));
    let span = service.unwrap_or(&config.descriptors).span();
    let what = format!("{}: {}", *config.descriptors, problem.what);
    if problem.is_warning {
        cx.warn(span, what, &*problem.hint);
    } else {
        cx.error(span, what, &*problem.hint);
    }
}
