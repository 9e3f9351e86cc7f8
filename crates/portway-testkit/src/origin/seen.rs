//! What an origin has seen: requests, connections, and their bytes.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::RawRequest;

/// Requests an origin remembers; older ones are only counted.
pub const REQUESTS_MAX: usize = 1_000;
/// Connections whose bytes an origin remembers.
const CONNECTIONS_MAX: usize = 1_000;

/// A copy, or the live one under its lock.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The last requests.
    pub requests: VecDeque<RawRequest>,
    /// All requests.
    pub request_count: u64,
    /// All connections accepted.
    pub connection_count: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections that the other side ended in the middle of a request, or that sent what is no
    /// HTTP.
    pub broken: u64,
    /// Handlers that panicked.
    pub panics: u64,
    connections: BTreeMap<u64, Connection>,
    last_number: u64,
}

#[derive(Clone, Debug)]
struct Connection {
    peer: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Seen {
    /// Every byte that came over a connection, whether or not it made a request. Connections count
    /// from 1.
    #[must_use]
    pub fn bytes(&self, connection: u64) -> Vec<u8> {
        let known = self.connections.get(&connection);
        known.map_or_else(Vec::new, |known| super::lock(&known.bytes).clone())
    }

    /// Every byte of every connection, one after the other.
    #[must_use]
    pub fn all_bytes(&self) -> Vec<u8> {
        let numbers = self.connections.keys();
        numbers.flat_map(|number| self.bytes(*number)).collect()
    }

    /// From where a connection came.
    #[must_use]
    pub fn peer(&self, connection: u64) -> Option<SocketAddr> {
        self.connections.get(&connection).map(|known| known.peer)
    }

    pub(super) fn accepted(&mut self, peer: SocketAddr) -> (u64, Arc<Mutex<Vec<u8>>>) {
        self.connection_count += 1;
        self.last_number += 1;
        self.open += 1;
        let bytes = Arc::default();
        if self.connections.len() == CONNECTIONS_MAX {
            self.connections.pop_first();
        }
        let connection = Connection {
            peer,
            bytes: Arc::clone(&bytes),
        };
        self.connections.insert(self.last_number, connection);
        (self.last_number, bytes)
    }

    /// Numbers of connections go on, so that an open one keeps its own.
    pub(super) fn forget(&mut self) {
        self.requests.clear();
        self.request_count = 0;
        self.broken = 0;
        self.connection_count = 0;
        for connection in self.connections.values() {
            super::lock(&connection.bytes).clear();
        }
    }

    pub(super) fn closed(&mut self, panicked: bool) {
        self.open -= 1;
        self.panics += u64::from(panicked);
    }

    pub(super) fn request(&mut self, request: RawRequest) {
        self.request_count += 1;
        if self.requests.len() == REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }
}
