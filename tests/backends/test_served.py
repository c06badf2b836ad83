from __future__ import annotations

import json
from pathlib import Path

import pytest

from tritonsmith.backends.served import Served, read_served
from tritonsmith.generator.errors import RepositoryError


def test_without_a_lock_the_defaults_hold(tmp_path: Path) -> None:
    assert read_served(tmp_path) == read_served(tmp_path / "nosuch") == Served()
    assert Served().with_options({}).http_port == 8000
    assert Served().options.http_port == 0


def test_the_spec_names_the_server_and_the_command_line_wins(tmp_path: Path) -> None:
    lock = {"triton": "25.03", "server": {"http_port": 9000, "log_verbose": 1, "extra_args": ["--id=a"]}}
    (tmp_path / "tritonsmith.lock").write_text(json.dumps({**lock, "calls": {"a": ["b"]}}))
    served = read_served(tmp_path)
    assert (served.release, served.calls) == ("25.03", {"a": ("b",)})
    options = served.with_options({"grpc_port": 9001, "host": None})
    assert (options.http_port, options.grpc_port, options.metrics_port) == (9000, 9001, 8002)
    assert (options.log_verbose, options.extra_args) == (1, ("--id=a",))
    assert (served.options.http_port, served.options.log_verbose) == (0, 1)


def test_a_lock_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tritonsmith.lock").write_text("[")
    with pytest.raises(RepositoryError, match="cannot be read"):
        read_served(tmp_path)
    (tmp_path / "tritonsmith.lock").write_text('{"server": {"prot": 1}}')
    with pytest.raises(RepositoryError, match="the server option 'prot'"):
        _ = read_served(tmp_path).options
