"""The page in a real browser: whole, quiet, and drawn."""

import html
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.perf.document import Sweep
from tritonsmith.perf.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]
# Appended by the test: says in the page's title what the browser made of it.
PROBE = """<script>
const drawn = [...document.querySelectorAll("svg.chart")].map(one => one.getBoundingClientRect());
const marks = [...document.querySelectorAll("svg .dot, svg .fill, svg .line")];
const isBlind = style => style.fill === "none" && style.stroke === "none";
const blind = marks.filter(one => isBlind(getComputedStyle(one)));
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
document.title = JSON.stringify({
  charts: drawn.length, flat: drawn.filter(box => box.width < 300 || box.height < 50).length, blind: blind.length,
  requests: performance.getEntriesByType("resource").length, wide,
  paper: getComputedStyle(document.body).backgroundColor,
});
</script>"""


def look(page: Path, folder: Path, *options: str) -> tuple[str, str]:
    """Return the page's DOM as the browser has it, and what the browser logged."""
    argv = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    argv += [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
    ]
    argv += ["--log-level=0", "--virtual-time-budget=2000", f"--user-data-dir={folder / 'profile'}", *options]
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(
        [*argv, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=90, env=environment, check=True
    )
    return done.stdout, done.stderr


def title(dom: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(html.unescape(dom.partition("<title>")[2].partition("</title>")[0]))
    return found


def console_lines(log: str) -> list[str]:
    return [line for line in log.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("counts", [(), (1, 2)], ids=["one configuration", "variants"])
def test_the_page_is_whole_in_a_browser(
    make_sweep: Callable[..., Sweep], counts: tuple[int, ...], tmp_path: Path
) -> None:
    page = write_report(make_sweep(counts=counts), tmp_path / "report.html")
    page.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    dom, log = look(page, tmp_path, "--window-size=1280,900")
    assert "How it was measured" in dom
    assert dom.rstrip().endswith("</html>")
    assert console_lines(log) == []
    seen = title(dom)
    assert seen["charts"] == dom.count("</svg>")
    assert {key: seen[key] for key in ("flat", "blind", "requests", "wide")} == {
        "flat": 0, "blind": 0, "requests": 0, "wide": False,
    }  # fmt: skip


def test_the_pipeline_is_drawn_in_a_browser(make_drawn_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    page = write_report(make_drawn_sweep(), tmp_path / "report.html")
    probe = """<script>
const svg = document.querySelector("svg.pipeline"), frame = svg.getBoundingClientRect();
const places = [...svg.querySelectorAll("text")].map(one => one.getBoundingClientRect());
const overlap = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
document.title = JSON.stringify({
  texts: places.length, outside: places.filter(one => one.right > frame.right || one.bottom > frame.bottom).length,
  overlaps: places.filter((one, index) => places.slice(index + 1).some(other => overlap(one, other))).length,
  unstyled: [...svg.querySelectorAll(".box")].filter(one => getComputedStyle(one).fill === "rgb(0, 0, 0)").length,
});
</script>"""
    page.write_text(page.read_text().replace("</body>", f"{probe}</body>"))
    seen = title(look(page, tmp_path, "--window-size=1280,900")[0])
    assert int(str(seen.pop("texts"))) > 8
    assert seen == {"outside": 0, "overlaps": 0, "unstyled": 0}


def test_a_narrow_window_does_not_scroll_sideways(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    page = write_report(make_sweep(), tmp_path / "report.html")
    page.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    assert title(look(page, tmp_path, "--window-size=500,900")[0])["wide"] is False


def test_the_page_follows_a_dark_desktop(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    page = write_report(make_sweep(), tmp_path / "report.html")
    page.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    light = title(look(page, tmp_path)[0])["paper"]
    dark = title(look(page, tmp_path, "--blink-settings=preferredColorScheme=0")[0])["paper"]
    assert (light, dark) == ("rgb(253, 253, 252)", "rgb(20, 23, 26)")


def test_a_script_error_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<!doctype html><title>{}</title><script>nothing.there()</script>")
    assert len(console_lines(look(page, tmp_path)[1])) == 1
