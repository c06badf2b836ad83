"""The verbs of this layer: serve, infer, doctor."""

from __future__ import annotations

import click

from tritonsmith.generator import console


@click.command()
@click.option("--install", "is_install", is_flag=True, help="Get what is missing and can be had without root.")
@click.option("--json", "is_json", is_flag=True, help="Print the result as JSON.")
def doctor(is_install: bool, is_json: bool) -> None:
    """Say which tools this machine has, which are missing, and how to get them."""
    from tritonsmith.backends import doctor as tools

    if is_install:
        tools.install()
    found = tools.examine()
    if is_json:
        console.result_json(tools.as_json(found))
    else:
        console.result(tools.report(found))
    tools.require(found)
