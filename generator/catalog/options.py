"""tritonserver's options by release: which appeared when."""

from __future__ import annotations

from collections.abc import Sequence

# Those younger than the catalog's first release; none has gone since.
# Source: server: src/command_line_parser.cc of each release branch from r24.01 to r26.08.
OPTIONS_SINCE: dict[str, str] = {
    "--model-config-name": "24.05",
    "--enable-peer-access": "24.06",
    "--grpc-max-response-pool-size": "25.03",
    "--grpc-infer-thread-count": "25.04",
    "--http-max-input-size": "25.06",
    "--allow-client-shm": "26.04",
}


def known_words(argv: Sequence[str], release: str) -> list[str]:
    """Return a command without the options that the release's server does not know yet, and would not start with."""
    return [word for word in argv if OPTIONS_SINCE.get(word.partition("=")[0], "") <= release]
