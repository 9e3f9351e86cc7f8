"""Calls through a gateway by grpcio: client.py ADDRESS CASE... Each case that went well is printed.

The server behind the gateway is server.py, or one that answers as it does. Messages are raw bytes.
"""

import asyncio
import sys
import time

import grpc

OPTIONS = [
    ("grpc.max_receive_message_length", 256 << 20),
    # One connection per channel, whatever else is open to the same address.
    ("grpc.use_local_subchannel_pool", 1),
]


class Echo:
    """The methods of test.Echo on one channel."""

    def __init__(self, channel):
        path = "/test.Echo/"
        for name in ["Unary", "Metadata", "Refuse", "TimeLeft", "Silent", "Cancelled", "Active", "Nothing"]:
            setattr(self, name, channel.unary_unary(path + name))
        self.ClientStream = channel.stream_unary(path + "ClientStream")
        for name in ["ServerStream", "RefuseLate", "Forever"]:
            setattr(self, name, channel.unary_stream(path + name))
        self.Bidi = channel.stream_stream(path + "Bidi")


async def failure(call):
    """The error that the call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call went well")


async def unary(echo):
    for size in [0, 1, 5, 16_384, 70_000]:
        message = bytes(size)
        assert await echo.Unary(message) == message


async def client_stream(echo):
    async def messages():
        for number in range(100):
            yield bytes(number)

    assert await echo.ClientStream(messages()) == b"100 4950"


async def server_stream(echo):
    sizes = [len(m) async for m in echo.ServerStream(b"200 1000")]
    assert sizes == [1000] * 200, sizes
    assert [m async for m in echo.ServerStream(b"0 0")] == []


async def bidi(echo):
    call = echo.Bidi()
    for word in [b"one", b"two", b"three" * 10_000]:
        await call.write(word)
        assert await call.read() == word  # before the next is sent
    await call.done_writing()
    assert await call.read() == grpc.aio.EOF
    assert await call.code() == grpc.StatusCode.OK


async def metadata(echo):
    sent = [("x-text", "a, b"), ("x-data-bin", bytes(range(256))), ("x-twice", "1"), ("x-twice", "2")]
    call = echo.Metadata(b"m", metadata=sent)
    assert await call == b"m"

    def of(fields, prefix):
        return [(k[len(prefix) :], v) for k, v in fields if k.startswith(prefix + "x-")]

    assert sorted(of(await call.initial_metadata(), "")) == sorted(sent)
    assert sorted(of(await call.trailing_metadata(), "trailing-")) == sorted(sent)


async def trailers_only(echo):
    error = await failure(echo.Refuse(b""))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert error.details() == "no, not é%", error
    assert ("x-why-bin", b"\x00\xff") in list(error.trailing_metadata()), error


async def late_failure(echo):
    got = []
    try:
        async for message in echo.RefuseLate(b""):
            got.append(message)
        raise AssertionError("the call went well")
    except grpc.aio.AioRpcError as caught:
        error = caught
    assert got == [b"one"], got
    assert error.code() == grpc.StatusCode.DATA_LOSS, error
    assert error.details() == "after one", error


async def unimplemented(echo):
    error = await failure(echo.Nothing(b""))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


async def deadline(echo):
    assert await echo.TimeLeft(b"") == b"none"
    left = float(await echo.TimeLeft(b"", timeout=30))
    assert 20 < left <= 31, left
    begin = time.monotonic()
    error = await failure(echo.Silent(b"", timeout=0.5))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert time.monotonic() - begin < 5


async def cancel(echo):
    before = int(await echo.Cancelled(b""))
    call = echo.Forever(b"")
    assert await call.read() == b"begun"
    call.cancel()
    silent = echo.Silent(b"")
    await asyncio.sleep(0.3)
    silent.cancel()
    for _ in range(100):
        if int(await echo.Cancelled(b"")) == before + 2:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the server was not told")


async def broken(echo):
    """Whoever runs this ends the server once the call has begun."""
    call = echo.Forever(b"")
    assert await call.read() == b"begun"
    print("begun", flush=True)
    try:
        while await call.read() != grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError:
        pass
    assert await call.code() == grpc.StatusCode.UNAVAILABLE, await call.code()
    assert "closed the connection early" in await call.details(), await call.details()


async def unavailable(echo):
    error = await failure(echo.Unary(b""))
    assert error.code() == grpc.StatusCode.UNAVAILABLE, error


async def big(echo):
    message = bytes(range(256)) * (64 << 10)  # 16 MiB
    assert await echo.Unary(message) == message
    sizes = [len(m) async for m in echo.ServerStream(b"8 4000000")]
    assert sizes == [4_000_000] * 8


async def compressed(echo):
    message = b"again and " * 50_000
    assert await echo.Unary(message, compression=grpc.Compression.Gzip) == message


async def many(echo):
    """A thousand streams at once, each with its own words."""
    await echo.Unary(b"")
    calls = [echo.Bidi() for _ in range(1000)]

    async def write(number, call):
        await call.write(b"first %d" % number)
        assert await call.read() == b"first %d" % number

    async def end(number, call):
        await call.write(b"last %d" % number)
        assert await call.read() == b"last %d" % number
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.OK

    await asyncio.gather(*(write(*pair) for pair in enumerate(calls)))
    active = int(await echo.Active(b""))
    assert active == 1000, active
    await asyncio.gather(*(end(*pair) for pair in enumerate(calls)))


async def main():
    address, cases = sys.argv[1], sys.argv[2:]
    if "," in address:  # ADDRESS,CA for TLS
        address, ca = address.split(",")
        credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
        channel = grpc.aio.secure_channel(address, credentials, options=OPTIONS)
    else:
        channel = grpc.aio.insecure_channel(address, options=OPTIONS)
    async with channel:
        echo = Echo(channel)
        for case in cases:
            await asyncio.wait_for(globals()[case](echo), 60)
            print("well", case, flush=True)


asyncio.run(main())
