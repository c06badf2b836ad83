"""The books of the KV cache: blocks add up, content is found by all tokens up to it, the oldest goes first."""

from __future__ import annotations

import random

import numpy as np

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.blocks import BlockBooks, block_keys


def keys_of(*tokens: int) -> list[bytes]:
    return block_keys(np.array(tokens, np.int32), 2)


def test_a_key_stands_for_its_block_and_all_before_it() -> None:
    one, other, longer = keys_of(1, 2, 3, 4), keys_of(9, 2, 3, 4), keys_of(1, 2, 3, 4, 5, 6, 7)
    assert one[0] != other[0]
    assert one[1] != other[1]
    assert longer[:2] == one
    assert len(longer) == 3
    assert block_keys(np.array([1, 2, 3, 4, 5, 6], np.int32), 2, one) == longer


def test_released_content_is_found_again_until_its_place_is_wanted() -> None:
    books, keys = BlockBooks(4, 2), keys_of(1, 2, 3, 4)
    assert books.take([], 3) == []
    assert books.publish(keys) == [0, 1]
    assert (books.own, books.used, books.free) == (1, 3, 1)
    books.release(keys, 1)
    assert (books.used, books.free, books.count_known(keys)) == (0, 4, 2)
    assert books.take(keys, 1) == [0, 1]
    assert (books.used, books.reused) == (3, 2)
    books.release(keys, 1)
    assert books.take([], 3) == []
    assert books.count_known(keys) == 1  # the end of the sequence went, its beginning is kept
    assert books.take(keys[:1], 1) is None


def test_content_in_use_is_never_given_away() -> None:
    books, keys = BlockBooks(2, 2), keys_of(1, 2, 3, 4)
    books.take([], 2)
    books.publish(keys)
    assert books.take([], 1) is None
    assert not books.grow()
    assert books.take(keys, 0) == [0, 1]
    books.release(keys, 0)
    assert not books.grow()  # its first user is still inside
    books.release(keys, 0)
    assert books.grow()


def test_the_same_content_from_two_sequences_is_kept_once() -> None:
    books, keys = BlockBooks(4, 2), keys_of(1, 2, 3, 4)
    books.take([], 2)
    books.take([], 2)
    assert books.publish(keys) == [0, 1]
    assert books.publish(keys) == [-1, -1]
    assert (books.used, books.free) == (2, 2)


def test_blocks_left_to_spare_are_not_taken() -> None:
    books = BlockBooks(4, 2)
    assert books.take([], 3, spare=2) is None
    assert books.take([], 2, spare=2) == []


def test_the_books_add_up_whatever_happens() -> None:
    chance = random.Random(0)
    books = BlockBooks(12, 2)
    held: list[tuple[list[bytes], int]] = []
    places: dict[bytes, int] = {}
    for _ in range(4000):
        if held and chance.random() < 0.45:
            books.release(*held.pop(chance.randrange(len(held))))
        else:
            keys = keys_of(*(chance.randrange(2) for _ in range(chance.randrange(2, 13))))
            known = books.count_known(keys)
            found = books.take(keys[:known], len(keys) - known + 1)
            if found is None:
                continue
            assert found == [places[key] for key in keys[:known]]
            fresh = books.publish(keys[known:])
            places |= {key: place for key, place in zip(keys[known:], fresh, strict=True) if place >= 0}
            held.append((keys, 1))
        distinct = {key for keys, _ in held for key in keys}
        assert books.used == len(distinct) + len(held)
        assert 0 <= books.free == 12 - books.used
    for keys, own in held:
        books.release(keys, own)
    assert (books.own, books.used, books.free) == (0, 0, 12)
