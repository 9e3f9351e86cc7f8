//! A load over HTTP/3: so many connections, each with so many requests under way, until all are answered.
//!
//! Must hold: every reply is read to its end, and one that is not 200 ends the run with an error; the
//! connections are open before the first request is sent. It takes any certificate: what is measured is on
//! this machine.
//!
//! Usage: `http3 PORT PATH CONNECTIONS STREAMS REQUESTS`; prints nothing and exits with 0 when all went well.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{Request, StatusCode};
use portway_bench::anyone;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use tokio::task::LocalSet;

type Failed = Box<dyn std::error::Error>;

struct Load {
    port: u16,
    path: String,
    connections: u32,
    streams: u32,
    requests: u64,
}

impl Load {
    fn from_args() -> Option<Load> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let [port, path, connections, streams, requests] = args.as_slice() else {
            return None;
        };
        Some(Load {
            port: port.parse().ok()?,
            path: path.clone(),
            connections: connections.parse().ok()?,
            streams: streams.parse().ok()?,
            requests: requests.parse().ok()?,
        })
    }

    async fn run(&self) -> Result<(), Failed> {
        let url: Rc<str> = format!("https://localhost:{}{}", self.port, self.path).into();
        let left = Rc::new(Cell::new(self.requests));
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        endpoint.set_default_client_config(client_config()?);
        let mut opened = Vec::new();
        for _ in 0..self.connections {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let connection = endpoint.connect(addr, "localhost")?.await?;
            let over = h3_quinn::Connection::new(connection);
            let (mut driver, requests) = h3::client::new(over).await?;
            tokio::task::spawn_local(async move { driver.wait_idle().await });
            opened.push(requests);
        }
        let mut running = Vec::new();
        for requests in &opened {
            for _ in 0..self.streams {
                let (requests, url, left) = (requests.clone(), Rc::clone(&url), Rc::clone(&left));
                running.push(tokio::task::spawn_local(ask(requests, url, left)));
            }
        }
        for task in running {
            task.await??;
        }
        endpoint.close(0x100u32.into(), b""); // H3_NO_ERROR
        endpoint.wait_idle().await;
        Ok(())
    }
}

/// One request after the other, as long as some are left.
async fn ask(
    mut requests: SendRequest<OpenStreams, Bytes>,
    url: Rc<str>,
    left: Rc<Cell<u64>>,
) -> Result<(), Failed> {
    while let Some(next) = left.get().checked_sub(1) {
        left.set(next);
        let mut stream = requests.send_request(Request::get(&*url).body(())?).await?;
        stream.finish().await?;
        let reply = stream.recv_response().await?;
        if reply.status() != StatusCode::OK {
            return Err(format!("status {}", reply.status()).into());
        }
        while let Some(piece) = stream.recv_data().await? {
            std::hint::black_box(piece.remaining());
        }
    }
    Ok(())
}

fn client_config() -> Result<ClientConfig, Failed> {
    let tls = anyone::config(b"h3")?;
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(
        tls,
    )?)))
}

fn main() -> ExitCode {
    let Some(load) = Load::from_args() else {
        eprintln!("usage: http3 PORT PATH CONNECTIONS STREAMS REQUESTS");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime.map(|runtime| LocalSet::new().block_on(&runtime, load.run()));
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("http3: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("http3: {error}");
            ExitCode::FAILURE
        }
    }
}
