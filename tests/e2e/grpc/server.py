"""A gRPC server on grpcio, with methods that send what they are asked for. Messages are raw bytes.

Arguments: the port (0 for any), and a certificate and its key for TLS. Prints its port.
"""

import asyncio
import sys

import grpc

# Calls whose client cancelled, and calls under way; told by /test.Echo/Cancelled.
cancelled = 0
active = 0


async def unary(request, context):
    return request


async def client_stream(requests, context):
    count = total = 0
    async for message in requests:
        count += 1
        total += len(message)
    return f"{count} {total}".encode()


async def server_stream(request, context):
    count, size = (int(word) for word in request.split())
    for number in range(count):
        yield bytes([number % 256]) * size


async def bidi(requests, context):
    global active
    active += 1
    async for message in requests:
        yield message
    active -= 1


async def metadata(request, context):
    """Sends the caller's own metadata back, in the head and in the trailers."""
    own = ("x-text", "x-data-bin", "x-twice")
    sent = [(k, v) for k, v in context.invocation_metadata() if k in own]
    await context.send_initial_metadata(sent)
    context.set_trailing_metadata([("trailing-" + k, v) for k, v in sent])
    return request


async def refuse(request, context):
    """Ends at once: a trailers-only reply."""
    context.set_trailing_metadata([("x-why-bin", b"\x00\xff")])
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no, not é%")


async def refuse_late(request, context):
    yield b"one"
    await context.abort(grpc.StatusCode.DATA_LOSS, "after one")


async def time_left(request, context):
    left = context.time_remaining()
    return b"none" if left is None else str(left).encode()


async def forever(request, context):
    global cancelled
    try:
        yield b"begun"
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        cancelled += 1
        raise


async def silent(request, context):
    global cancelled
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        cancelled += 1
        raise
    return b""


async def tell_cancelled(request, context):
    return str(cancelled).encode()


async def tell_active(request, context):
    return str(active).encode()


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Metadata": grpc.unary_unary_rpc_method_handler(metadata),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    "RefuseLate": grpc.unary_stream_rpc_method_handler(refuse_late),
    "TimeLeft": grpc.unary_unary_rpc_method_handler(time_left),
    "Forever": grpc.unary_stream_rpc_method_handler(forever),
    "Silent": grpc.unary_unary_rpc_method_handler(silent),
    "Cancelled": grpc.unary_unary_rpc_method_handler(tell_cancelled),
    "Active": grpc.unary_unary_rpc_method_handler(tell_active),
}


async def main():
    options = [
        ("grpc.max_receive_message_length", 256 << 20),
        ("grpc.max_concurrent_streams", 2000),
    ]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", METHODS)])
    address = "127.0.0.1:" + (sys.argv[1] if len(sys.argv) > 1 else "0")
    if len(sys.argv) > 2:
        cert, key = (open(path, "rb").read() for path in sys.argv[2:4])
        credentials = grpc.ssl_server_credentials([(key, cert)])
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    await server.start()
    print(f"port {port}", flush=True)
    await server.wait_for_termination()


asyncio.run(main())
