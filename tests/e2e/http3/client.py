"""HTTP/3 clients that share no code with the gateway: aioquic, and curl (ngtcp2, nghttp3).

client.py PORT CA: asks a.example at 127.0.0.1:PORT, and prints `well CASE` for each that went well.
"""

import asyncio
import hashlib
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset
from curl_cffi import CurlHttpVersion, CurlOpt, Session

PORT, CA = int(sys.argv[1]), sys.argv[2]
BIG = bytes(range(256)) * 4096  # 1 MiB


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.replies = {}
        self.ended = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated) and not self.ended.done():
            self.ended.set_result(event.error_code)
        if isinstance(event, StreamReset) and event.stream_id in self.replies:
            self.replies.pop(event.stream_id)[1].set_result(("reset", event.error_code))
        for event in self.http.handle_event(event):
            if not isinstance(event, (HeadersReceived, DataReceived)):
                continue
            if event.stream_id not in self.replies:
                continue
            reply, done = self.replies[event.stream_id]
            if isinstance(event, HeadersReceived):
                reply.append(dict(event.headers))
            else:
                reply.append(event.data)
            if event.stream_ended:
                del self.replies[event.stream_id]
                heads = [part for part in reply if isinstance(part, dict)]
                body = b"".join(part for part in reply if isinstance(part, bytes))
                done.set_result((int(heads[0][b":status"]), body, heads))

    async def ask(self, method, path, body=b"", fields=()):
        stream = self._quic.get_next_available_stream_id()
        done = asyncio.get_running_loop().create_future()
        self.replies[stream] = ([], done)
        head = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", b"a.example"),
            (b":path", path.encode()),
            *fields,
        ]
        self.http.send_headers(stream, head, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        return await asyncio.wait_for(done, 20)


def well(case, held):
    print(f"well {case}" if held else f"WRONG {case}", flush=True)


async def by_aioquic():
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="a.example")
    configuration.load_verify_locations(CA)
    async with connect("127.0.0.1", PORT, configuration=configuration, create_protocol=Client) as client:
        status, body, heads = await client.ask("GET", "/text")
        well("get", (status, body) == (200, b"hello") and heads[0][b"content-length"] == b"5")
        status, body, _ = await client.ask("POST", "/length", BIG)
        well("big request", (status, body) == (200, str(len(BIG)).encode()))
        status, body, _ = await client.ask("GET", "/big")
        well("big reply", status == 200 and len(body) == 4 << 20)
        status, body, heads = await client.ask("GET", "/trailers")
        well("trailers", body == b"body" and heads[-1] == {b"x-sum": b"7"})
        status, body, _ = await client.ask("GET", "/a%2fb")
        well("refused", status == 400 and b"ambiguous_path" in body)
        fields = [(b"x-%d" % n, b"v") for n in range(150)]
        status, body, _ = await client.ask("GET", "/", fields=fields)
        well("too many fields", status == 431)
        asked = [client.ask("GET", "/text") for _ in range(100)]
        replies = await asyncio.gather(*asked)
        well("many", all(reply[1] == b"hello" for reply in replies))


def by_curl():
    options = {CurlOpt.RESOLVE: [f"a.example:{PORT}:127.0.0.1"]}
    with Session(http_version=CurlHttpVersion.V3ONLY, verify=CA, curl_options=options) as session:
        at = f"https://a.example:{PORT}"
        reply = session.get(f"{at}/text")
        well("curl get", (reply.status_code, reply.text, reply.http_version) == (200, "hello", 30))
        reply = session.post(f"{at}/length", data=BIG)
        well("curl big request", (reply.status_code, reply.text) == (200, str(len(BIG))))
        reply = session.get(f"{at}/big")
        well("curl big reply", len(reply.content) == 4 << 20)
        reply = session.head(f"{at}/text")
        well("curl head", reply.status_code == 200 and reply.headers["content-length"] == "5")


asyncio.run(by_aioquic())
by_curl()
