"""The KV cache's blocks: who holds how many, and which hold a known run of tokens that another request may reuse.

A block is `tokens_per_block` tokens of one sequence. Three kinds add up to at most `max_blocks`: own blocks of the
sequences inside (counted only: they lie in a sequence's row), shared ones (content known, some sequence inside uses
it) and idle ones (content known, nobody uses it: given away, the one unused longest first, when a block is wanted).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Key = bytes  # stands for a block's tokens and all tokens before them


def block_keys(tokens: npt.NDArray[np.int32], tokens_per_block: int, known: Sequence[Key] = ()) -> list[Key]:
    """Return the keys of the full blocks of a sequence; `known` are those of its first blocks."""
    keys = list(known)
    for start in range(len(keys) * tokens_per_block, len(tokens) - tokens_per_block + 1, tokens_per_block):
        before = keys[-1] if keys else b""
        block = tokens[start : start + tokens_per_block].tobytes()
        keys.append(hashlib.blake2b(before + block, digest_size=16).digest())
    return keys


@dataclass
class _Shared:
    place: int
    users: int


class BlockBooks:
    """Counts blocks and knows the place of each block with known content; the content itself lies elsewhere."""

    def __init__(self, max_blocks: int, tokens_per_block: int) -> None:
        self.max_blocks, self.tokens_per_block = max_blocks, tokens_per_block
        self.own = 0
        self.reused = 0  # counted since the start
        self._shared: dict[Key, _Shared] = {}
        self._idle: OrderedDict[Key, int] = OrderedDict()  # key -> place, the one unused longest first
        self._vacant = list(range(max_blocks))[::-1]  # places without content

    @property
    def used(self) -> int:
        """Blocks that sequences inside hold."""
        return self.own + len(self._shared)

    @property
    def free(self) -> int:
        """Blocks that can be had."""
        return self.max_blocks - self.used

    def blocks_of(self, tokens: int) -> int:
        """Return how many blocks so many tokens need."""
        return -(-tokens // self.tokens_per_block)

    def count_known(self, keys: Sequence[Key]) -> int:
        """Return how many of the first keys have known content."""
        for number, key in enumerate(keys):
            if key not in self._shared and key not in self._idle:
                return number
        return len(keys)

    def take(self, keys: Sequence[Key], new: int, spare: int = 0) -> list[int] | None:
        """Share known blocks and take `new` own ones; return the places of the shared, or None if too few are free.

        With `spare`, so many must be left free.
        """
        woken = sum(key in self._idle for key in keys)
        if new + woken + spare > self.free:
            return None
        places = [self._share(key) for key in keys]
        self.reused += len(keys)
        self._take_own(new)
        return places

    def grow(self) -> bool:
        """Take one more own block; False if none is free."""
        if not self.free:
            return False
        self._take_own(1)
        return True

    def publish(self, keys: Sequence[Key]) -> list[int]:
        """Make own blocks shared ones, known by these keys; return for each where its content must be put, -1: nowhere.

        Nowhere, where another sequence has published the same: the own block is given back then.
        """
        places = []
        for key in keys:
            self.own -= 1
            if key in self._shared or key in self._idle:
                self._share(key)
                places.append(-1)
            else:
                place = self._vacant.pop()
                self._shared[key] = _Shared(place, 1)
                places.append(place)
        return places

    def release(self, keys: Sequence[Key], own: int) -> None:
        """Give back what a sequence holds; content that nobody uses any more stays known until its place is wanted."""
        self.own -= own
        for key in reversed(keys):  # a block is given away before those that it continues
            shared = self._shared[key]
            shared.users -= 1
            if not shared.users:
                del self._shared[key]
                self._idle[key] = shared.place

    def _share(self, key: Key) -> int:
        if key in self._idle:
            self._shared[key] = _Shared(self._idle.pop(key), 0)
        shared = self._shared[key]
        shared.users += 1
        return shared.place

    def _take_own(self, count: int) -> None:
        self.own += count
        while self.own + len(self._shared) + len(self._idle) > self.max_blocks:
            _, place = self._idle.popitem(last=False)
            self._vacant.append(place)
