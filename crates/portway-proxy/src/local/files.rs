//! A folder's files: [`serve_static`].
//!
//! Must hold: only regular files below the root are sent, under a name without hidden segments;
//! a reply's length is exact, and a file that turns out shorter ends in an error. All file-system
//! calls run on blocking threads: a slow disk delays its own exchanges and no others.

mod body;
mod conditions;
mod lookup;
mod range;
mod version;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED, LOCATION,
};
use http::{Method, StatusCode};
use portway_core::{Code, limits};
use portway_http::{Body, Exchange, Reply};
use portway_plan::StaticFiles;
use tokio::task::spawn_blocking;

use self::body::{FileBody, read_exactly};
use self::conditions::{Conditions, Verdict};
use self::lookup::{Asked, Found};
use self::version::Version;
use super::{behind, without_body_for_head};

/// Answers GET and HEAD from a folder: conditions, single ranges and index files included (RFC 9110,
/// sections 13 and 14). To be awaited on a tokio runtime.
pub async fn serve_static(spec: &StaticFiles, exchange: &mut Exchange) -> Reply {
    let reply = answer(spec, exchange).await;
    without_body_for_head(exchange, reply)
}

async fn answer(spec: &StaticFiles, exchange: &mut Exchange) -> Reply {
    let request = &exchange.request;
    if request.method != Method::GET && request.method != Method::HEAD {
        let reply = exchange.refuse(
            Code::MethodNotAllowed,
            "files can be read, with GET or HEAD",
        );
        return reply.with_header(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let Some(asked) = behind(&spec.prefix, &request.path).and_then(Asked::parse) else {
        return nothing(exchange, None);
    };
    let content_type = content_type(asked.file_name().unwrap_or(Path::new(&spec.index)));
    let job = Job {
        spec: spec.clone(),
        asked,
        conditions: Conditions::of(request),
        content: if request.method == Method::GET {
            Wanted::Yes
        } else {
            Wanted::No
        },
        now_ns: exchange.started_wall_ns,
    };
    match spawn_blocking(move || job.run()).await {
        Ok(Ok(Outcome::File(file))) => file.reply(content_type, exchange),
        Ok(Ok(Outcome::Folder)) => add_slash(exchange),
        Ok(Ok(Outcome::Nothing(why))) => nothing(exchange, Some(why)),
        Ok(Err(error)) => {
            exchange.refuse(Code::Internal, &format!("a file cannot be served: {error}"))
        }
        Err(_) => exchange.refuse(Code::Internal, "reading a file was broken off"),
    }
}

/// What a blocking thread does for one request.
struct Job {
    spec: StaticFiles,
    asked: Asked,
    conditions: Conditions,
    content: Wanted,
    now_ns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

enum Outcome {
    File(Ready),
    /// A folder that was asked for without its slash.
    Folder,
    /// Why there is nothing, for the log only: a client learns nothing of the file system.
    Nothing(String),
}

/// A file whose request is decided.
struct Ready {
    version: Version,
    verdict: Verdict,
    content: Content,
}

/// What a thread can hand over; a [`Body`] stays on its thread.
enum Content {
    Octets(Vec<u8>),
    /// So many octets, from where the file was sought to.
    Rest(File, u64),
}

impl From<Content> for Body {
    fn from(content: Content) -> Body {
        match content {
            Content::Octets(octets) if octets.is_empty() => Body::Empty,
            Content::Octets(octets) => Body::Full(Bytes::from(octets)),
            Content::Rest(file, length) => FileBody::new(file, length).into(),
        }
    }
}

impl Job {
    fn run(self) -> io::Result<Outcome> {
        let (file, metadata) = match lookup::find(&self.spec.root, &self.spec.index, &self.asked)? {
            Found::File(file, metadata) => (file, metadata),
            Found::Folder => return Ok(Outcome::Folder),
            Found::Nothing(why) => return Ok(Outcome::Nothing(why)),
        };
        let version = Version::of(&metadata, self.now_ns);
        let verdict = self.conditions.decide(&version);
        let content = match (verdict, self.content) {
            (Verdict::Whole, Wanted::Yes) => content(file, 0, version.length)?,
            (Verdict::Part { first, length }, Wanted::Yes) => content(file, first, length)?,
            // HEAD: only the length matters.
            (Verdict::Whole, Wanted::No) => Content::Rest(file, version.length),
            _ => Content::Octets(Vec::new()),
        };
        Ok(Outcome::File(Ready {
            version,
            verdict,
            content,
        }))
    }
}

/// A part of a file. A small one is read at once, while a blocking thread is at it anyway.
fn content(mut file: File, first: u64, length: u64) -> io::Result<Content> {
    if first > 0 {
        file.seek(SeekFrom::Start(first))?;
    }
    match usize::try_from(length) {
        Ok(small) if small <= limits::BODY_READ_BYTES => {
            Ok(Content::Octets(read_exactly(&file, small)?))
        }
        _ => Ok(Content::Rest(file, length)),
    }
}

impl Ready {
    fn reply(self, content_type: HeaderValue, exchange: &mut Exchange) -> Reply {
        let length = self.version.length;
        let mut reply = match self.verdict {
            Verdict::Whole => Reply::new(StatusCode::OK, self.content),
            Verdict::Part {
                first,
                length: part,
            } => {
                let last = first + part - 1;
                Reply::new(StatusCode::PARTIAL_CONTENT, self.content).with_header(
                    CONTENT_RANGE,
                    header(format!("bytes {first}-{last}/{length}")),
                )
            }
            Verdict::NotModified => {
                let mut reply = Reply::new(StatusCode::NOT_MODIFIED, Body::Empty);
                reply.declared_length = Some(length);
                reply
            }
            Verdict::Failed => {
                return exchange.refuse(
                    Code::PreconditionFailed,
                    "the file is not the version asked for",
                );
            }
            Verdict::Unsatisfiable => {
                let detail = format!("the file has {length} octets");
                return exchange
                    .refuse(Code::RangeNotSatisfiable, &detail)
                    .with_header(CONTENT_RANGE, header(format!("bytes */{length}")));
            }
        };
        reply.headers.insert(ETAG, header(self.version.etag()));
        if let Some(date) = self.version.last_modified() {
            reply.headers.insert(LAST_MODIFIED, header(date));
        }
        if reply.status != StatusCode::NOT_MODIFIED {
            reply.headers.insert(CONTENT_TYPE, content_type);
            reply
                .headers
                .insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        reply
    }
}

/// Sends the client to the same folder with its slash, so that the relative links of its index hold.
fn add_slash(exchange: &mut Exchange) -> Reply {
    let request = &exchange.request;
    let query = request
        .query
        .as_deref()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    // The path has no empty segment, else nothing was found: it cannot be read as another host.
    match HeaderValue::try_from(format!("{}/{query}", request.path)) {
        Ok(place) => {
            Reply::new(StatusCode::PERMANENT_REDIRECT, Body::Empty).with_header(LOCATION, place)
        }
        Err(_) => nothing(exchange, None),
    }
}

fn nothing(exchange: &mut Exchange, why: Option<String>) -> Reply {
    let reply = exchange.refuse(Code::NotFound, "no file has this path");
    if let Some(why) = why {
        exchange.notes.error = Some(format!("{}: {why}", Code::NotFound).into());
    }
    reply
}

/// By the name's ending; text is taken to be UTF-8.
fn content_type(name: &Path) -> HeaderValue {
    match mime_guess::from_path(name).first_raw() {
        Some(text) if text.starts_with("text/") => header(format!("{text}; charset=utf-8")),
        Some(other) => HeaderValue::from_static(other),
        None => HeaderValue::from_static("application/octet-stream"),
    }
}

fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("made of digits, dates and names of types: visible ASCII")
}

#[cfg(test)]
mod tests;
