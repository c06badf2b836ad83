"""What a build changes: computed before anything is written, shown as a diff."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.repository.hashes import HashCache
from tritonsmith.generator.repository.states import FileState, Tree, WantedFile, parent_folders, read_state


@dataclass(frozen=True)
class FileChange:
    """One file before and after a build: None where there is none. `conflict` says why the build may not touch it."""

    path: str
    before: FileState | None
    after: FileState | None
    conflict: str = ""

    def diff(self) -> str:
        """Return a unified diff, or one line where a side is not text."""
        old, new = _text(self.before), _text(self.after)
        if old is None or new is None:
            return f"{self.path}: {_summary(self.before)} -> {_summary(self.after)}\n"
        from_file = f"a/{self.path}" if self.before else "/dev/null"
        to_file = f"b/{self.path}" if self.after else "/dev/null"
        lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), from_file, to_file)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True)
class Changes:
    """What a build does to a repository, paths relative to its root. `conflicts` are what it may not do unforced."""

    added: tuple[FileChange, ...] = ()
    changed: tuple[FileChange, ...] = ()
    removed: tuple[FileChange, ...] = ()
    unchanged: tuple[str, ...] = ()
    conflicts: tuple[FileChange, ...] = ()
    obstacles: tuple[str, ...] = ()  # what no force removes: folders where a file shall be, files where a folder shall
    folders: tuple[str, ...] = ()  # empty folders that are made

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.conflicts or self.folders)

    def diff(self) -> str:
        """Return everything that changes as text."""
        changes = [*self.added, *self.changed, *self.removed, *self.conflicts]
        return "".join(change.diff() for change in sorted(changes, key=lambda change: change.path))


def compare(
    root: Path,
    tree: Tree,
    ours: Mapping[str, FileState],
    wanted: Mapping[str, WantedFile],
    folders: tuple[str, ...],
    hashes: HashCache,
) -> Changes:
    """Return what must change in the tree at `root` for it to hold the wanted files; `ours` is what we wrote there."""
    added: list[FileChange] = []
    changed: list[FileChange] = []
    removed: list[FileChange] = []
    conflicts: list[FileChange] = []
    unchanged: list[str] = []
    for path, want in wanted.items():
        state = tree.files.get(path)
        if state is None:
            added.append(FileChange(path, None, want.state))
            continue
        before = read_state(f"{root}/{path}", state, hashes)
        if before == want.state:
            unchanged.append(path)
        elif conflict := _conflict(before, ours.get(path)):
            conflicts.append(FileChange(path, before, want.state, conflict))
        else:
            changed.append(FileChange(path, before, want.state))
    for path in sorted(ours.keys() - wanted.keys()):
        if path in tree.files:
            before = read_state(f"{root}/{path}", tree.files[path], hashes)
            conflict = _conflict(before, ours[path])
            (conflicts if conflict else removed).append(FileChange(path, before, None, conflict))
    return Changes(
        tuple(added),
        tuple(changed),
        tuple(removed),
        tuple(unchanged),
        tuple(conflicts),
        tuple(_obstacles(tree, ours, {change.path for change in removed}, [change.path for change in added], folders)),
        tuple(folder for folder in folders if folder not in tree.folders),
    )


def _conflict(before: FileState, written: FileState | None) -> str:
    if written is None:
        return "was not written by tritonsmith"
    return "" if before == written else "was edited since it was written"


def _obstacles(
    tree: Tree, ours: Iterable[str], removed: Collection[str], added: Iterable[str], folders: Iterable[str]
) -> Iterator[str]:
    """Yield the folders where files shall be, and the files where folders shall be, that are not ours to remove."""
    if not tree.files and not tree.folders:
        return
    staying = [path for path in tree.files if path not in removed]
    our_folders = parent_folders(ours) - parent_folders(staying)
    for path in added:
        if path in tree.folders and path not in our_folders:
            yield f"{path} is a folder; a file shall be there"
    for folder in sorted(parent_folders(added) | {*folders}):
        if folder in tree.files and folder not in removed:
            yield f"{folder} is a file or a symbolic link; a folder shall be there"


def _text(state: FileState | None) -> str | None:
    """Return a state's text, None where it is not text or not held."""
    if state is None:
        return ""
    if state.data is None or b"\0" in state.data:
        return None
    try:
        return state.data.decode()
    except UnicodeDecodeError:
        return None


def _summary(state: FileState | None) -> str:
    if state is None:
        return "absent"
    return f"link to {state.link}" if state.link else f"{state.size:,} bytes, sha256 {state.sha256[:12]}"
