use std::time::Duration;

use portway_discovery::{DnsSpec, NamedTarget, Source, SourceSpec, build};

use crate::server::Server;
use crate::{addresses, is_silent, next};

/// A spec that asks `server` every 20 ms at most and, for TTLs above that, at least.
fn quick(server: &Server, spec: DnsSpec) -> DnsSpec {
    DnsSpec {
        refresh_min: Duration::from_millis(20),
        refresh_max: Duration::from_millis(20),
        resolver: Some(server.addr),
        ..spec
    }
}

fn host(server: &Server) -> Box<dyn Source> {
    build(&SourceSpec::Dns(quick(
        server,
        DnsSpec::host("users.internal", 8080),
    )))
}

fn service(server: &Server) -> Box<dyn Source> {
    build(&SourceSpec::Dns(quick(
        server,
        DnsSpec::service("_http._tcp.internal"),
    )))
}

#[tokio::test]
async fn a_host_becomes_its_addresses_and_follows_them() {
    let server = Server::start().await;
    server.set_host("users.internal", 5, &["127.0.0.2", "127.0.0.1"]);
    let mut source = host(&server);
    let set = next(&mut *source).await.expect("is there");
    assert_eq!(addresses(&set), ["127.0.0.1:8080", "127.0.0.2:8080"]);
    assert_eq!(set.targets[0].host.as_deref(), Some("users.internal"));
    assert_eq!((set.generation, set.targets[0].weight), (1, 1));

    server.set_host("users.internal", 5, &["127.0.0.3"]);
    let set = next(&mut *source).await.expect("is there");
    assert_eq!(addresses(&set), ["127.0.0.3:8080"]);
    assert_eq!(set.generation, 2);
}

#[tokio::test]
async fn the_same_answer_in_another_order_is_no_news() {
    let server = Server::start().await;
    server.set_host("users.internal", 5, &["127.0.0.1", "127.0.0.2"]);
    let mut source = host(&server);
    next(&mut *source).await.expect("is there");
    let asked = server.questions();
    server.set_host("users.internal", 5, &["127.0.0.2", "127.0.0.1"]);
    assert!(is_silent(&mut *source).await);
    assert!(server.questions() > asked, "it did ask");
}

#[tokio::test]
async fn ipv6_is_used_where_there_is_no_ipv4() {
    let server = Server::start().await;
    server.set_host("users.internal", 5, &["::1", "127.0.0.1"]);
    let mut source = host(&server);
    let set = next(&mut *source).await.expect("is there");
    assert_eq!(addresses(&set), ["127.0.0.1:8080"]);
    server.set_host("users.internal", 5, &["::1"]);
    let set = next(&mut *source).await.expect("is there");
    assert_eq!(addresses(&set), ["[::1]:8080"]);
}

