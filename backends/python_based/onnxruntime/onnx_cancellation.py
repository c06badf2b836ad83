"""Whether to ask Triton if requests were cancelled before they are run."""

from __future__ import annotations

# `request.is_cancelled()` asks the server process and waits for its answer: 0.05 to 0.2 ms each on 2 cores (2.51),
# more than a small model takes to run. So it is asked where the answer can save at least 50 times what asking costs.
# (Requests cancelled in the dynamic batcher's queue never get here: core drops them.)
_ASK_S = 0.0001
_WORTH = 50


class RunClock:
    """Remembers what a request took of the last run it was part of."""

    def __init__(self) -> None:
        self._request_s = float("inf")

    @property
    def is_asking_worthwhile(self) -> bool:
        """True before the first run, and where a request is expected to take at least 50 times what asking does."""
        return self._request_s >= _WORTH * _ASK_S

    def took(self, requests: int, seconds: float) -> None:
        """Records a run of so many requests."""
        self._request_s = seconds / requests
