//! The PROXY protocol header with which a proxy in front says for whom a connection is.
//!
//! Must hold: an untrusted peer is closed before anything of it is read; a header that is missing,
//! malformed or late costs the connection, which is counted each time and logged now and then.

use portway_core::Code;
use portway_net::proxy_protocol::{self, Accept, Refused, Version};
use portway_plan::ProxyHeader;
use tokio::net::TcpStream;

use crate::snapshot::Door;
use crate::tcp::Ends;
use crate::worker::Worker;

/// Reads the header of a connection from `ends.client`, and gives the ends it tells of.
///
/// # Errors
/// Why the connection must be closed.
pub async fn introduce(
    worker: &Worker,
    door: &Door,
    header: ProxyHeader,
    stream: &mut TcpStream,
    ends: Ends,
) -> Result<Ends, Code> {
    let read = read(worker, door, header, stream, ends).await;
    read.map_err(|refused| {
        if door.may_warn(worker.wheel.now()) {
            tracing::warn!(listener = %door.name, peer = %ends.client, %refused, "connection closed");
        }
        match refused {
            Refused::Gone(_) => Code::ClientGone,
            Refused::Late => Code::RequestTimeout,
            Refused::Untrusted(_) | Refused::Malformed(_) => Code::BadProxyHeader,
        }
    })
}

async fn read(
    worker: &Worker,
    door: &Door,
    header: ProxyHeader,
    stream: &mut TcpStream,
    ends: Ends,
) -> Result<Ends, Refused> {
    let accept = match header {
        ProxyHeader::V1 => Accept::Only(Version::V1),
        ProxyHeader::V2 => Accept::Only(Version::V2),
        ProxyHeader::Auto => Accept::Either,
    };
    let (trusted, timeout) = {
        let Some((snapshot, id)) = worker.snapshot_of(door) else {
            return Err(Refused::Gone(None));
        };
        let plan = &snapshot.shared.plan.listeners[id.index()];
        (
            plan.trusted.contains(ends.client.ip()),
            plan.timeouts.header,
        )
    };
    if !trusted {
        return Err(Refused::Untrusted(ends.client.ip()));
    }
    let timer = worker.wheel.timer();
    let deadline = worker.wheel.clock().now() + timeout;
    let found = proxy_protocol::read(stream, accept, &timer, deadline).await?;
    Ok(match found.addresses {
        Some((client, destination)) => Ends {
            client: std::net::SocketAddr::new(client.ip().to_canonical(), client.port()),
            destination: Some(destination),
        },
        None => ends,
    })
}
