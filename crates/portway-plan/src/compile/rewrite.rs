//! What the target is asked instead of what the client asked.

use std::sync::Arc;

use portway_config::Spanned;
use portway_config::document::Route;
use portway_core::Diagnostics;

use crate::plan::Rewrite;

/// What a route changes about a request's target.
pub(super) fn rewrite(route: &Route, problems: &mut Diagnostics) -> Rewrite {
    let mut rewrite = Rewrite::default();
    if route.strip_prefix.value() {
        match route.prefix.value() {
            Some(prefix) if !prefix.contains('{') => {
                rewrite.strip_prefix = Some(prefix.to_string())
            }
            Some(prefix) => problems.error(
                prefix.span(),
                "a prefix with a parameter cannot be stripped",
                "use `rewrite: { path: \"^/[^/]+(/.*)$ => $1\" }` instead",
            ),
            None if route.prefix.is_written() => {}
            None => problems.error(
                route.strip_prefix.span(),
                format!("route `{}` has no prefix to strip", *route.name),
                "add `prefix`, or remove `strip_prefix`",
            ),
        }
    }
    let Some(config) = &route.rewrite else {
        return rewrite;
    };
    if let Some(path) = &config.path {
        rewrite.path = path_rewrite(path, problems);
    }
    if let Some(host) = &config.host {
        let mut canonical = String::new();
        match portway_http::hygiene::host::parse_authority(host.as_bytes(), &mut canonical) {
            Ok(port) => {
                let port = port.map_or(String::new(), |p| format!(":{p}"));
                rewrite.host = Some(Arc::from(format!("{canonical}{port}")));
            }
            Err(error) => problems.error(
                host.span(),
                format!("`{}` is not a host: {}", **host, error.detail),
                "write a name like users.internal, with a port if needed",
            ),
        }
    }
    rewrite
}

fn path_rewrite(
    text: &Spanned<String>,
    problems: &mut Diagnostics,
) -> Option<(regex::Regex, String)> {
    let Some((pattern, replacement)) = text.split_once("=>") else {
        problems.error(
            text.span(),
            format!("`{}` has no `=>`", **text),
            "write a pattern and what replaces it: \"^/v1/(.*)$ => /$1\"",
        );
        return None;
    };
    match regex::RegexBuilder::new(pattern.trim())
        .size_limit(1 << 20)
        .build()
    {
        Ok(pattern) => {
            check_groups(text, &pattern, replacement.trim(), problems);
            Some((pattern, replacement.trim().to_owned()))
        }
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            let reason = reason.trim_start_matches("error: ");
            problems.error(
                text.span(),
                format!("the pattern does not compile: {reason}"),
                "check its brackets and escapes",
            );
            None
        }
    }
}

/// Notes groups that the replacement names and the pattern does not have: they would be replaced by
/// nothing. The trap is `$1x`, which names a group `1x`.
fn check_groups(
    text: &Spanned<String>,
    pattern: &regex::Regex,
    replacement: &str,
    problems: &mut Diagnostics,
) {
    if !replacement.starts_with(['/', '$']) {
        problems.error(
            text.span(),
            format!("the replacement `{replacement}` does not begin with `/`"),
            "a path begins with `/`",
        );
    }
    // What a path never holds, and what would make the rest a query.
    let odd = |c: char| !c.is_ascii_graphic() || "?#\\".contains(c);
    if let Some(odd) = replacement.chars().find(|c| odd(*c)) {
        let what = match odd {
            '?' => "a query cannot be set here: `?` ends the path".to_owned(),
            odd => format!("a path has no `{}`", odd.escape_default()),
        };
        let hint = "the request keeps its own query; encode other characters, as in %20";
        problems.error(text.span(), what, hint);
    }
    for after in replacement.replace("$$", "").split('$').skip(1) {
        let braced = after.strip_prefix('{').and_then(|a| a.split_once('}'));
        let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let name = match braced {
            Some((name, _)) => name,
            None => &after[..after.find(word).unwrap_or(after.len())],
        };
        let known = match name.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => pattern.capture_names().flatten().any(|n| n == name),
        };
        if !known {
            let digits = name.trim_end_matches(|c: char| !c.is_ascii_digit());
            let hint = if digits.len() < name.len() && digits.parse::<usize>().is_ok() {
                format!("end the number with braces: $${{{digits}}}")
            } else {
                format!(
                    "the pattern has the groups $0 to ${}",
                    pattern.captures_len() - 1
                )
            };
            problems.error(
                text.span(),
                format!("the pattern has no group `${name}`"),
                hint,
            );
        }
    }
}
