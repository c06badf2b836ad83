"""The one error of loading an engine."""

from __future__ import annotations


class EngineError(ValueError):
    """A folder or a setting from which no engine can be made: the message names the file, the value and the limit."""
