"""The backend's parameters: those of the spec judged by the release's table, those that are written anyway added."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tritonsmith.ensembles.blueprint import Use
from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.catalog.tensorrtllm.parameters import PLACEHOLDER, TENSORRT_LLM, Parameter, parameters_of
from tritonsmith.generator.catalog.tensorrtllm.versions import Version, parse_version
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.suggest import did_you_mean

# What NVIDIA's templates call a parameter where they leave it open.
_PLACEHOLDERS = {
    "batching_strategy": "gpt_model_type",
    "engine_dir": "gpt_model_path",
    "encoder_engine_dir": "encoder_model_path",
}
# What the pipeline itself says.
_GIVEN_ELSEWHERE = {
    "gpt_model_path": "the pipeline's `engine` says where the engine is",
    "triton_max_batch_size": "`max_batch_size` in `with:` says it, for all models",
    "decoupled_mode": "`streaming` in `with:` says it",
}
Values = Mapping[str, "str | list[str] | None"]


@dataclass(frozen=True)
class ParameterReader:
    """Judges the `parameters` of a pipeline for one version of TensorRT-LLM."""

    use: Use
    version: Version
    at: tuple[str, ...] = ("with", "parameters")  # where they stand in the pipeline

    def values(self, given: Values, defaults: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the parameters to be written, by name; what cannot be written is left out.

        `defaults` are those of this engine, over the backend's.
        """
        known = parameters_of(TENSORRT_LLM, self.version)
        written = {name: row.default for name, row in known.items() if row.is_written or row.is_asked_for}
        written |= {name: text for name, text in (defaults or {}).items() if name in known}
        for name, value in given.items():
            if value is None and not (name in known and known[name].is_asked_for):
                written.pop(name, None)
            elif value is not None and name in known and (text := known[name].normalised(_text(value))) is not None:
                written[name] = text
        return {name: written[name] for name in known if name in written}

    def given(self, given: Values) -> dict[str, str]:
        """Return the parameters of the spec that can be written, as the backend reads them."""
        known = parameters_of(TENSORRT_LLM, self.version)
        read = {name: known[name].normalised(_text(value)) for name, value in given.items() if name in known and value}
        return {name: text for name, text in read.items() if text is not None}

    def findings(self, given: Values) -> Iterator[Finding]:
        """Yield what is wrong with the parameters that the spec gives."""
        known = parameters_of(TENSORRT_LLM, self.version)
        for name, value in given.items():
            if name in _GIVEN_ELSEWHERE:
                yield self._error(name, f"'{name}' is not set here: {_GIVEN_ELSEWHERE[name]}", "leave it out")
            elif name not in known:
                yield self._unknown(name, known)
            elif value is not None and known[name].normalised(_text(value)) is None:
                row = known[name]
                is_open = PLACEHOLDER in _text(value)
                message = f"'{_text(value)}' is {'a placeholder, no value' if is_open else 'no value'} of '{name}'"
                default = f"; without it {row.default}" if row.default else ""
                yield self._error(name, message, f"{row.form}{default}")

    def _unknown(self, name: str, known: Mapping[str, Parameter]) -> Finding:
        later = [row.since for row in TENSORRT_LLM if row.name == name]
        if later:
            first, release = first_release(later[0]), self.use.release
            own = f"{release.name} has TensorRT-LLM {release.tensorrt_llm}"
            message = f"'{name}' appeared in TensorRT-LLM {later[0]} ({first}); {own}"
            return self._error(name, message, f'leave it out, or write triton: "{first}"')
        placeholder = _PLACEHOLDERS.get(name)
        meant = f" Did you mean '{placeholder}'?" if placeholder else did_you_mean(name, known)
        return self._error(name, f"the backend has no parameter '{name}'.{meant}", f"known are {', '.join(known)}")

    def _error(self, name: str, message: str, hint: str) -> Finding:
        return self.use.error(message, *self.at, name, hint=hint)


def first_release(version: str) -> str:
    """Return the first Triton release whose container carries a version of TensorRT-LLM or a later one."""
    wanted = parse_version(version)
    return next(
        name for name, row in RELEASES.items() if row.tensorrt_llm and parse_version(row.tensorrt_llm) >= wanted
    )


def _text(value: str | list[str]) -> str:
    return ",".join(value) if isinstance(value, list) else value
