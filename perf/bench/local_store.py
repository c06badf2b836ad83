"""An S3 on this machine for tests and benchmarks, which can drop dead at a client's n-th request; needs moto."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal["before", "body", "after"]
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_DENIED = b"<Error><Code>AccessDenied</Code><Message>the store was cut off</Message></Error>"


@dataclass
class LocalStore:
    """A running S3 with one bucket; `requests` were seen since the last `cut_at` or `mend`.

    From the `cut_at`-th request on, which is carried out or not by its phase, nothing is answered any more. `on_cut` is
    called then: it may kill the client.
    """

    port: int = 0
    requests: int = 0
    _cut: int | None = None
    _phase: Phase = "before"
    _on_cut: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        """Return the URL of a path in the bucket, as Triton and we take it."""
        return f"s3://127.0.0.1:{self.port}/models/{path}"

    @property
    def client(self) -> Any:
        """A boto3 client of it."""
        import boto3

        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}")

    def cut_at(self, request: int, phase: Phase = "before", on_cut: Callable[[], None] = lambda: None) -> None:
        """Drop dead at a request, counted from 1 and from now."""
        self.requests, self._cut, self._phase, self._on_cut = 0, request, phase, on_cut

    def mend(self) -> None:
        """Answer again, and count from 0."""
        self.requests, self._cut = 0, None

    def answer(self, inner: Callable[..., Iterable[bytes]], environ: Any, start: Any) -> Iterable[bytes]:
        """Answer a request by WSGI."""
        with self._lock:
            self.requests += 1
            count, cut = self.requests, self._cut
        if cut is None or count < cut:
            return inner(environ, start)
        answered = None
        if count == cut:
            if self._phase == "after":
                answered = list(inner(environ, start))
            elif self._phase == "body":
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
            self._on_cut()
        if answered is not None:
            return answered
        start("403 Forbidden", [("Content-Type", "application/xml")])
        return [_DENIED]


@contextmanager
def local_store() -> Iterator[LocalStore]:
    """Run an S3 in a thread while the block runs, with its credentials in the environment."""
    from moto.moto_api._internal.models import moto_api_backend
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request
    inner, store = DomainDispatcherApplication(create_backend_app), LocalStore()
    server = make_server("127.0.0.1", 0, lambda environ, start: store.answer(inner, environ, start), threaded=True)
    store.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    before = dict(os.environ)
    os.environ.update(CREDENTIALS)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        os.environ.pop(name, None)
    try:
        store.client.create_bucket(Bucket="models")
        store.mend()
        yield store
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.shutdown()
        thread.join()
        server.server_close()
        moto_api_backend.reset()
