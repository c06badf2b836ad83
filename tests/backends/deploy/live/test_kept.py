"""Which versions stay when new ones come."""

import pytest

from tritonsmith.backends.deploy.live.kept import staying


@pytest.mark.parametrize(
    ("there", "ours", "put", "kept", "expected"),
    [
        ([], [], [1], 2, []),
        ([1], [], [2], 2, [1]),  # another's
        ([1], [], [2], 1, [1]),
        ([1, 2], [1, 2], [3], 2, [2]),
        ([1, 2], [1, 2], [3], 1, []),
        ([1, 2], [2], [3], 1, [1]),
        ([2, 3], [2, 3], [4], 4, [2, 3]),  # more room than versions
        ([2, 3], [2, 3], [4], 9, [2, 3]),
        ([1, 9, 10], [1, 9, 10], [11], 3, [9, 10]),  # by number, not by name
        ([1, 2], [1, 2], [1, 2], 1, [1, 2]),  # what the repository has stays, however few are to be kept
        ([1, 2, 3], [1, 2, 3], [2], 2, [2, 3]),
    ],
)
def test_others_versions_stay_and_of_ours_the_newest(
    there: list[int], ours: list[int], put: list[int], kept: int, expected: list[int]
) -> None:
    assert sorted(staying(there, ours=ours, put=put, kept=kept)) == expected
