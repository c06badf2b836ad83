"""SHA-256 of files; those of big files are remembered, so that a rebuild need not read an engine again."""

from __future__ import annotations

import hashlib
import json
import os
import time

from tritonsmith.generator.home import home_folder

BIG_FILE_BYTES = 1 << 20
_KEPT = 4096  # entries; the oldest go first
# A file changed within one tick of its clock keeps its time: what was changed just now is not remembered.
_SETTLED_NS = 2_000_000_000


class HashCache:
    """Hashes of big files by path, size, modification time and inode, kept in our folder of the user's.

    It only saves time: where it cannot be read or written, files are hashed again.
    """

    def __init__(self) -> None:
        self._file = home_folder() / "hashes.json"
        self._hashes: dict[str, list[int | str]] | None = None
        self._is_changed = False

    def sha256(self, path: str, state: os.stat_result) -> str:
        """Return the hash of a file whose `stat` is `state`."""
        if state.st_size < BIG_FILE_BYTES:
            return _hash_file(path)
        key = [state.st_size, state.st_mtime_ns, state.st_ino]
        known = self._entries().get(path)
        if known and known[:3] == key:
            return str(known[3])
        digest = _hash_file(path)
        if time.time_ns() - state.st_mtime_ns > _SETTLED_NS:
            self.remember(path, state, digest)
        return digest

    def remember(self, path: str, state: os.stat_result, digest: str) -> None:
        """Take note of the hash of a big file."""
        if state.st_size >= BIG_FILE_BYTES:
            entries = self._entries()
            entries.pop(path, None)  # the newest stand last
            entries[path] = [state.st_size, state.st_mtime_ns, state.st_ino, digest]
            self._is_changed = True

    def save(self) -> None:
        """Write what was learnt; quietly not, where the cache folder cannot be written."""
        if not self._is_changed:
            return
        kept = dict(list(self._entries().items())[-_KEPT:])
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(kept))
            temporary.replace(self._file)
        except OSError:
            temporary.unlink(missing_ok=True)
        self._is_changed = False

    def _entries(self) -> dict[str, list[int | str]]:
        if self._hashes is None:
            try:
                found = json.loads(self._file.read_text())
                self._hashes = {path: entry for path, entry in found.items() if len(entry) == 4}
            except (OSError, ValueError, TypeError, AttributeError):
                self._hashes = {}
        return self._hashes


def _hash_file(path: str) -> str:
    digest = hashlib.sha256()
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a hot loop over strings
        while size := file.readinto(buffer):
            digest.update(view[:size])
    return digest.hexdigest()
