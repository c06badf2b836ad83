"""tritonserver's options: all there are, which appeared when, and what is taken where one is not given."""

from __future__ import annotations

from collections.abc import Sequence

# Ports that it listens on, and how long requests in flight may take at its end, unless it is told otherwise.
# Source: server: src/command_line_parser.h (TritonServerParameters).
DEFAULT_PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
EXIT_TIMEOUT_S = 30
# Source: server: src/command_line_parser.cc, of e1db8a603 (2026-08).
_OPTIONS = """
allow-client-shm allow-cpu-metrics allow-gpu-metrics allow-grpc allow-http allow-metrics allow-sagemaker
allow-vertex-ai backend-config backend-directory buffer-manager-thread-count cache-config cache-directory
cuda-memory-pool-byte-size cuda-virtual-address-size disable-auto-complete-config enable-peer-access exit-on-error
exit-timeout-secs grpc-address grpc-header-forward-pattern grpc-http2-max-ping-strikes
grpc-http2-max-pings-without-data grpc-http2-min-recv-ping-interval-without-data grpc-infer-allocation-pool-size
grpc-infer-response-compression-level grpc-infer-thread-count grpc-keepalive-permit-without-calls
grpc-keepalive-time grpc-keepalive-timeout grpc-max-connection-age grpc-max-connection-age-grace
grpc-max-response-pool-size grpc-port grpc-restricted-protocol grpc-root-cert grpc-server-cert grpc-server-key
grpc-use-ssl grpc-use-ssl-mutual help host-policy http-address http-header-forward-pattern http-max-input-size
http-port http-restricted-api http-thread-count id load-model log-error log-file log-format log-info log-verbose
log-warning metrics-address metrics-config metrics-interval-ms metrics-port min-supported-compute-capability
model-config-name model-control-mode model-load-gpu-limit model-load-retry-count model-load-thread-count
model-namespacing model-repository model-store pinned-memory-pool-byte-size rate-limit rate-limit-resource
repoagent-directory repository-poll-secs response-cache-byte-size reuse-grpc-port reuse-http-port sagemaker-port
sagemaker-safe-port-range sagemaker-thread-count strict-model-config strict-readiness trace-config trace-count
trace-file trace-level trace-log-frequency trace-rate vertex-ai-default-model vertex-ai-port vertex-ai-thread-count
"""
OPTIONS = frozenset(_OPTIONS.split())  # without their dashes
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
