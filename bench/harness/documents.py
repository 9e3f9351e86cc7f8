"""What the peers are told to do: one document each for nginx, HAProxy and Envoy, from what scenarios differ in.

Must hold: what is the same for all scenarios stands here once, so that no scenario treats a peer worse than
another does: one worker, no access log, and enough idle connections upstream that none is opened anew.
"""

import textwrap

# Idle time on both sides: longer than any scenario, so that no timer closes what is measured.
IDLE_SECONDS = 600
# Above the 10,000 clients of the idle scenario.
CLIENTS_MAX = 16000
POOL = 256

# Where nginx proxies to the origin over HTTP/1.1 with keep-alive.
NGINX_TO_ORIGIN = """\
proxy_pass http://origin;
proxy_http_version 1.1;
proxy_set_header Connection "";
"""


# Protocol, a line for the listener, and how its octets are taken.
ENVOY_QUIC = (
    "UDP",
    "udp_listener_config: { quic_options: {} }",
    "transport_socket: { name: envoy.transport_sockets.quic, typed_config: {"
    ' "@type": type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport,'
    " downstream_tls_context: { common_tls_context: { tls_certificates: ["
    " { certificate_chain: { filename: cert.pem }, private_key: { filename: key.pem } } ] } } } }",
)


def nginx(peer, listen, locations, upstreams, server=""):
    """Command and files. `locations` maps a prefix to its directives, `upstreams` a name to its port."""
    text = textwrap.dedent(f"""\
        daemon off;
        worker_processes 1;
        pid nginx.pid;
        error_log stderr crit;
        events {{ worker_connections {CLIENTS_MAX}; }}
        http {{
            access_log off;
            sendfile on;
            tcp_nodelay on;
            client_body_temp_path tmp_body;
            proxy_temp_path tmp_proxy;
            fastcgi_temp_path tmp_fastcgi;
            uwsgi_temp_path tmp_uwsgi;
            scgi_temp_path tmp_scgi;
            keepalive_timeout {IDLE_SECONDS}s;
            keepalive_requests 100000000;
        """)
    for name, port in upstreams.items():
        text += block(1, f"upstream {name}", f"""\
server 127.0.0.1:{port};
keepalive {POOL};
keepalive_requests 100000000;
keepalive_timeout {IDLE_SECONDS}s;
""")
    inside = f"listen 127.0.0.1:{listen} backlog=4096;\n{server}"
    inside += "".join(block(0, f"location {prefix}", body) for prefix, body in locations.items())
    text += block(1, "server", inside) + "}\n"
    command = [peer.binary, "-p", ".", "-c", "nginx.conf", "-e", "stderr"]
    return command, {"nginx.conf": text}


def block(depth, name, body):
    text = f"{name} {{\n{textwrap.indent(body, '    ')}}}\n"
    return textwrap.indent(text, "    " * depth)


def haproxy(peer, mode, port, origin, defaults="", server=""):
    """Command and files; `defaults` are lines more, `server` words more."""
    text = textwrap.dedent(f"""\
        global
            nbthread 1
            maxconn {CLIENTS_MAX}
            no strict-limits
        defaults
            mode {mode}
            timeout connect 5s
            timeout client {IDLE_SECONDS}s
            timeout server {IDLE_SECONDS}s
        """)
    text += textwrap.indent(defaults, "    ") + textwrap.dedent(f"""\
        frontend public
            bind 127.0.0.1:{port} backlog 4096
            default_backend origin
        backend origin
            server origin 127.0.0.1:{origin} {server}
        """)
    return [peer.binary, "-db", "-f", "haproxy.cfg"], {"haproxy.cfg": text}


def caddy(peer, site, protocols, origin, tls=""):
    """Command, files and environment; `tls` is a line more for the site."""
    text = f"""\
        {{
            admin off
            auto_https off
            persist_config off
            log {{
                level ERROR
            }}
            servers {{
                protocols {protocols}
                timeouts {{
                    idle {IDLE_SECONDS}s
                }}
            }}
        }}
        {site} {{
            {tls}
            reverse_proxy 127.0.0.1:{origin} {{
                transport http {{
                    keepalive {IDLE_SECONDS}s
                    keepalive_idle_conns {POOL}
                    keepalive_idle_conns_per_host {POOL}
                    compression off
                }}
            }}
        }}
        """
    command = [peer.binary, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    # One core for Go, as for everyone; its files stay in the contestant's folder.
    env = {"GOMAXPROCS": "1", "HOME": ".", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config"}
    return command, {"Caddyfile": textwrap.dedent(text)}, env


def envoy(peer, port, codec, routes, clusters):
    """Command and files. `routes` maps a prefix to a cluster, `clusters` a name to its port and whether it
    speaks HTTP/2. With the codec HTTP3 it listens over UDP, with `cert.pem` and `key.pem` of its folder."""
    protocol, over_udp, transport = ENVOY_QUIC if codec == "HTTP3" else ("TCP", "", "")
    text = textwrap.dedent(f"""\
        static_resources:
          listeners:
          - name: public
            address: {{ socket_address: {{ protocol: {protocol}, address: 127.0.0.1, port_value: {port} }} }}
            {over_udp}
            filter_chains:
            - {transport}
              filters:
              - name: envoy.filters.network.http_connection_manager
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: public
                  codec_type: {codec}
                  generate_request_id: false
                  common_http_protocol_options: {{ idle_timeout: {IDLE_SECONDS}s }}
                  route_config:
                    virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
        """)
    for prefix, cluster in routes.items():
        text += " " * 14 + f'- {{ match: {{ prefix: "{prefix}" }}, route: {{ cluster: {cluster} }} }}\n'
    text += textwrap.indent(textwrap.dedent("""\
        http_filters:
        - name: envoy.filters.http.router
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
            suppress_envoy_headers: true
        """), " " * 10) + "  clusters:\n"
    for name, (target, speaks_http2) in clusters.items():
        text += textwrap.indent(envoy_cluster(name, target, speaks_http2), "  ")
    command = [
        peer.binary, "-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id",
        "--disable-hot-restart", "--log-level", "error",
    ]
    return command, {"envoy.yaml": text}


def envoy_cluster(name, port, speaks_http2):
    http2 = textwrap.dedent("""\
          typed_extension_protocol_options:
            envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
              "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
              explicit_http_config: { http2_protocol_options: {} }
        """) if speaks_http2 else ""
    return textwrap.dedent(f"""\
        - name: {name}
          type: STATIC
          connect_timeout: 5s
        """) + textwrap.indent(http2, "  ") + textwrap.indent(textwrap.dedent(f"""\
        load_assignment:
          cluster_name: {name}
          endpoints:
          - lb_endpoints:
            - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}
        """), "  ")
