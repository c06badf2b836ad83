"""What all pages have in common: head, style, foot, and what they say of the machine."""

from __future__ import annotations

from pathlib import Path

import jinja2

from tritonsmith.ensembles.draw.svg import style_sheet
from tritonsmith.perf.measure.fingerprint import Fingerprint
from tritonsmith.perf.measure.machine import Environment
from tritonsmith.perf.report.charts import SERIES

# classes of the drawings that have a colour of their own in the style sheet
COLOURS = ("p50", "p95", "p99", "client", "network", "queue", "input", "infer", "output", *SERIES)


def render(folder: Path, verb: str, **values: object) -> str:
    """Return a page: the folder's `page.html.j2`, which extends `base.html.j2`, with these values."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("page.html.j2")
    return template.render(verb=verb, colours=COLOURS, pipeline_style=style_sheet(), **values)


def footer(schema: str, tritonsmith: str, started_at: str) -> str:
    """Return a page's last line; `started_at` is an ISO date with time."""
    return f"{schema} · tritonsmith {tritonsmith} · {started_at[:19].replace('T', ' ')} UTC"


def machine_facts(machine: Environment, protocol: str = "") -> list[tuple[str, str]]:
    """Return what it was measured on and with."""
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB"
    return [("Machine", f"{machine.cpu}, {machine.cores} cores, {memory}"), *software_facts(machine, protocol)]


def software_facts(machine: Environment | Fingerprint, protocol: str = "") -> list[tuple[str, str]]:
    """Return what it was measured with."""
    over = f" over {protocol}" if protocol else ""
    return [
        ("Server", f"tritonserver {machine.server}"),
        ("Load generator", f"perf_analyzer {machine.perf_analyzer}{over}"),
        ("System", f"Linux {machine.kernel}, glibc {machine.glibc}, Python {machine.python}"),
    ]
