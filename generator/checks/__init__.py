"""Checks: what is wrong with a model repository, found without a server. One file per subject."""

from tritonsmith.generator.checks.case import Case, Target
from tritonsmith.generator.checks.registry import check_repository

__all__ = ["Case", "Target", "check_repository"]
