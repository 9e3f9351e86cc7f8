//! A bookstore that speaks gRPC. What it answers depends on the names it is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

use crate::support::h2_origin::{H2Call, H2Origin};

pub const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/bookstore");

/// Streams that are held open.
pub static OPEN: AtomicUsize = AtomicUsize::new(0);

fn set() -> Vec<u8> {
    std::fs::read(format!("{EXAMPLE}/bookstore.binpb")).expect("the example's set")
}

/// The set with another text of the same length in place of one.
pub fn renamed(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut set = set();
    let at: Vec<usize> = (0..set.len() - from.len())
        .filter(|at| set[*at..].starts_with(from.as_bytes()))
        .collect();
    assert!(!at.is_empty(), "{from}");
    for at in at {
        set[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    set
}

pub fn bookstore() -> H2Origin {
    H2Origin::start(serve)
}

/// One that tells its descriptors by this version of server reflection.
pub fn reflecting(version: &'static str) -> H2Origin {
    H2Origin::start(move |mut call| async move {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        if call.path() != path {
            return serve(call).await;
        }
        let pool = DescriptorPool::decode(&*set()).expect("a set");
        let mut stream = call.respond(head());
        let mut asked = Vec::new();
        // One by one: some ask on only when they have been answered.
        while let Some(Ok(data)) = call.body.data().await {
            let _ = call.body.flow_control().release_capacity(data.len());
            asked.extend_from_slice(&data);
            while let Some((prefix, behind)) = asked.split_first_chunk::<5>()
                && let Some((question, behind)) = behind.split_at_checked(usize::from(prefix[4]))
            {
                let answer = answer_about(&pool, question);
                let _ = stream.send_data(answer.into(), false);
                asked = behind.to_vec();
            }
        }
        end(&mut stream, "0", "");
    })
}

/// A framed answer: which services there are, or a file by itself. What it imports is asked for by name.
fn answer_about(pool: &DescriptorPool, question: &[u8]) -> Vec<u8> {
    let mut fields = question;
    let mut asked = (0, "");
    while let [key, length, rest @ ..] = fields {
        let (text, rest) = rest.split_at(usize::from(*length));
        fields = rest;
        // 1 is the host, which says nothing here.
        if key >> 3 != 1 {
            asked = (key >> 3, std::str::from_utf8(text).expect("a name"));
        }
    }
    let (field, inner) = match asked {
        (7, _) => (
            0x32,
            [&[0x0a, 24, 0x0a, 22], &b"bookstore.v1.Bookstore"[..]].concat(),
        ),
        (4, _) => (0x22, file(pool, "test.proto")),
        (_, name) => (0x22, file(pool, name)),
    };
    let mut message = vec![field];
    prost::encoding::encode_varint(inner.len() as u64, &mut message);
    message.extend(inner);
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    framed
}

fn file(pool: &DescriptorPool, name: &str) -> Vec<u8> {
    let file = pool.get_file_by_name(name).expect("a file").encode_to_vec();
    let mut out = vec![0x0a];
    prost::encoding::encode_varint(file.len() as u64, &mut out);
    out.extend(file);
    out
}

/// A call with its method's types.
struct Method {
    input: prost_reflect::MessageDescriptor,
    output: prost_reflect::MessageDescriptor,
}

impl Method {
    fn of(path: &str) -> Option<Method> {
        let pool = DescriptorPool::decode(&*set()).expect("a set");
        let name = path.strip_prefix("/bookstore.v1.Bookstore/")?;
        let service = pool.get_service_by_name("bookstore.v1.Bookstore")?;
        let method = service.methods().find(|m| m.name() == name)?;
        Some(Method {
            input: method.input(),
            output: method.output(),
        })
    }

    fn read(&self, mut body: &[u8]) -> Vec<Value> {
        let mut found = Vec::new();
        while let Some((prefix, rest)) = body.split_first_chunk::<5>() {
            assert_eq!(prefix[0], 0);
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            let message = DynamicMessage::decode(self.input.clone(), &rest[..length]);
            found.push(serde_json::to_value(message.expect("a message")).expect("JSON"));
            body = &rest[length..];
        }
        assert!(body.is_empty());
        found
    }

    fn write(&self, json: Value) -> Bytes {
        let message = DynamicMessage::deserialize(self.output.clone(), json).expect("a message");
        let mut out = vec![0];
        out.extend((message.encoded_len() as u32).to_be_bytes());
        message.encode(&mut out).expect("room");
        out.into()
    }
}

fn head() -> Response<()> {
    let mut head = Response::new(());
    let grpc = HeaderValue::from_static("application/grpc+proto");
    head.headers_mut().insert("content-type", grpc);
    head
}

fn end(stream: &mut SendStream<Bytes>, status: &'static str, message: &'static str) {
    let fields = [
        (
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static(status),
        ),
        (
            HeaderName::from_static("grpc-message"),
            HeaderValue::from_static(message),
        ),
    ];
    let _ = stream.send_trailers(HeaderMap::from_iter(fields));
}

async fn serve(mut call: H2Call) {
    if call.path() == "/bookstore/plain" {
        return call.reply(200, "plain");
    }
    let Some(method) = Method::of(&call.path()) else {
        let mut head = head();
        head.headers_mut()
            .insert("grpc-status", HeaderValue::from_static("12"));
        let _ = call.respond.send_response(head, true);
        return;
    };
    let Ok((body, _)) = call.read().await else {
        return;
    };
    let asked = method.read(&body);
    let first = asked.first().cloned().unwrap_or(json!({}));
    let name = first["name"]
        .as_str()
        .or(first["parent"].as_str())
        .unwrap_or_default();
    let path = call.path();
    let kind = path.rsplit('/').next().unwrap_or_default();
    if odd(&mut call, name).await {
        return;
    }
    let mut stream = call.respond(head());
    if kind == "WatchBooks" {
        return watch(&method, &mut stream, name).await;
    }
    let reply = answer(kind, &first, asked.len());
    let _ = stream.send_data(method.write(reply), false);
    end(&mut stream, "0", "");
}

/// Answers for names that stand for something else than a book.
async fn odd(call: &mut H2Call, name: &str) -> bool {
    match name.rsplit('/').next() {
        Some("none") if name.contains("books") => {
            let mut head = head();
            let fields = head.headers_mut();
            fields.insert("grpc-status", HeaderValue::from_static("5"));
            let message = HeaderValue::from_static("no such book: %C3%A9");
            fields.insert("grpc-message", message);
            fields.insert("grpc-status-details-bin", status_details());
            let _ = call.respond.send_response(head, true);
        }
        Some("late") => end(&mut call.respond(head()), "7", "no"),
        Some("long") => {
            let mut stream = call.respond(head());
            let _ = stream.send_data(Bytes::from_static(b"\0\0\xff\0\0"), false);
            wait_reset(&mut stream).await;
        }
        Some("http") => call.reply(200, "<html>"),
        Some("stalled") => {
            // Whoever asked may have left already.
            if let Ok(mut stream) = call.respond.send_response(head(), false) {
                wait_reset(&mut stream).await;
            }
        }
        _ => return false,
    }
    true
}

/// Until the gateway gives the call up.
async fn wait_reset(stream: &mut SendStream<Bytes>) {
    let reset = std::future::poll_fn(|cx| stream.poll_reset(cx));
    let _ = tokio::time::timeout(Duration::from_secs(20), reset).await;
}

/// `google.rpc.Status` with one `ErrorInfo`, as a header carries it.
fn status_details() -> HeaderValue {
    let url = b"type.googleapis.com/google.rpc.ErrorInfo";
    let mut any = vec![0x0a, url.len() as u8];
    any.extend(url);
    any.extend(b"\x12\x06\x0a\x04NONE");
    let mut status = vec![0x08, 5, 0x1a, any.len() as u8];
    status.extend(any);
    HeaderValue::try_from(BASE64_STANDARD_NO_PAD.encode(&status)).expect("ASCII")
}

async fn watch(method: &Method, stream: &mut SendStream<Bytes>, name: &str) {
    let say = |stream: &mut SendStream<Bytes>, title: &str| {
        let _ = stream.send_data(method.write(json!({ "title": title })), false);
    };
    match name {
        "shelves/none" => {}
        "shelves/failing" => {
            say(stream, "a");
            return end(stream, "10", "later");
        }
        "shelves/broken" => {
            say(stream, "a");
            // What was sent before arrives before the reset.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "shelves/slow" => {
            say(stream, "a");
            OPEN.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        _ => {
            say(stream, "a");
            say(stream, "b");
        }
    }
    end(stream, "0", "");
}

fn answer(kind: &str, first: &Value, count: usize) -> Value {
    match kind {
        "ListShelves" => json!({ "shelves": [{ "name": "shelves/1", "theme": "travel" }] }),
        "CreateShelf" => json!({ "name": "shelves/new", "theme": first["shelf"]["theme"] }),
        "ListBooks" if first["filter"].is_null() => json!({}),
        "ListBooks" => json!({ "books": [{
            "name": format!("{}/books/1", first["parent"].as_str().unwrap_or_default()),
            "title": format!("{} {}", first["pageSize"], first["filter"]["author"][0].as_str().unwrap_or_default()),
            "genre": first["filter"]["genre"],
            "copies": "9007199254740993",
        }] }),
        "UpdateBook" => json!({
            "name": first["book"]["name"],
            "title": first["book"]["title"],
            "authors": [first["updateMask"]],
        }),
        "MoveBook" => {
            let name = first["name"].as_str().unwrap_or_default();
            let book = name.rsplit('/').next().unwrap_or_default();
            json!({ "name": format!("{}/books/{book}", first["toShelf"].as_str().unwrap_or_default()) })
        }
        "ImportBooks" => json!({ "imported": count }),
        "GetCover" => json!({ "contentType": "image/png", "data": "iVBORw==" }),
        "PutCover" => {
            assert_eq!(
                first["cover"],
                json!({ "contentType": "image/gif", "data": "R0lG" })
            );
            json!({})
        }
        _ => json!({}),
    }
}
