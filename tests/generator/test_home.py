from pathlib import Path

from tritonsmith.generator.home import home_folder


def test_the_folder_can_be_chosen() -> None:
    assert home_folder({"TRITONSMITH_HOME": "/t", "XDG_CACHE_HOME": "/c"}) == Path("/t")
    assert home_folder({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/tritonsmith")
    assert home_folder({"HOME": "/h"}) == Path("/h/.cache/tritonsmith")
