//! A tonic server with the methods of `tests/e2e/grpc/server.py`, without generated code.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::tokio_stream::{self, StreamExt};
use tonic::codegen::{BoxStream, CompressionEncoding, Service};
use tonic::server::Grpc;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_web::GrpcWebLayer;

/// Messages as they are.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Ends with the test.
pub struct Server {
    pub addr: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    pub fn start() -> Server {
        Server::serve(false)
    }

    /// One that speaks gRPC-Web, over HTTP/1.1 too.
    pub fn start_web() -> Server {
        Server::serve(true)
    }

    fn serve(web: bool) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (addr, incoming) = runtime.block_on(async {
            let any = ([127, 0, 0, 1], 0).into();
            let incoming = TcpIncoming::bind(any).expect("a port");
            let addr = incoming.local_addr().expect("an address");
            (addr, incoming)
        });
        let server = tonic::transport::Server::builder().accept_http1(web);
        if web {
            let server = server.layer(GrpcWebLayer::new());
            runtime.spawn(server.serve_with_incoming(Echo, incoming));
        } else {
            runtime.spawn(server.serve_with_incoming(Echo, incoming));
        }
        Server {
            addr,
            _runtime: runtime,
        }
    }
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A method, of a function.
struct Method<F>(F);

impl<F, M, R, L> Service<Request<M>> for Method<F>
where
    F: FnMut(Request<M>) -> L,
    L: Future<Output = Result<Response<R>, Status>> + Send + 'static,
{
    type Response = Response<R>;
    type Error = Status;
    type Future = Later<Result<Response<R>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<M>) -> Self::Future {
        Box::pin((self.0)(request))
    }
}

#[derive(Clone)]
struct Echo;

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Later<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(answer(request).await) })
    }
}

async fn answer(request: http::Request<Body>) -> http::Response<Body> {
    let mut grpc = Grpc::new(Raw)
        .max_decoding_message_size(64 << 20)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    match request.uri().path() {
        "/test.Echo/Unary" => grpc.unary(Method(unary), request).await,
        "/test.Echo/Refuse" => grpc.unary(Method(refuse), request).await,
        "/test.Echo/Silent" => grpc.unary(Method(silent), request).await,
        "/test.Echo/ClientStream" => grpc.client_streaming(Method(client_stream), request).await,
        "/test.Echo/ServerStream" => grpc.server_streaming(Method(server_stream), request).await,
        "/test.Echo/RefuseLate" => grpc.server_streaming(Method(refuse_late), request).await,
        "/test.Echo/Forever" => grpc.server_streaming(Method(forever), request).await,
        "/test.Echo/Bidi" => grpc.streaming(Method(bidi), request).await,
        _ => Status::unimplemented("there is no such method").into_http(),
    }
}

async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let sent = request.metadata().clone().into_headers();
    let mut fields = http::HeaderMap::new();
    for name in ["x-text", "x-data-bin"] {
        if let Some(value) = sent.get(name) {
            fields.insert(name, value.clone());
        }
    }
    let mut reply = Response::new(request.into_inner());
    *reply.metadata_mut() = tonic::metadata::MetadataMap::from_headers(fields);
    Ok(reply)
}

async fn refuse(_: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let details = Bytes::from_static(b"\0\xff");
    Err(Status::with_details(
        Code::FailedPrecondition,
        "no, not é%",
        details,
    ))
}

async fn silent(_: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    std::future::pending().await
}

async fn client_stream(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let mut messages = request.into_inner();
    let (mut count, mut bytes) = (0, 0);
    while let Some(message) = messages.message().await? {
        count += 1;
        bytes += message.len();
    }
    Ok(Response::new(Bytes::from(format!("{count} {bytes}"))))
}

type Messages = Result<Response<BoxStream<Bytes>>, Status>;

async fn server_stream(request: Request<Bytes>) -> Messages {
    let text = String::from_utf8_lossy(request.get_ref()).into_owned();
    let mut words = text.split(' ').map(|word| word.parse::<usize>());
    let (Some(Ok(count)), Some(Ok(size))) = (words.next(), words.next()) else {
        return Err(Status::invalid_argument("two numbers"));
    };
    let messages = (0..count).map(move |n| Ok(Bytes::from(vec![n as u8; size])));
    Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
}

async fn refuse_late(_: Request<Bytes>) -> Messages {
    let last = Err(Status::data_loss("after one"));
    let messages = [Ok(Bytes::from_static(b"one")), last];
    Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
}

async fn forever(_: Request<Bytes>) -> Messages {
    let begun = tokio_stream::once(Ok(Bytes::from_static(b"begun")));
    Ok(Response::new(Box::pin(
        begun.chain(tokio_stream::pending()),
    )))
}

async fn bidi(request: Request<Streaming<Bytes>>) -> Messages {
    Ok(Response::new(Box::pin(request.into_inner())))
}
