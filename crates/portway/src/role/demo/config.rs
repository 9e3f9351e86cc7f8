//! The demo's config: the text that a person could have written.
//!
//! Must hold: it shows one thing per route, and is short enough to be read at a glance.

/// Where the demo's parts listen, all on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The gateway.
    pub gateway: u16,
    /// The operators' API.
    pub admin: u16,
    /// The two instances of the users service.
    pub users: [u16; 2],
    /// The slow service.
    pub slow: u16,
    /// The flaky service.
    pub flaky: u16,
}

impl Ports {
    /// Where they listen if nobody else does.
    pub const USUAL: Ports = Ports {
        gateway: 8080,
        admin: 9901,
        users: [9081, 9082],
        slow: 9083,
        flaky: 9084,
    };
}

/// The secret of the demo's tokens. Everybody may know it.
const SECRET: &str = "portway-demo-secret-not-for-production";

/// A token signed with that secret (HS256), for `demo`, until 2100.
pub const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJkZW1vIiwiZXhwIjo0MTAyNDQ0ODAwfQ.k8eVgQvOEOeYCJlkpIcuXAXB7JXY9cxCjAOwvMJ2Qes";

/// What `/greeting` says first; a reload changes it.
pub const GREETING: &str = "hello";

/// The config with the usual ports.
pub fn usual() -> String {
    yaml(&Ports::USUAL)
}

/// The config with these ports.
pub fn yaml(ports: &Ports) -> String {
    let Ports {
        gateway,
        admin,
        users: [users_a, users_b],
        slow,
        flaky,
    } = ports;
    format!(
        r#"# Edit this file while the gateway runs: it is loaded again when it changes.
server: {{ host: 127.0.0.1, port: {gateway} }}
admin: {{ bind: "127.0.0.1:{admin}" }}

upstreams:
  - name: users                     # three requests to the first for one to the second
    targets:
      - {{ addr: "http://127.0.0.1:{users_a}", weight: 3 }}
      - {{ addr: "http://127.0.0.1:{users_b}", weight: 1 }}
    health_check: {{ type: http, path: /health, interval: 2s, timeout: 1s }}
  - name: slow
    targets: [ {{ addr: "http://127.0.0.1:{slow}" }} ]
  - name: flaky
    targets: [ {{ addr: "http://127.0.0.1:{flaky}" }} ]

routes:
  - name: users
    prefix: /users
    upstream: users
    filters:
      - retry: {{ max_retries: 1, retry_on: [connect_failure, reset] }}
  - name: account                   # needs a token
    prefix: /account
    upstream: users
    filters:
      - auth: {{ type: jwt, secret: "{SECRET}" }}
  - name: limited                   # three at once, then one a second
    prefix: /limited
    upstream: users
    filters:
      - rate_limit: {{ qps: 1, burst: 3 }}
  - name: slow                      # waits; past two seconds the gateway gives up
    prefix: /slow
    upstream: slow
    timeouts: {{ request: 2s }}
  - name: flaky                     # three failures in a row open the breaker
    prefix: /flaky
    upstream: flaky
    filters:
      - circuit_breaker: {{ threshold: 3, timeout: 3s }}
  - name: greeting                  # change the text and ask again
    path: /greeting
    respond: {{ status: 200, body: "{GREETING}" }}

global_filters:
  - request_id: {{}}
  - metrics: {{ enabled: true }}
"#
    )
}
