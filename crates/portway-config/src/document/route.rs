//! `routes`: which exchanges, and what becomes of them.

use std::time::Duration;

use portway_core::Span;
use portway_core::diagnostic::Diagnostics;
use serde_json::{Value, json};

use super::filter::FilterEntry;
use super::tls::RedirectHttps;
use super::upstream::{HashOn, Target};
use crate::decode::{Decode, Each, Given, Table, suggest, wrong};
use crate::node::{Kind, Node};
use crate::spanned::Spanned;
use crate::value::Percent;
use crate::{Schema, config, defaults};

config! {
    /// Which requests, and what becomes of them.
    pub struct Route {
        /// Its name, for metrics, logs and `explain`.
        pub name: Spanned<String>,
        /// Hosts it answers for, like api.example.com or *.example.com; any host if there are none.
        pub hosts: Vec<Spanned<String>> = Vec::new(),
        /// Listeners it answers on; all of them if there are none.
        pub listeners: Vec<Spanned<String>> = Vec::new(),
        /// The path begins with these segments: /api matches /api and /api/x, not /apix.
        pub prefix: Given<String>,
        /// The path is this one.
        pub path: Given<String>,
        /// The whole path matches this regular expression.
        pub regex: Given<String>,
        /// Methods it answers; any if there are none, but for TRACE, which is never passed on.
        pub methods: Vec<Spanned<String>> = Vec::new(),
        /// Header fields that must be there, with their values.
        pub headers: Table<Spanned<Wanted>> = Table::default(),
        /// Query keys that must be there, with their values.
        pub query: Table<Spanned<Wanted>> = Table::default(),
        /// Cookies that must be there, with their values.
        pub cookies: Table<Spanned<Wanted>> = Table::default(),
        /// Higher goes first. Otherwise: exact path, regex, longest prefix, more conditions, order here.
        pub priority: i32 = 0,
        /// Whether the target sees the path without the prefix.
        pub strip_prefix: Spanned<bool> = false,
        /// What the target is asked instead.
        pub rewrite: Option<Rewrite>,
        /// The upstream that answers.
        pub upstream: Given<String>,
        /// Targets that answer, for a route with an upstream of its own.
        pub targets: Given<Each<Target>>,
        /// Upstreams that answer, by weight.
        pub split: Given<Each<Share>>,
        /// Answers with another place.
        pub redirect: Given<Redirect>,
        /// Answers with a fixed reply.
        pub respond: Given<Respond>,
        /// Answers from a folder.
        #[key = "static"]
        pub files: Given<Static>,
        /// Keeps a client on its side of a `split`: client_ip, path, url, header:NAME, cookie:NAME or
        /// query:NAME.
        pub sticky_by: Option<Spanned<HashOn>>,
        /// Sends a copy of the requests there too and ignores the replies.
        pub mirror: Option<MirrorTo>,
        /// Sends clients without TLS to https: `true`, or the port that https has outside.
        pub redirect_https: Spanned<RedirectHttps> = RedirectHttps::No,
        /// Protocols that clients may switch to, by their names in Upgrade; websocket if this is not written.
        pub upgrades: Option<Vec<Spanned<String>>>,
        /// Limits of this route.
        pub timeouts: RouteTimeouts = defaults(),
        /// Filters of this route, after the global ones. `name: off` switches a global one off.
        pub filters: Each<FilterEntry> = Vec::new(),
    }
}

