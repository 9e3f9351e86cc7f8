//! A raw TCP relay, the limit of what any proxy on this runtime can reach.
//!
//! Must hold: one task and one upstream connection for each client connection, and for an exchange
//! that fits a buffer exactly two reads and two writes.
//! It never looks at the bytes: no parsing, no pool, no timeout.
//!
//! Usage: `relay PORT UPSTREAM_PORT`

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Large enough that 1 MiB bodies move in large reads.
const BUFFER_BYTES: usize = 64 * 1024;

async fn relay(mut client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let mut origin = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    origin.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut origin, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}

async fn accept_all(port: u16, upstream: u16) -> io::Result<()> {
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, upstream));
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        connections.spawn(relay(client, upstream));
        while connections.try_join_next().is_some() {}
    }
}

fn main() -> ExitCode {
    let mut ports = std::env::args().skip(1).map(|text| text.parse::<u16>());
    let (Some(Ok(port)), Some(Ok(upstream))) = (ports.next(), ports.next()) else {
        eprintln!("usage: relay PORT UPSTREAM_PORT");
        return ExitCode::from(1);
    };
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .and_then(|runtime| runtime.block_on(accept_all(port, upstream)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: port {port}: {error}");
            ExitCode::from(2)
        }
    }
}