#[tokio::test]
async fn a_failing_server_takes_nothing_away() {
    let server = Server::start().await;
    server.set_host("users.internal", 5, &["127.0.0.1"]);
    let mut source = host(&server);
    next(&mut *source).await.expect("is there");

    server.set_failing(true);
    let error = next(&mut *source).await.expect_err("the server fails");
    assert!(error.what.starts_with("users.internal: "), "{error}");
    server.set_failing(false);
    server.set_host("users.internal", 5, &["127.0.0.9"]);
    let mut said = next(&mut *source).await;
    while said.is_err() {
        said = next(&mut *source).await;
    }
    let set = said.expect("is back");
    assert_eq!(addresses(&set), ["127.0.0.9:8080"]);
    assert_eq!(set.generation, 2);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_an_error_and_not_an_empty_set() {
    let server = Server::start().await;
    let mut source = host(&server);
    assert!(next(&mut *source).await.is_err());
    server.set_host("users.internal", 5, &["127.0.0.1"]);
    let mut said = next(&mut *source).await;
    while said.is_err() {
        said = next(&mut *source).await;
    }
    assert_eq!(said.expect("is there now").generation, 1);
}

#[tokio::test]
async fn an_answer_is_not_asked_for_again_before_its_ttl() {
    let server = Server::start().await;
    server.set_host("users.internal", 3600, &["127.0.0.1"]);
    let spec = DnsSpec {
        resolver: Some(server.addr),
        ..DnsSpec::host("users.internal", 80)
    };
    let mut source = build(&SourceSpec::Dns(spec));
    next(&mut *source).await.expect("is there");
    let asked = server.questions();
    assert!(is_silent(&mut *source).await);
    assert_eq!(server.questions(), asked);
}

#[tokio::test]
async fn a_service_becomes_its_hosts_with_port_and_weight() {
    let server = Server::start().await;
    server.set_host("a.internal", 5, &["127.0.0.1"]);
    server.set_host("b.internal", 5, &["127.0.0.2"]);
    server.set_host("spare.internal", 5, &["127.0.0.3"]);
    let records = [
        (10, 3, 8081, "a.internal"),
        (10, 0, 8082, "b.internal"),
        (20, 9, 8083, "spare.internal"),
    ];
    server.set_service("_http._tcp.internal", 5, &records);
    let mut source = service(&server);
    let set = next(&mut *source).await.expect("is there");
    assert_eq!(addresses(&set), ["127.0.0.1:8081", "127.0.0.2:8082"]);
    let weights: Vec<_> = set.targets.iter().map(|t| t.weight).collect();
    assert_eq!(weights, [3, 1], "weight 0 still gets a little");

    server.set_service("_http._tcp.internal", 5, &records[2..]);
    let set = next(&mut *source).await.expect("is there");
    assert_eq!(addresses(&set), ["127.0.0.3:8083"]);
}

#[tokio::test]
async fn a_host_of_a_service_that_fails_keeps_its_address() {
    let server = Server::start().await;
    server.set_host("a.internal", 5, &["127.0.0.1"]);
    let records = [(1, 1, 8081, "a.internal"), (1, 1, 8082, "b.internal")];
    server.set_service("_http._tcp.internal", 5, &records);
    let mut source = service(&server);
    let set = next(&mut *source).await.expect("one host is known");
    assert_eq!(addresses(&set), ["127.0.0.1:8081"]);
    let error = next(&mut *source).await.expect_err("the other is not");
    assert!(error.what.contains("b.internal"), "{error}");

    server.set_host("b.internal", 5, &["127.0.0.2"]);
    let mut said = next(&mut *source).await;
    while said.is_err() {
        said = next(&mut *source).await;
    }
    let set = said.expect("both are known");
    assert_eq!(addresses(&set), ["127.0.0.1:8081", "127.0.0.2:8082"]);
}

#[tokio::test]
async fn a_dropped_wait_loses_no_set() {
    let server = Server::start().await;
    server.set_host("users.internal", 5, &["127.0.0.1"]);
    let mut source = host(&server);
    next(&mut *source).await.expect("is there");
    server.set_host("users.internal", 5, &["127.0.0.2"]);
    let mut set = None;
    for _ in 0..1000 {
        let wait = Duration::from_millis(3);
        if let Ok(said) = tokio::time::timeout(wait, source.next()).await {
            set = Some(said.expect("the server answers"));
            break;
        }
    }
    assert_eq!(
        addresses(&set.expect("came in the end")),
        ["127.0.0.2:8080"]
    );
}

#[tokio::test]
async fn a_static_list_may_name_hosts() {
    let target = |host: &str, port| NamedTarget {
        host: host.into(),
        port,
        weight: 2,
    };
    let spec = SourceSpec::Static(vec![target("127.0.0.1", 80), target("localhost", 81)]);
    let mut source = build(&spec);
    let set = next(&mut *source).await.expect("localhost is always known");
    assert_eq!(addresses(&set), ["127.0.0.1:80", "127.0.0.1:81"]);
    assert_eq!(set.targets[1].host.as_deref(), Some("localhost"));
    assert!(is_silent(&mut *source).await);
}
