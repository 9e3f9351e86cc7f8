//! `logging`: the access log. What it says is policy; the end of the exchange acts on it.
//!
//! Must hold: a template compiles here, where a misspelt field can still be reported.

use std::time::Duration;

use portway_config::{Decode, Node, Percent, Spanned, choice, config};
use portway_filter::{Built, Compile, FilterKind, LogSpec, Phase};
use portway_telemetry::access_log::{LogFormat, LogOutput, LogPolicy, Template};

config! {
    /// Writes a record of each exchange.
    pub struct LoggingConfig {
        /// How a record is written. Default json, or template if there is a `template`.
        pub format: Option<Spanned<Format>>,
        /// The line of the template format: `$${method} $${path} $${status_code}`. The dollar sign is
        /// doubled because a single one reads an environment variable.
        pub template: Option<Spanned<String>>,
        /// Where records go: stdout, stderr, or the path of a file, which is opened anew on SIGHUP.
        pub output: Spanned<String> = "stdout".to_owned(),
        /// The share of exchanges that is logged.
        pub sample: Percent = Percent::new(100.0),
        /// Exchanges that take longer are logged whatever `sample` says.
        pub slow_over: Option<Duration>,
    }
}

choice! {
    /// How a record is written.
    pub enum Format {
        /// One JSON object a line.
        Json = "json",
        /// One line for people.
        Text = "text",
        /// The line that `template` gives.
        Template = "template",
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "logging",
        summary: "Writes a record of each exchange.",
        phase: Phase::Record,
        scopes: &[],
        schema: LoggingConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = LoggingConfig::decode(node, cx.diagnostics)?;
    if config.output.is_empty() {
        cx.error(
            config.output.span(),
            "an output without a name",
            "use stdout, stderr or a path",
        );
        return None;
    }
    Some(Built::Log(LogSpec {
        format: format(&config, cx)?,
        policy: LogPolicy::new(config.sample.percent(), config.slow_over),
        output: Spanned::new(LogOutput::parse(&config.output), config.output.span()),
    }))
}

fn format(config: &LoggingConfig, cx: &mut Compile<'_>) -> Option<LogFormat> {
    match (&config.format, &config.template) {
        (Some(format), Some(template)) if format.value() != Format::Template => {
            let what = format!("the format `{}` has no template", format.as_str());
            cx.error(
                template.span(),
                what,
                "remove the template, or write `format: template`",
            );
            None
        }
        (_, Some(template)) => match Template::compile(template) {
            Ok(compiled) => Some(LogFormat::Template(compiled)),
            Err(error) => {
                cx.error(template.span(), error.what, error.hint);
                None
            }
        },
        (None, None) => Some(LogFormat::Json),
        (Some(format), None) => match format.value() {
            Format::Json => Some(LogFormat::Json),
            Format::Text => Some(LogFormat::Text),
            Format::Template => {
                let hint = "add one, as in `template: \"$${method} $${path} $${status_code}\"`";
                cx.error(format.span(), "the key `template` is missing", hint);
                None
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{built, problems};

    fn spec(yaml: &str) -> LogSpec {
        match built(kind(), yaml) {
            Built::Log(spec) => spec,
            _ => panic!("not a log"),
        }
    }

    #[test]
    fn logs_everything_as_json_to_standard_output() {
        let expected = LogSpec {
            format: LogFormat::Json,
            policy: LogPolicy::default(),
            output: Spanned::new(LogOutput::Stdout, &portway_core::Span::file("t.yaml")),
        };
        assert_eq!(spec("{}"), expected);
        assert_eq!(spec("{format: json}"), expected);
    }

    #[test]
    fn reads_all_keys() {
        let spec = spec("{format: text, output: /var/log/a.log, sample: 10%, slow_over: 500ms}");
        assert_eq!(spec.format, LogFormat::Text);
        assert_eq!(spec.output, LogOutput::File("/var/log/a.log".into()));
        assert_eq!(
            spec.policy,
            LogPolicy::new(10.0, Some(Duration::from_millis(500)))
        );
    }

    #[test]
    fn takes_a_template() {
        let template = LogFormat::Template(Template::compile("${method} ${path}").unwrap());
        assert_eq!(spec("template: $${method} $${path}").format, template);
        assert_eq!(
            spec("{format: template, template: '$${method} $${path}'}").format,
            template
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_config() {
        assert_eq!(
            problems(kind(), "format: jsn\ntemplate: '$${methd}'"),
            "t.yaml:1:9: error: `jsn` is not a choice here\n  hint: did you mean `json`?\n\
             t.yaml:2:11: error: unknown log field `methd`\n  hint: did you mean `method`?"
        );
        assert!(problems(kind(), "format: template").contains("`template` is missing"));
        let mixed = problems(kind(), "{format: text, template: 'x'}");
        assert!(
            mixed.contains("the format `text` has no template"),
            "{mixed}"
        );
        assert!(problems(kind(), "sample: 110%").contains("a share from 0% to 100%"));
    }
}
