"""The files that make gRPC speak TLS: found, and tried, before a server starts with them."""

from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path

from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerOptions

SETTINGS = {"cert": "server.tls.certificate", "key": "server.tls.key", "root": "server.tls.root"}


def with_certificates(options: ServerOptions) -> ServerOptions:
    """Return the options with the TLS files' absolute paths; relative ones count from the current folder.

    A repository does not know where the spec that built it lies, and its lock is the same on every machine, so that
    the spec's folder cannot be what they count from.

    Raises: ServerError where a file is not there, or certificate and key do not belong together. The server itself
    would call that "Socket '...' already in use".
    """
    files = {key: Path(path).resolve() for key, path in options.tls.items()}
    for key, path in files.items():
        if not path.is_file():
            raise ServerError(
                f"there is no file {path}",
                where=SETTINGS[key],
                hint=f"'{options.tls[key]}' counts from the current folder, {Path.cwd()}: start there, or in the spec "
                "write an absolute path",
            )
    if files:
        _try(files)
    return dataclasses.replace(options, tls={key: str(path) for key, path in files.items()})


def _try(files: dict[str, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # whether a key is long enough is not ours to judge
    key = "cert"
    try:
        context.load_cert_chain(files["cert"], files["key"], password="")  # else a locked key is asked for on stdin
        if "root" in files:
            key = "root"
            context.load_verify_locations(files["root"])
    except OSError as problem:  # SSLError is one
        pair = f"{files['cert']} with {files['key']}" if key == "cert" else str(files["root"])
        raise ServerError(
            f"cannot use {pair}: {problem}",
            where=SETTINGS[key],
            hint="give PEM files that may be read, and the key, without a password, that belongs to the certificate",
        ) from problem
