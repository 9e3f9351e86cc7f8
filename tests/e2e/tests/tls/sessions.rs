//! Session tickets: resumed for whom and for how long they are good, and for nobody else (CVE-2025-23419).

use std::fmt;
use std::sync::Arc;

use portway_testkit::{Gateway, Origin, replies};
use portway_tls::tickets::KEY_AGE_MAX;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{NamedGroup, SupportedProtocolVersion};

use super::client::Wishes;
use super::{Authority, TlsClient, https, plain};
use crate::tcp::turn;

const VERSIONS: [&[&SupportedProtocolVersion]; 2] =
    [&[&rustls::version::TLS13], &[&rustls::version::TLS12]];

/// A gateway for a.example, with a wildcard in the same certificate, and b.example.
fn two_hosts(ca: &Authority, origin: &Origin) -> String {
    let a = ca.issue("a", &["a.example", "*.a.example"]);
    let b = ca.issue("b", &["b.example"]);
    https(&format!("certificates: [ {a}, {b} ]"), &plain(origin))
}

/// Whether a handshake was resumed; what was asked over it is answered in any case.
#[track_caller]
fn resumes(gateway: &Gateway, host: &str, wishes: &Wishes) -> bool {
    let mut client = TlsClient::connect(gateway.addr(), host, wishes);
    assert_eq!(client.ask("/", host).status, 200);
    client.is_resumed()
}

/// Offers the tickets of any host to every host.
struct Careless(ClientSessionMemoryCache);

fn anybody() -> ServerName<'static> {
    ServerName::try_from("anybody.example").expect("a name")
}

impl ClientSessionStore for Careless {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(anybody(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&anybody())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(anybody(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&anybody())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&anybody());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(anybody(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&anybody())
    }
}

impl fmt::Debug for Careless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Careless")
    }
}

fn careless(ca: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Wishes {
    let mut wishes = Wishes::with(ca, None, versions);
    let store = Careless(ClientSessionMemoryCache::new(8));
    wishes.0.resumption = Resumption::store(Arc::new(store));
    wishes
}

#[test]
fn a_ticket_that_is_offered_to_another_host_resumes_nothing() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let gateway = Gateway::start(&two_hosts(&ca, &origin));
    for versions in VERSIONS {
        for other in ["x.a.example", "b.example"] {
            let wishes = careless(&ca, versions);
            assert!(!resumes(&gateway, "a.example", &wishes));
            assert!(!resumes(&gateway, other, &wishes), "{other}");
            assert!(resumes(&gateway, other, &wishes), "{other} by its own");
        }
    }
}

#[test]
fn a_ticket_that_is_offered_to_another_listener_resumes_nothing() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let yaml = two_hosts(&ca, &origin);
    let [one, other] = [Gateway::start(&yaml), Gateway::start(&yaml)];
    for versions in VERSIONS {
        let wishes = Wishes::with(&ca, None, versions);
        assert!(!resumes(&one, "a.example", &wishes));
        assert!(!resumes(&other, "a.example", &wishes));
        assert!(resumes(&other, "a.example", &wishes));
    }
}

#[test]
fn tickets_outlive_one_change_of_keys_and_no_second_one() {
    let (ca, origin) = (Authority::new(), Origin::start(replies::text("hello")));
    let yaml = two_hosts(&ca, &origin)
        .replace("workers: 1", "workers: 1, idle_timeout: 24h")
        .replace(
            " ]\nupstreams",
            ", { name: clock, bind: \"127.0.0.1:0\" } ]\nupstreams",
        );
    let (gateway, hand) = Gateway::with_manual_clock(&yaml);
    for versions in VERSIONS {
        let known = || {
            let wishes = careless(&ca, versions);
            assert!(!resumes(&gateway, "a.example", &wishes));
            wishes
        };
        let [used, stolen, forgotten] = [known(), known(), known()];
        turn(&gateway, &hand, KEY_AGE_MAX);
        assert!(resumes(&gateway, "a.example", &used), "by the key before");
        assert!(!resumes(&gateway, "b.example", &stolen), "of another host");
        turn(&gateway, &hand, KEY_AGE_MAX);
        assert!(!resumes(&gateway, "a.example", &forgotten), "too old");
        if versions == VERSIONS[0] {
            // With TLS 1.3 each handshake brings a fresh ticket.
            assert!(resumes(&gateway, "a.example", &used), "by its newer one");
        }
    }
}
