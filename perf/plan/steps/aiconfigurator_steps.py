"""Runs in aiconfigurator's own environment: estimates of single steps as JSON, on the last line of stdout.

Started as `python aiconfigurator_steps.py QUESTION` by aiconfigurator.py beside it; imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version


def main() -> int:
    """Answer one question: milliseconds of prompts by length, and of decoding steps by batch size and context."""
    from aiconfigurator.cli.api import cli_estimate  # type: ignore[import-not-found]

    question = json.loads(sys.argv[1])

    def estimate(mode: str, batch_size: int, tokens: int):  # type: ignore[no-untyped-def]
        return cli_estimate(
            question["model"], question["system"], mode=mode, batch_size=batch_size, isl=tokens, osl=2,
            **question["settings"],
        )  # fmt: skip

    answer = {
        "version": version("aiconfigurator"),
        "prefill_ms": [estimate("static_ctx", 1, tokens).ttft for tokens in question["prompts"]],
        "decode_ms": [
            [estimate("static_gen", batch, context).tpot for context in question["contexts"]]
            for batch in question["batches"]
        ],
    }
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
