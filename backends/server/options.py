"""What a server is started with: the options and the command line are the generator's, whose scripts need them too."""

from tritonsmith.generator.manifests.server import (
    LAST_PORT,
    LONGEST_LIMIT_S,
    ModelControlMode,
    ServerFolders,
    ServerOptions,
    cache_config,
    server_argv,
)

__all__ = [
    "LAST_PORT",
    "LONGEST_LIMIT_S",
    "ModelControlMode",
    "ServerFolders",
    "ServerOptions",
    "cache_config",
    "server_argv",
]
