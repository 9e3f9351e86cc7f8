"""How each contestant is started: its configuration and command line, one worker, same work.

Must hold: all proxy plain HTTP/1.1 with keep-alive on both sides and enough idle upstream
connections for the load, without an access log; only `portway-full` also does policies. Peers are
configured as their manuals advise for this work, so that no figure comes from a crippled peer.
"""

import dataclasses
import textwrap

from harness import documents
from harness.documents import IDLE_SECONDS, POOL
from harness.paths import RELEASE, SHARED_MEMORY, SHIPPED


@dataclasses.dataclass
class Started:
    """What to run: the files are written before the command starts, in the contestant's folder."""

    command: list
    files: dict
    env: dict
    path: str = "/"
    big_path: str = "/big"
    log: str = ""
    scheme: str = "http"


def plan(name, peer, port, origin, admin):
    """Files and command of the contestant `name`, listening on `port` before `origin`."""
    makers = {
        "nginx": nginx, "nginx-deb": nginx, "haproxy": haproxy, "haproxy-deb": haproxy,
        "envoy": envoy, "caddy": caddy,
    }
    if name in makers:
        command, files, env = makers[name](peer, port, origin)
        return Started(command, files, {**peer.env, **env})
    if name == "relay":
        return Started([RELEASE / "relay", port, origin], {}, {})
    if name == "portway":
        return portway(portway_plain(port, origin, admin))
    log = SHARED_MEMORY / f"portway-bench-{port}.log"
    started = portway(portway_full(port, origin, admin, log))
    started.path = "/api/v1/users/42"
    started.big_path = "/big/file"
    started.log = str(log)
    return started


def nginx(peer, port, origin):
    to_origin = documents.NGINX_TO_ORIGIN + textwrap.dedent("""\
        proxy_buffers 16 32k;
        proxy_buffer_size 16k;
        proxy_busy_buffers_size 128k;
        proxy_max_temp_file_size 0;
        """)
    command, files = documents.nginx(peer, port, {"/": to_origin}, {"origin": origin})
    return command, files, {}


def haproxy(peer, port, origin):
    reuse = f"timeout http-keep-alive {IDLE_SECONDS}s\noption splice-auto\nhttp-reuse always\n"
    pool = f"pool-max-conn {POOL} pool-purge-delay {IDLE_SECONDS}s"
    command, files = documents.haproxy(peer, "http", port, origin, reuse, pool)
    return command, files, {}


def envoy(peer, port, origin):
    command, files = documents.envoy(peer, port, "HTTP1", {"/": "origin"}, {"origin": (origin, False)})
    return command, files, {}


def caddy(peer, port, origin):
    return documents.caddy(peer, f"http://127.0.0.1:{port}", "h1", origin)


def portway(text):
    return Started([SHIPPED, "run", "-c", "portway.yaml"], {"portway.yaml": text}, {})


def portway_head(port, origin, admin, listens=True):
    """What every document begins with; without `listens` its listeners are named further down."""
    listener = f"  host: 127.0.0.1\n  port: {port}\n" if listens else ""
    return f"server:\n{listener}" + textwrap.dedent(f"""\
          workers: 1
          idle_timeout: {IDLE_SECONDS}s
        admin:
          bind: 127.0.0.1:{admin}
        upstreams:
          - name: origin
            targets:
              - {{ addr: "http://127.0.0.1:{origin}" }}
            timeouts: {{ idle: {IDLE_SECONDS}s }}
            pool: {{ max_idle_per_target: {POOL} }}
        """)


def portway_plain(port, origin, admin):
    return portway_head(port, origin, admin) + textwrap.dedent("""\
        routes:
          - { name: all, prefix: /, upstream: origin }
        """)


def portway_full(port, origin, admin, log):
    """The policy set of the goals; limits so high that every request passes."""
    return portway_head(port, origin, admin) + textwrap.dedent(f"""\
        routes:
          - name: users
            prefix: /api/v1/users
            methods: [GET, POST]
            upstream: origin
            filters:
              - rate_limit: {{ qps: 10000000, burst: 10000000 }}
              - circuit_breaker: {{ threshold: 5, timeout: 30s }}
          - {{ name: orders, prefix: /api/v1/orders, upstream: origin }}
          - {{ name: users-v2, prefix: /api/v2/users, upstream: origin }}
          - {{ name: item, path: "/items/{{id}}", upstream: origin }}
          - {{ name: admin, hosts: [admin.example.com], prefix: /, upstream: origin }}
          - {{ name: shop, hosts: ["*.shop.example.com"], prefix: /, upstream: origin }}
          - name: big
            prefix: /big
            upstream: origin
            filters:
              - rate_limit: {{ qps: 10000000, burst: 10000000 }}
              - circuit_breaker: {{ threshold: 5, timeout: 30s }}
        global_filters:
          - request_id: {{ header: X-Request-ID }}
          - logging: {{ format: json, output: {log} }}
          - metrics: {{ enabled: true, namespace: portway }}
        """)


def portway_reload(port, origin, admin, routes, generation):
    """A document of `routes` routes; `/generation` says which document is live."""
    lines = [portway_head(port, origin, admin), "routes:\n"]
    lines.append("  - { name: all, prefix: /, upstream: origin }\n")
    lines.append(
        "  - { name: generation, path: /generation, "
        f'respond: {{ status: 200, body: "{generation}" }} }}\n'
    )
    for index in range(routes - 2):
        lines.append(
            f"  - {{ name: r{index}, hosts: [h{index % 100}.example.com], "
            f"prefix: /service{index}/v1, upstream: origin }}\n"
        )
    return "".join(lines)
