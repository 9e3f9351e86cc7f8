//! What the backends of the harness have in common: a port of this host, a task for each connection.
//!
//! Must hold: one thread, so that a backend has one core for itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Serves connections to the port that the command line names, for ever.
pub fn run<F>(program: &str, serve: impl Fn(TcpStream) -> F) -> ExitCode
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let Some(port) = std::env::args().nth(1).and_then(|text| text.parse().ok()) else {
        eprintln!("usage: {program} PORT");
        return ExitCode::from(1);
    };
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .and_then(|runtime| runtime.block_on(accept_all(port, serve)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: port {port}: {error}");
            ExitCode::from(2)
        }
    }
}

async fn accept_all<F>(port: u16, serve: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        connections.spawn(serve(client));
        while connections.try_join_next().is_some() {}
    }
}
