//! Descriptors from a gRPC service itself: server reflection, version 1 or 1alpha
//! (<https://github.com/grpc/grpc/blob/master/doc/server-reflection.md>).
//!
//! Must hold: it ends in time, and what it gathers is bounded; a set comes out only if it holds every file
//! that another one imports, or all that the service would tell. Never: on the path of exchanges; it blocks,
//! where a config is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Method, Request, StatusCode, Version};
use portway_core::{Clock, Diagnostics};
use portway_filter::Service;
use portway_http::grpc;
use portway_http::grpc::messages::{Messages, prefix};
use portway_http::h2::ask::{Answer as Reply, ask_for};
use portway_tls::{Connector, TargetName};
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// All of it must be here by then.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A service that cannot be reached yet is tried again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// And so often.
const TRIES_MAX: u32 = 12;
/// Of one answer, octets.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Imports of imports are asked for so often.
const ROUNDS_MAX: usize = 32;
/// So many services and files at most.
const FILES_MAX: usize = 10_000;

/// What they tell, octets in all.
const SET_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Said of a service that was too slow.
const LATE: &str = "it did not answer in time";
/// Said where this machine is at fault.
const FAILED: &str = "asking for it failed";

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, optional, tag = "3")]
    file_by_filename: Option<String>,
    #[prost(string, optional, tag = "4")]
    file_containing_symbol: Option<String>,
    #[prost(string, optional, tag = "7")]
    list_services: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "4")]
    files: Option<Files>,
    #[prost(message, optional, tag = "6")]
    services: Option<Services>,
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    service: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// What of a `FileDescriptorProto` says which files are missing.
#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    dependency: Vec<String>,
}

/// How long a service that cannot be reached is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    Now,
    /// Some seconds: it may be starting, too.
    Starting,
}

/// The descriptor set of all that a service offers. Blocks, for five seconds at most.
///
/// # Errors
/// Why there is none, in words.
pub fn descriptor_set(service: &Service, patience: Patience) -> Result<Vec<u8>, String> {
    let one = descriptor_sets(&[(service, patience)]).pop();
    one.unwrap_or_else(|| Err(FAILED.to_owned()))
}

/// The descriptor sets of all that these services offer, in the same order, each with why there is none. They are
/// asked at once. Blocks, for five seconds at most however many they are.
#[must_use]
pub fn descriptor_sets(services: &[(&Service, Patience)]) -> Vec<Result<Vec<u8>, String>> {
    let asked: Vec<_> = services
        .iter()
        .map(|(service, patience)| Ok((Asked::new(service)?, *patience)))
        .collect();
    // A thread of its own: the caller's may belong to a runtime, which must not be blocked twice over.
    let asking = std::thread::Builder::new().name("reflection".into());
    let all = match asking.spawn(move || ask_all(asked)) {
        Ok(asking) => asking.join().unwrap_or_else(|_| Err(FAILED.to_owned())),
        Err(error) => Err(error.to_string()),
    };
    all.unwrap_or_else(|why| vec![Err(why); services.len()])
}

/// Asks each of those who can be asked.
fn ask_all(
    services: Vec<Result<(Asked, Patience), String>>,
) -> Result<Vec<Result<Vec<u8>, String>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let mut told = vec![Err(LATE.to_owned()); services.len()];
    runtime.block_on(async {
        let mut asking = JoinSet::new();
        for (at, service) in services.into_iter().enumerate() {
            asking.spawn(async move { (at, ask_one(service).await) });
        }
        let all = async {
            while let Some(ended) = asking.join_next().await {
                if let Ok((at, set)) = ended {
                    told[at] = set;
                }
            }
        };
        let _ = tokio::time::timeout(TIMEOUT, all).await; // who is not done is late
    });
    // A resolver that does not answer is left behind: its thread cannot be stopped.
    runtime.shutdown_background();
    Ok(told)
}

async fn ask_one(service: Result<(Asked, Patience), String>) -> Result<Vec<u8>, String> {
    let (asked, patience) = service?;
    asked.wait(patience).await?;
    gather(&asked).await
}

/// Who is asked, and how to get there.
struct Asked {
    /// Host and port.
    authority: String,
    host: Box<str>,
    tls: Option<Connector>,
}

impl Asked {
    fn new(service: &Service) -> Result<Asked, String> {
        let mut problems = Diagnostics::new();
        let tls = match &service.tls {
            None => None,
            Some(spec) => {
                let now = Clock::system().wall().as_secs();
                let loaded = Connector::load(spec, None, now, &mut problems);
                let wrong = || {
                    problems
                        .sorted()
                        .first()
                        .map(|found| found.what.to_string())
                };
                Some(loaded.ok_or_else(|| wrong().unwrap_or_default())?)
            }
        };
        Ok(Asked {
            authority: service.at.to_string(),
            host: service.at.host.clone(),
            tls,
        })
    }

