//! `portway explain`: which route a request takes, and why the others do not.

use http::{HeaderMap, Method};
use portway_admin::{Answer, Question, header};
use portway_core::Clock;
use portway_plan::Plan;

use crate::cli::ExplainArgs;
use crate::source::{Print, Source};
use crate::{Exit, report};

/// Asks the config, and prints the answer.
pub fn explain(args: &ExplainArgs) -> Exit {
    let source = Source::choose(args.config.config.as_deref());
    let loaded = source.load(&portway_filters::all(), &Clock::system(), &Print::default());
    let Some(plan) = loaded.plan else {
        let counts = report::write(&mut std::io::stderr().lock(), &loaded.diagnostics);
        eprintln!("{}: {}", source.name(), report::in_words(counts));
        return Exit::Problem;
    };
    let answer =
        question(args, &plan).and_then(|question| portway_admin::explain(&plan, &question));
    match answer {
        Ok(answer) => {
            print!("{answer}{}", targets(&answer, &plan));
            Exit::Fine
        }
        Err(why) => {
            eprintln!("portway explain: {why}");
            Exit::Problem
        }
    }
}

fn question(args: &ExplainArgs, plan: &Plan) -> Result<Question, String> {
    let (authority, target) = split(&args.url)?;
    let method = Method::from_bytes(args.method.as_bytes())
        .map_err(|_| format!("`{}` is no method", args.method))?;
    let mut headers = HeaderMap::new();
    for field in &args.headers {
        let (name, value) = header(field)?;
        headers.append(name, value);
    }
    // A Host field names the host, as it does for curl.
    let host = headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .map(str::to_owned);
    let port = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    let by_port = plan
        .listeners
        .iter()
        .find(|listener| Some(listener.bind.port()) == port);
    Ok(Question {
        listener: args
            .listener
            .clone()
            .or_else(|| by_port.map(|listener| listener.name.to_string())),
        authority: host.unwrap_or(authority),
        target,
        method,
        headers,
    })
}

/// `http://host:port/path?query`, `host/path` or `/path` to authority and target.
fn split(url: &str) -> Result<(String, String), String> {
    let rest = match url.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some((scheme, _)) => return Err(format!("scheme `{scheme}` is not http or https")),
        None => url,
    };
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(at);
    let authority = if authority.is_empty() {
        "localhost"
    } else {
        authority
    };
    let target = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("/{target}")
    };
    Ok((authority.to_owned(), target))
}

/// The targets as the config has them: health is known only to a running gateway.
fn targets(answer: &Answer, plan: &Plan) -> String {
    let mut text = String::new();
    for (id, weight) in &answer.upstreams {
        let Some(spec) = plan.upstreams.get(id.index()) else {
            continue;
        };
        let share = if answer.upstreams.len() > 1 {
            format!(", weight {weight}")
        } else {
            String::new()
        };
        text += &format!(
            "upstream `{}` ({}{share}):\n",
            spec.name,
            spec.balance.policy.name()
        );
        match &spec.source {
            portway_discovery::SourceSpec::Static(targets) => {
                for target in targets {
                    text += &format!(
                        "  {}:{} weight {}\n",
                        target.host, target.port, target.weight
                    );
                }
            }
            other => text += &format!("  found by {}\n", other.name()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_urls_as_people_write_them() {
        let parts = |url| split(url).unwrap();
        let is = |a: &str, t: &str| (a.to_owned(), t.to_owned());
        assert_eq!(
            parts("http://a.example:81/x?q#f"),
            is("a.example:81", "/x?q")
        );
        assert_eq!(parts("a.example"), is("a.example", "/"));
        assert_eq!(parts("https://a.example?q=1"), is("a.example", "/?q=1"));
        assert_eq!(parts("/x"), is("localhost", "/x"));
        assert!(split("ftp://a/").is_err());
    }
}
