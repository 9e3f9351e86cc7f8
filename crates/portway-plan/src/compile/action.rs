//! What becomes of a route's exchanges: to which upstreams they go, or what answers them.

use portway_config::Spanned;
use portway_config::document::{self, Route};
use portway_core::{Diagnostics, Span, UpstreamId};

use super::replies::{redirect, respond, static_files};
use super::routes::Names;
use super::upstreams::{hash_on, too_heavy};
use crate::plan::{Action, Mirror, Split};

/// What becomes of a route's exchanges.
pub(super) fn action(
    index: usize,
    route: &Route,
    names: &Names<'_>,
    problems: &mut Diagnostics,
) -> Action {
    /// Stands in for an action with a problem; the plan it is in is thrown away.
    const BROKEN: Action = Action::Upstream(UpstreamId(0));
    const ONE_OF: &str = "write one of upstream, targets, split, redirect, respond, static";
    let (usable, written) = route.actions();
    let name = &*route.name;
    if written.len() != 1 {
        let what = match written.as_slice() {
            [] => format!("route `{name}` does nothing with its requests"),
            several => format!("route `{name}` has {}", in_words(several)),
        };
        problems.error(route.name.span(), what, ONE_OF);
        return BROKEN;
    }
    let sticks = matches!(usable.first(), Some(document::Action::Split(_)));
    if let Some(sticky) = route
        .sticky_by
        .as_ref()
        .filter(|_| !sticks && !usable.is_empty())
    {
        problems.warn(
            sticky.span(),
            "`sticky_by` does nothing without `split`",
            "remove it, or split the route",
        );
    }
    match usable.first() {
        None => BROKEN,
        Some(document::Action::Upstream(upstream)) => {
            let of = format!("route `{name}`");
            find_upstream(upstream, &of, names, problems).map_or(BROKEN, Action::Upstream)
        }
        Some(document::Action::Targets(_)) => {
            let at = names.document.inline.get(index).copied().flatten();
            at.map_or(BROKEN, |at| Action::Upstream(UpstreamId(at as u32)))
        }
        Some(document::Action::Split(shares)) => split(shares, route, names, problems),
        Some(document::Action::Redirect(to)) => {
            redirect(to, problems).map_or(BROKEN, Action::Redirect)
        }
        Some(document::Action::Respond(with)) => {
            respond(with, problems).map_or(BROKEN, Action::Respond)
        }
        Some(document::Action::Static(files)) => {
            Action::Static(static_files(files, route, problems))
        }
    }
}

/// The upstream of a name that `of` (a route or a listener) names.
pub(super) fn find_upstream(
    name: &Spanned<String>,
    of: &str,
    names: &Names<'_>,
    problems: &mut Diagnostics,
) -> Option<UpstreamId> {
    let found = names.upstreams.find(name);
    let named = &names.document.named;
    let excused = named.nameless || named.broken_upstreams.contains(name.as_str());
    if found.is_none() && !excused {
        let what = format!("{of} names the unknown upstream `{}`", **name);
        problems.error(name.span(), what, names.upstreams.hint(name));
    }
    found
}

fn split(
    shares: &Spanned<portway_config::Each<document::Share>>,
    route: &Route,
    names: &Names<'_>,
    problems: &mut Diagnostics,
) -> Action {
    let mut parts = Vec::new();
    let of = format!("route `{}`", *route.name);
    for share in shares.iter() {
        too_heavy(&share.weight, problems);
        if let Some(id) = find_upstream(&share.upstream, &of, names, problems) {
            parts.push((id, share.weight.value()));
        }
    }
    if shares.complete && shares.iter().all(|s| s.weight.value() == 0) {
        let (what, hint) = if shares.is_empty() {
            (
                "the split has no upstreams",
                "add at least two `{ upstream: …, weight: … }`",
            )
        } else {
            (
                "all weights of the split are 0",
                "give at least one upstream a weight of 1 or more",
            )
        };
        problems.error(shares.span(), what, hint);
    }
    Action::Split(Split {
        parts,
        sticky_by: route.sticky_by.as_ref().map(|on| hash_on(on, problems)),
    })
}

/// Where a copy of the requests goes.
pub(super) fn mirror(
    route: &Route,
    names: &Names<'_>,
    problems: &mut Diagnostics,
) -> Option<Mirror> {
    let config = route.mirror.as_ref()?;
    let of = format!("route `{}`", *route.name);
    let upstream = find_upstream(&config.upstream, &of, names, problems)?;
    Some(Mirror {
        upstream,
        share: config.percent.fraction(),
    })
}

/// Keys that only mean something on the way to an upstream, on a route that answers by itself.
pub(super) fn warn_of_idle_keys(route: &Route, problems: &mut Diagnostics) {
    let (usable, written) = route.actions();
    let ([action], [key]) = (usable.as_slice(), written.as_slice()) else {
        return;
    };
    let answers = matches!(
        action,
        document::Action::Redirect(_) | document::Action::Respond(_) | document::Action::Static(_)
    );
    if !answers {
        return;
    }
    let rewrite = route.rewrite.as_ref();
    let rewritten = rewrite.and_then(|r| r.path.as_ref().or(r.host.as_ref()));
    let idle: [(&str, Option<&Span>); 4] = [
        ("mirror", route.mirror.as_ref().map(|m| m.upstream.span())),
        (
            "timeouts",
            route.timeouts.request.as_ref().map(Spanned::span),
        ),
        ("rewrite", rewritten.map(Spanned::span)),
        (
            "strip_prefix",
            route
                .strip_prefix
                .value()
                .then(|| route.strip_prefix.span()),
        ),
    ];
    let filters = route.filters.iter().filter(|f| !f.is_off());
    let forwarding = filters.filter(|f| matches!(f.name.as_str(), "retry" | "circuit_breaker"));
    let forwarding = forwarding.map(|f| (f.name.as_str(), Some(f.name.span())));
    for (name, span) in idle.into_iter().chain(forwarding) {
        if let Some(span) = span {
            problems.warn(
                span,
                format!("`{name}` does nothing on a route that answers with `{key}`"),
                "remove it",
            );
        }
    }
}

/// "`a`, `b` and `c`".
pub(super) fn in_words(keys: &[&str]) -> String {
    let quoted: Vec<_> = keys.iter().map(|k| format!("`{k}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