/// How a route looks at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch<'a> {
    /// Any path.
    Any,
    /// The path begins with these segments.
    Prefix(&'a Spanned<String>),
    /// The path is this one.
    Exact(&'a Spanned<String>),
    /// The whole path matches.
    Regex(&'a Spanned<String>),
}

/// What a route does with its exchanges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action<'a> {
    /// To this upstream.
    Upstream(&'a Spanned<String>),
    /// To targets of its own.
    Targets(&'a Spanned<Each<Target>>),
    /// To upstreams by weight.
    Split(&'a Spanned<Each<Share>>),
    /// To another place.
    Redirect(&'a Spanned<Redirect>),
    /// A fixed reply.
    Respond(&'a Spanned<Respond>),
    /// A folder's files.
    Static(&'a Spanned<Static>),
}

impl Route {
    /// The ways of looking at the path that were written and are usable, with the keys of all that
    /// were written. More than one is a mistake.
    #[must_use]
    pub fn paths(&self) -> (Vec<PathMatch<'_>>, Vec<&'static str>) {
        let usable = [
            self.prefix.value().map(PathMatch::Prefix),
            self.path.value().map(PathMatch::Exact),
            self.regex.value().map(PathMatch::Regex),
        ];
        let written = [
            (self.prefix.is_written(), "prefix"),
            (self.path.is_written(), "path"),
            (self.regex.is_written(), "regex"),
        ];
        (usable.into_iter().flatten().collect(), keys(&written))
    }

    /// The actions that were written and are usable, with the keys of all that were written. Any
    /// other number than one is a mistake.
    #[must_use]
    pub fn actions(&self) -> (Vec<Action<'_>>, Vec<&'static str>) {
        let usable = [
            self.upstream.value().map(Action::Upstream),
            self.targets.value().map(Action::Targets),
            self.split.value().map(Action::Split),
            self.redirect.value().map(Action::Redirect),
            self.respond.value().map(Action::Respond),
            self.files.value().map(Action::Static),
        ];
        let written = [
            (self.upstream.is_written(), "upstream"),
            (self.targets.is_written(), "targets"),
            (self.split.is_written(), "split"),
            (self.redirect.is_written(), "redirect"),
            (self.respond.is_written(), "respond"),
            (self.files.is_written(), "static"),
        ];
        (usable.into_iter().flatten().collect(), keys(&written))
    }
}

fn keys(written: &[(bool, &'static str)]) -> Vec<&'static str> {
    let there = written.iter().filter(|(there, _)| *there);
    there.map(|(_, key)| *key).collect()
}

config! {
    /// One side of a split.
    pub struct Share {
        /// The upstream.
        pub upstream: Spanned<String>,
        /// Its share of the requests, compared to the others. 0 gets none.
        pub weight: Spanned<u32> = 1,
    }
}

config! {
    /// Another place.
    pub struct Redirect {
        /// An absolute URL or a path. The rest of the path behind the prefix, and the query, are added.
        pub to: Spanned<String>,
        /// 301, 302, 303, 307 or 308.
        pub status: Spanned<u16> = 308,
    }
}

config! {
    /// A fixed reply.
    pub struct Respond {
        /// Its status.
        pub status: Spanned<u16> = 200,
        /// Its header fields.
        pub headers: Table<Spanned<String>> = Table::default(),
        /// Its body.
        pub body: String = String::new(),
    }
}

config! {
    /// A folder's files.
    pub struct Static {
        /// The folder; relative to where the gateway was started.
        pub root: Spanned<String>,
        /// The file that stands for a folder.
        pub index: Spanned<String> = "index.html".into(),
    }
}

config! {
    /// What the target is asked instead.
    pub struct Rewrite {
        /// A regular expression and what replaces its match: "^/v1/(.*)$ => /$1".
        pub path: Option<Spanned<String>>,
        /// The Host to send.
        pub host: Option<Spanned<String>>,
    }
}

config! {
    /// Sends a copy of the requests somewhere and ignores the replies.
    pub struct MirrorTo {
        /// The upstream.
        pub upstream: Spanned<String>,
        /// The share of the requests.
        pub percent: Percent = Percent::new(100.0),
    }
}

config! {
    /// Limits of a route.
    pub struct RouteTimeouts {
        /// The whole exchange with the upstream, with all its tries and the reply's body.
        pub request: Option<Spanned<Duration>>,
    }
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// This.
    Exact(String),
    /// Begin with this.
    Prefix(String),
    /// Match this regular expression as a whole.
    Regex(String),
    /// Anything, but there.
    Present,
    /// Not there.
    Absent,
}

const WANTED_KEYS: &[&str] = &["regex", "prefix", "present", "absent"];

impl Decode for Wanted {
    type Plain = Wanted;

    fn from_plain(plain: Wanted, _: &Span) -> Wanted {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Wanted> {
        let Kind::Map(entries) = &node.kind else {
            if let Some(text) = node.text() {
                return Some(Wanted::Exact(text.to_owned()));
            }
            wrong(
                node,
                "a value, or one of regex, prefix, present, absent",
                problems,
            );
            return None;
        };
        let [entry] = entries.as_slice() else {
            wrong(
                node,
                "exactly one of regex, prefix, present, absent",
                problems,
            );
            return None;
        };
        let value = &entry.value;
        match &*entry.key {
            "regex" => String::decode(value, problems).map(Wanted::Regex),
            "prefix" => String::decode(value, problems).map(Wanted::Prefix),
            "present" => bool::decode(value, problems).map(presence),
            "absent" => bool::decode(value, problems).map(|absent| presence(!absent)),
            key => {
                let hint = suggest(key, WANTED_KEYS);
                problems.error(&entry.key_span, format!("unknown key `{key}`"), hint);
                None
            }
        }
    }

    fn schema() -> Schema {
        let switch = json!({ "type": "boolean" });
        let text = json!({ "type": "string" });
        json!({
            "anyOf": [
                { "type": ["string", "number", "boolean"] },
                {
                    "type": "object",
                    "properties": { "regex": text, "prefix": text, "present": switch, "absent": switch },
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
        })
    }

    fn to_json(&self) -> Value {
        match self {
            Wanted::Exact(text) => text.as_str().into(),
            Wanted::Prefix(text) => json!({ "prefix": text }),
            Wanted::Regex(text) => json!({ "regex": text }),
            Wanted::Present => json!({ "present": true }),
            Wanted::Absent => json!({ "absent": true }),
        }
    }
}

fn presence(present: bool) -> Wanted {
    if present {
        Wanted::Present
    } else {
        Wanted::Absent
    }
}
