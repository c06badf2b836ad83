"""One server has one name, however it was typed."""

import pytest

from tritonsmith.backends.client.alone import notes_of, server_key


@pytest.mark.parametrize("url", ["localhost:8000", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "0.0.0.0:8000"])
def test_this_machine_is_one_server_by_each_of_its_names(url: str) -> None:
    assert server_key(url) == "127.0.0.1:8000"
    assert notes_of(url) == notes_of("127.0.0.1:8000")


def test_another_port_or_machine_is_another_server() -> None:
    assert server_key("Host:8000") == "host:8000"
    assert len({server_key(url) for url in ("host:8000", "host:8001", "localhost:8000")}) == 3
