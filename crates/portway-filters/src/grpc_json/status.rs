//! `google.rpc.Status` as JSON: how a call's failure is told to a client that speaks JSON.
//!
//! Must hold: the HTTP status of a code is the one that google/rpc/code.proto gives it; a detail whose type
//! is known is shown as its message, any other by its type and octets. What the gateway refused by itself
//! keeps its own HTTP status and says its code, as its problem documents do.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use portway_core::{Code, GrpcStatus};
use portway_http::Reply;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

use super::field::base64;
use super::print::{Print, check_any};
use super::tree::hex;

/// Where details are, in the wire form of `google.rpc.Status`.
pub const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// What went wrong, in words.
pub const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Details that services use without importing them: google/rpc/error_details.proto.
const USUAL: &[u8] = include_bytes!("../../protos/error_details.binpb");

/// The wire form of `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_reflect::prost_types::Any>,
}

/// How a call failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The code of the call.
    pub status: GrpcStatus,
    /// The status of the reply.
    pub http: StatusCode,
    /// In words.
    pub message: String,
    /// More, each with its `@type`.
    pub details: Vec<Value>,
}

/// The types of details.
#[derive(Clone, Debug)]
pub struct Details {
    own: DescriptorPool,
    usual: DescriptorPool,
}

impl Details {
    /// Those of a service's own descriptors, and the usual ones.
    #[must_use]
    pub fn new(own: DescriptorPool) -> Details {
        let usual = DescriptorPool::decode(USUAL).unwrap_or_default();
        Details { own, usual }
    }

    /// How the fields of a reply's head or trailers say that a call failed.
    #[must_use]
    pub fn failure(&self, status: GrpcStatus, fields: &HeaderMap, print: &Print) -> Failure {
        let mut failure = Failure {
            status,
            http: http_status(status),
            message: message_of(fields),
            details: Vec::new(),
        };
        let details = fields.get(DETAILS).and_then(|value| value.to_str().ok());
        let details = details.and_then(|text| RpcStatus::decode(&*base64(text)?).ok());
        if let Some(rpc) = details {
            let shown = rpc.details.iter().map(|any| self.show(any, print));
            failure.details = shown.collect();
        }
        failure
    }

    fn show(&self, any: &prost_reflect::prost_types::Any, print: &Print) -> Value {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        let pools = [&self.own, &self.usual].into_iter();
        let known = pools
            .filter_map(|pool| pool.get_message_by_name(name))
            .next();
        let shown = known.and_then(|message| {
            let message = DynamicMessage::decode(message, &*any.value).ok()?;
            check_any(&message).ok()?;
            serde_json::from_slice(&print.message(&message).ok()?).ok()
        });
        match shown {
            Some(Value::Object(mut members)) => {
                members.insert("@type".to_owned(), any.type_url.clone().into());
                Value::Object(members)
            }
            Some(value) => json!({ "@type": any.type_url, "value": value }),
            None => json!({ "@type": any.type_url, "value": BASE64_STANDARD.encode(&any.value) }),
        }
    }
}

impl Failure {
    /// One of the gateway's own making.
    #[must_use]
    pub fn new(status: GrpcStatus, message: impl Into<String>) -> Failure {
        Failure {
            status,
            http: http_status(status),
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// One that the gateway decided, with its code as `google.rpc.ErrorInfo`.
    #[must_use]
    pub fn of_gateway(code: Code, message: impl Into<String>, request_id: &str) -> Failure {
        let status = GrpcStatus::from_code(code.grpc_status()).unwrap_or(GrpcStatus::UNKNOWN);
        let mut info = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": code.as_str().to_ascii_uppercase(),
            "domain": "portway",
        });
        if !request_id.is_empty() {
            info["metadata"] = json!({ "requestId": request_id });
        }
        Failure {
            status,
            http: StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_GATEWAY),
            message: message.into(),
            details: vec![info],
        }
    }

    /// As `google.rpc.Status` in JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "code": self.status.code(),
            "message": self.message,
            "details": self.details,
        })
    }

    /// Makes it the reply; its other fields stay.
    pub fn reply(&self, reply: &mut Reply) {
        reply.status = self.http;
        let json = HeaderValue::from_static("application/json");
        reply.headers.insert(CONTENT_TYPE, json);
        reply.body = format!("{}\n", self.json()).into_bytes().into();
        reply.declared_length = None;
    }
}

/// The table of google/rpc/code.proto.
#[must_use]
pub fn http_status(status: GrpcStatus) -> StatusCode {
    let code = match status.code() {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    };
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// `grpc-message`, percent-decoded; what is no UTF-8 is replaced.
#[must_use]
pub fn message_of(fields: &HeaderMap) -> String {
    let value = fields.get(MESSAGE).map_or(&b""[..], HeaderValue::as_bytes);
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, behind)) = rest.split_first() {
        match hex(behind).filter(|_| byte == b'%') {
            Some(value) => {
                out.push(value);
                rest = &behind[2..];
            }
            None => {
                out.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc_json::testing::{PROTOS, pool_of};

    #[test]
    fn each_code_has_the_http_status_of_its_own_table() {
        let codes: Vec<u16> = GrpcStatus::all().map(|s| http_status(s).as_u16()).collect();
        assert_eq!(
            codes,
            [
                200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401
            ]
        );
    }

    #[test]
    fn details_are_shown_where_their_types_are_known() {
        let pool = pool_of(
            "syntax = \"proto3\"; package t; message Mine { string a_b = 1; } \
             service S { rpc A(Mine) returns (Mine); }",
        );
        let any = |name: &str, value: &[u8]| prost_reflect::prost_types::Any {
            type_url: format!("type.googleapis.com/{name}"),
            value: value.to_vec(),
        };
        let status = RpcStatus {
            code: 5,
            message: "gone".into(),
            details: vec![
                any("t.Mine", b"\x0a\x01x"),
                any("google.rpc.ErrorInfo", b"\x0a\x01R\x12\x01d"),
                any("google.rpc.RetryInfo", b"\x0a\x02\x08\x05"),
                any("no.Such", b"\xff"),
                any("t.Mine", b"\xff"),
            ],
        };
        let mut fields = HeaderMap::new();
        let bin = BASE64_STANDARD.encode(status.encode_to_vec());
        let bin = bin.trim_end_matches('=').parse().unwrap();
        fields.insert(DETAILS, bin);
        fields.insert(MESSAGE, HeaderValue::from_static("gone %C3%A9 100%"));
        let not_found = GrpcStatus::from_code(5).unwrap();
        let failure = Details::new(pool).failure(not_found, &fields, &Print::default());
        assert_eq!(
            failure.json(),
            json!({
                "code": 5,
                "message": "gone é 100%",
                "details": [
                    { "@type": "type.googleapis.com/t.Mine", "aB": "x" },
                    { "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "R", "domain": "d" },
                    { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "5s" },
                    { "@type": "type.googleapis.com/no.Such", "value": "/w==" },
                    { "@type": "type.googleapis.com/t.Mine", "value": "/w==" },
                ],
            })
        );
    }

    /// With `UPDATE_GOLDEN=1` the committed set is made anew.
    #[test]
    fn the_committed_set_of_usual_details_is_what_its_proto_says() {
        let proto = std::fs::read_to_string(format!("{PROTOS}/google/rpc/error_details.proto"));
        let set = crate::grpc_json::testing::set_of(proto.unwrap().leak());
        let file = format!("{PROTOS}/error_details.binpb");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &set).unwrap();
        }
        assert_eq!(std::fs::read(file).unwrap(), set);
    }
}