    /// Until it can be reached, or it is certain that it cannot.
    async fn wait(&self, patience: Patience) -> Result<(), String> {
        let mut tries = match patience {
            Patience::Now => 1,
            Patience::Starting => TRIES_MAX,
        };
        while let Err(error) = TcpStream::connect(&self.authority).await {
            tries -= 1;
            if tries == 0 {
                return Err(format!("{}: {error}", self.authority));
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        Ok(())
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Reply, String> {
        let io = TcpStream::connect(&self.authority).await;
        let io = io.map_err(|error| format!("{}: {error}", self.authority))?;
        let Some(tls) = &self.tls else {
            return ask_for(io, request, ANSWER_BYTES_MAX).await;
        };
        let name = match self.host.parse::<IpAddr>() {
            Ok(ip) => TargetName::Ip(ip),
            Err(_) => TargetName::Dns(&self.host),
        };
        let io = tls.connect(io, name).await;
        let io = io.map_err(|error| format!("TLS: {error}"))?;
        ask_for(io, request, ANSWER_BYTES_MAX).await
    }

    fn url(&self, version: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let authority = &self.authority;
        format!(
            "{scheme}://{authority}/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        )
    }
}

async fn gather(target: &Asked) -> Result<Vec<u8>, String> {
    let list = [Question {
        list_services: Some("*".to_owned()),
        ..Question::default()
    }];
    let mut version = "v1";
    let mut answers = ask(target, version, &list).await?;
    if answers.is_none() {
        version = "v1alpha";
        answers = ask(target, version, &list).await?;
    }
    let answers = answers.ok_or("it does not offer server reflection")?;
    let listed = answers.into_iter().filter_map(|answer| answer.services);
    let services = listed.flat_map(|services| services.service);
    // One more than there may be shows that there are too many.
    let mut questions: Vec<Question> = services
        .take(FILES_MAX + 1)
        .map(|service| Question {
            file_containing_symbol: Some(service.name),
            ..Question::default()
        })
        .collect();
    let mut files: BTreeMap<String, Bytes> = BTreeMap::new();
    let mut asked: BTreeSet<String> = BTreeSet::new();
    let mut bytes = 0;
    for _ in 0..ROUNDS_MAX {
        if questions.is_empty() {
            break;
        }
        if questions.len() + files.len() > FILES_MAX {
            return Err(too_many());
        }
        let answers = ask(target, version, &questions).await?;
        let told = answers.into_iter().flatten();
        let mut missing = BTreeSet::new();
        for octets in told.filter_map(|a| a.files).flat_map(|files| files.file) {
            let file = File::decode(&*octets).map_err(|e| format!("a bad descriptor: {e}"))?;
            for name in file.dependency {
                if !asked.contains(&name) && !files.contains_key(&name) {
                    missing.insert(name);
                }
                if missing.len() > FILES_MAX {
                    return Err(too_many());
                }
            }
            bytes += octets.len();
            files.insert(file.name, octets);
            if files.len() > FILES_MAX || bytes > SET_BYTES_MAX {
                return Err(too_many());
            }
        }
        missing.retain(|name| !files.contains_key(name) && asked.insert(name.clone()));
        questions = missing
            .into_iter()
            .map(|name| Question {
                file_by_filename: Some(name),
                ..Question::default()
            })
            .collect();
    }
    let set = Files {
        file: files.into_values().collect(),
    };
    Ok(set.encode_to_vec())
}

fn too_many() -> String {
    format!("it has more than {FILES_MAX} files, or {SET_BYTES_MAX} octets of them")
}

/// Asks all questions in one call. `None` if the service does not know the method.
async fn ask(
    target: &Asked,
    version: &str,
    questions: &[Question],
) -> Result<Option<Vec<Answer>>, String> {
    let mut body = BytesMut::new();
    for question in questions {
        let prefix = prefix(0, question.encoded_len()).ok_or("a name is too long")?;
        body.put_slice(&prefix);
        question.encode(&mut body).map_err(|e| e.to_string())?;
    }
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(target.url(version))
        .header("content-type", HeaderValue::from_static("application/grpc"))
        .header("te", HeaderValue::from_static("trailers"))
        .header("user-agent", "portway-reflection")
        .body(body.freeze())
        .map_err(|error| error.to_string())?;
    let reply = target.send(request).await?;
    if reply.status != StatusCode::OK {
        return Err(format!("it answered with status {}", reply.status.as_u16()));
    }
    let ended = reply.trailers.as_ref().and_then(grpc::status);
    match ended.or_else(|| grpc::status(&reply.headers)) {
        Some(status) if status.code() == 0 => {}
        Some(status) if status.code() == 12 => return Ok(None),
        Some(status) => return Err(format!("it answered with gRPC status {status}")),
        None => return Err("it answered without a gRPC status".to_owned()),
    }
    let mut messages = Messages::new(ANSWER_BYTES_MAX);
    messages.push(&reply.body);
    let mut answers = Vec::new();
    while let Some(message) = messages.take().map_err(|error| error.to_string())? {
        if answers.len() == questions.len() {
            return Err("it answered more often than it was asked".to_owned());
        }
        answers.push(Answer::decode(message.data).map_err(|error| error.to_string())?);
    }
    Ok(Some(answers))
}
