use portway_core::{Clock, Diagnostics};
use portway_tls::{AcceptSpec, Acceptor, ClientAuth, Slots};

use crate::authority::{Authority, NOW, accept, problems};

/// What is said of a spec that cannot be loaded.
fn refused(ca: &Authority, spec: &AcceptSpec) -> String {
    let mut found = Diagnostics::new();
    assert!(
        Acceptor::load(
            spec,
            &Slots::default(),
            None,
            (NOW, &Clock::system()),
            &mut found
        )
        .is_none()
    );
    let folder = ca.folder.path().display().to_string();
    problems(found).replace(&folder, "DIR")
}

#[test]
fn every_bad_file_is_named_with_what_is_wrong() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("a", &["a.example"]), ca.issue("b", &["b.example"]));
    ca.write("empty.pem", "");
    ca.write("half.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    ca.write(
        "noise.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    for (name, said) in [
        (
            "gone.pem",
            "cannot read the certificate DIR/gone.pem: No such file",
        ),
        ("empty.pem", "has no `BEGIN CERTIFICATE`"),
        ("half.pem", "ends in the middle of a section"),
        ("noise.pem", "is malformed"),
    ] {
        let mut bad = a.clone();
        bad.cert = ca.path(name);
        let text = refused(&ca, &accept(vec![bad]));
        assert!(text.contains(said), "{name}: {text}");
    }
    let mut swapped = a.clone();
    swapped.key = b.key.clone();
    let text = refused(&ca, &accept(vec![swapped]));
    assert!(
        text.contains("DIR/b.key does not belong to the certificate DIR/a.pem"),
        "{text}"
    );
    let mut no_key = a.clone();
    no_key.key = a.cert.clone();
    let text = refused(&ca, &accept(vec![no_key]));
    assert!(text.contains("has no `BEGIN PRIVATE KEY`"), "{text}");
    let mut stapled = a.clone();
    stapled.ocsp = Some(ca.path("empty.pem"));
    let text = refused(&ca, &accept(vec![stapled]));
    assert!(text.contains("is not a successful OCSP response"), "{text}");
}

#[test]
fn a_missing_ca_or_list_of_clients_refuses_to_load() {
    let ca = Authority::new();
    let mut spec = accept(vec![ca.issue("a", &["a.example"])]);
    spec.client_auth = ca.clients(ClientAuth::Required);
    let auth = spec.client_auth.as_mut().unwrap();
    auth.ca = ca.path("gone-ca.pem");
    auth.crl = vec![ca.path("gone-crl.pem")];
    let text = refused(&ca, &spec);
    assert!(
        text.contains("gone-ca.pem") && text.contains("gone-crl.pem"),
        "{text}"
    );
}

#[test]
fn all_problems_are_found_at_once_and_none_shows_a_key() {
    let ca = Authority::new();
    let mut a = ca.issue("a", &["a.example"]);
    let secret = std::fs::read_to_string(&*a.key).unwrap();
    ca.write("broken.key", secret.replace("END PRIVATE", "EDN PRIVATE"));
    a.key = ca.path("broken.key");
    let mut b = ca.issue("b", &["b.example"]);
    b.cert = ca.path("gone.pem");
    let text = refused(&ca, &accept(vec![a, b]));
    assert!(
        text.contains("broken.key") && text.contains("gone.pem"),
        "{text}"
    );
    let line = secret.lines().nth(1).unwrap();
    assert!(!text.contains(line), "{text}");
}

#[test]
fn printing_shows_no_key() {
    let ca = Authority::new();
    let files = ca.issue("a", &["a.example"]);
    let secret = std::fs::read_to_string(&*files.key).unwrap();
    let spec = accept(vec![files]);
    let acceptor = Acceptor::load(
        &spec,
        &Slots::default(),
        None,
        (NOW, &Clock::system()),
        &mut Diagnostics::new(),
    )
    .unwrap();
    let shown = format!("{acceptor:?} {spec:?}");
    assert!(!shown.contains(secret.lines().nth(1).unwrap()));
}
