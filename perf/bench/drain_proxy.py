"""What stands between clients and pods, on this machine: a Service's endpoints, and those who forward to them.

At `http` and `grpc` it forwards connections, as kube-proxy does: one goes to one pod and stays with it until an end
closes it, also after the pod has left the endpoints. At `gateway` it forwards HTTP requests, as a gateway or an ingress
does: each goes to a pod of the endpoints, and idle connections to a pod that left are closed. Nothing is asked twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

HOST = "127.0.0.1"
PROBE_S = 0.1  # between two looks at /v2/health/ready of a pod that is starting
PIECE_BYTES = 1 << 16
Port = Literal["gateway", "http", "grpc"]
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True)
class Pod:
    """A server, by its ports on this machine."""

    http: int
    grpc: int


@dataclass
class Proxy:
    """A Service: a pod that is listed gets new connections once it has answered as ready, until it leaves."""

    ports: dict[Port, int] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _ready: list[Pod] = field(default_factory=list)
    _idle: defaultdict[Pod, list[Pair]] = field(default_factory=lambda: defaultdict(list))
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _turn: int = 0

    def url(self, port: Port) -> str:
        """Return where a port is."""
        return f"{HOST}:{self.ports[port]}"

    def add(self, pod: Pod) -> None:
        """List a pod among the endpoints, and wait until it is ready."""
        asyncio.run_coroutine_threadsafe(self._join(pod), self._loop).result()

    def remove(self, pod: Pod, after_s: float) -> None:
        """Take a pod from the endpoints, so long after it began to end: news of it takes a while to arrive."""
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(after_s, self._leave, pod))

    async def listen(self) -> None:
        """Open the ports."""
        for port in get_args(Port):
            server = await asyncio.start_server(self._forwarder(port), HOST, 0)
            self._servers.append(server)
            self.ports[port] = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close all ports and connections."""
        for server in self._servers:
            server.close()
        for writer in list(self._open):
            writer.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forwarder(self, port: Port) -> Callable[..., Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._open.add(writer)
            # whichever end goes first, the other one sees its connection closed
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                if port == "gateway":
                    await self._forward_requests((reader, writer))
                else:
                    await self._forward_connection((reader, writer), port)
            self._close(writer)

        return serve

    def _next(self) -> Pod | None:
        self._turn += 1
        return self._ready[self._turn % len(self._ready)] if self._ready else None

    async def _forward_connection(self, client: Pair, port: Port) -> None:
        pod = self._next()
        if pod is None:
            return
        server = await self._connect(getattr(pod, port))
        pumps = [asyncio.create_task(_pump(client[0], server[1])), asyncio.create_task(_pump(server[0], client[1]))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        self._close(server[1])
        client[1].close()
        await asyncio.wait(pumps)

    async def _forward_requests(self, client: Pair) -> None:
        while True:
            request = await _read_message(client[0])
            pod = self._next()
            client[1].write(await self._ask(pod, request) if pod else UNAVAILABLE)

    async def _ask(self, pod: Pod, request: bytes) -> bytes:
        idle = self._idle[pod]
        reader, writer = idle.pop() if idle else await self._connect(pod.http)
        writer.write(request)
        answer = await _read_message(reader)
        if pod in self._ready:
            self._idle[pod].append((reader, writer))
        else:
            self._close(writer)
        return answer

    async def _connect(self, port: int) -> Pair:
        reader, writer = await asyncio.open_connection(HOST, port)
        self._open.add(writer)
        return reader, writer

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.close()

    async def _join(self, pod: Pod) -> None:
        while not await _is_ready(pod):
            await asyncio.sleep(PROBE_S)
        self._ready.append(pod)

    def _leave(self, pod: Pod) -> None:
        self._ready.remove(pod)
        for _, writer in self._idle.pop(pod, []):
            self._close(writer)


@contextmanager
def running_proxy() -> Iterator[Proxy]:
    """Forward while the block runs, in a thread of its own."""
    proxy = Proxy()
    loop = proxy._loop
    loop.run_until_complete(proxy.listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    """Return one HTTP/1.1 message, whose head gives the length of its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    return head + await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def _is_ready(pod: Pod) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, pod.http)
    except OSError:
        return False
    writer.write(READY)
    try:
        return (await reader.readline()).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False
    finally:
        writer.close()
