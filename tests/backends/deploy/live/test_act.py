"""A roll-out over several models and its way back, on a server in memory that serves real folders and real uploads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.configs import as_json, as_message
from tritonsmith.backends.client.control import Control, ModelState
from tritonsmith.backends.deploy.live import act
from tritonsmith.backends.deploy.live.act import Site, recover, roll_back, roll_out
from tritonsmith.backends.deploy.live.core import MARK, READY, Channel, Plan, Proof, Running, Wanted
from tritonsmith.backends.deploy.live.folder import SharedFolder
from tritonsmith.backends.deploy.live.journal import Entry, Journal
from tritonsmith.backends.deploy.live.judge import Outcome, Smoke
from tritonsmith.backends.deploy.live.observe import observe
from tritonsmith.backends.deploy.live.plan import make_plan
from tritonsmith.backends.deploy.live.upload import Uploads
from tritonsmith.backends.deploy.live.wanted import read_wanted
from tritonsmith.generator.errors import AnswerIsNo, ServerError, UsageError
from tritonsmith.generator.repository import exchange
from tritonsmith.generator.repository.read import read_repository

URL = "127.0.0.1:8000"
BROKEN = "broken"  # in a model's file: it does not load


@dataclass(frozen=True)
class Triton(Control):
    """A server in memory: of a folder it serves the newest version; or what was uploaded. Both its protocols."""

    root: Path = Path()
    served: dict[str, tuple[int, ModelConfig, str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    silent: list[bool] = field(default_factory=list)

    def is_live(self) -> bool:
        return not self.silent

    def index(self) -> list[ModelState]:
        names = sorted(path.name for path in self.root.iterdir() if path.is_dir())
        states = {name: (str(number), READY) for name, (number, _, _) in self.served.items()}
        return [ModelState(name, *states.get(name, ())) for name in names]

    def load(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self.calls.append(f"load {name}")
        if files is None:
            folder = self.root / name
            if not folder.is_dir():
                raise ServerError(f"failed to load '{name}': no such model")
            files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("*/model.py")}
            config = config or as_json(text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig()))
        number = max(int(path.partition("/")[0]) for path in files)
        text = files[f"{number}/model.py"].decode()
        if BROKEN in text:
            raise ServerError(f"failed to load '{name}': {text}")
        self.served[name] = (number, as_message({**(config or {}), "name": name}), text)

    def unload(self, name: str, *, timeout_s: float | None = None) -> None:
        self.calls.append(f"unload {name}")
        self.served.pop(name, None)

    def is_ready(self, name: str, version: int) -> bool:
        return name in self.served and self.served[name][0] >= version

    def config(self, name: str, version: str = "") -> dict[str, Any]:
        if name not in self.served:
            raise ServerError(f"unknown model '{name}'")
        return as_json(self.served[name][1])

    def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        if name and name not in self.served:
            raise ServerError(f"unknown model '{name}'")
        versions = {one: str(number) for one, (number, _, _) in self.served.items() if name in ("", one)}
        return {"model_stats": [{"name": one, "version": version} for one, version in versions.items()]}

    @property
    def texts(self) -> dict[str, str]:
        """What each served model was loaded from."""
        return {name: text for name, (_, _, text) in sorted(self.served.items())}


class Asking(Site):
    """A site whose models all answer a request, but where their file says that they do not."""

    def ask(self, model: str, version: str = "") -> Smoke:
        """Return how it answers."""
        path = Path(self.control.root, model, version, "model.py")  # type: ignore[attr-defined]
        is_mute = bool(version) and "mute" in path.read_text()
        return Smoke(Outcome.SILENT, "mute") if is_mute else Smoke(Outcome.ANSWERED)


def write(root: Path, **models: str) -> Path:
    for name, text in models.items():
        (root / name / "1").mkdir(parents=True, exist_ok=True)
        (root / name / "1" / "model.py").write_text(text)
        (root / name / "config.pbtxt").write_text('backend: "python" max_batch_size: 8')
    return root


def newest(root: Path) -> dict[str, str]:
    """What lies before the server: of each model the newest version."""
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    return {folder.name: max(folder.glob("*/model.py")).read_text() for folder in folders}


def server(tmp_path: Path, url: str = URL, **models: str) -> Triton:
    """A server that has loaded these models from its folder."""
    found = Triton(url, root=write(tmp_path / "served", **models))
    (tmp_path / "served").mkdir(exist_ok=True)
    for name in models:
        found.load(name)
    found.calls.clear()
    return found


def site_of(triton: Triton, *, uploads: bool = False, is_forced: bool = False) -> Site:
    folder = triton.root.parent
    sent = Uploads(folder / "store", triton, triton, 2, is_forced=is_forced)  # type: ignore[arg-type]
    shared = SharedFolder(triton.root, triton, None, 2, sent)
    journal = Journal((folder / "uploads" if uploads else shared.stage) / "journal.json")
    channel: Channel = sent if uploads else shared
    return Asking(triton, triton, channel, journal, 1.0)  # type: ignore[arg-type]


def planned(site: Site, built: Path) -> tuple[Plan, dict[str, Wanted], dict[str, Running]]:
    wanted, running = read_wanted(read_repository(built), None), observe(site.control)
    return make_plan(wanted, running, site.channel), wanted, running


def killed(site: Site, built: Path, *, units: int = 1) -> None:
    """Roll out and end after so many units, as kill -9 has it."""
    plan, wanted, running = planned(site, built)
    before = {change.model: running.get(change.model, Running({})) for change in plan.changes}
    after = {change.model: site.channel.after(change, wanted[change.model]) for change in plan.changes}
    site.channel.prepare(plan, wanted, running)
    site.journal.write(Entry(URL, plan.units[:units], before, after))
    for unit in plan.units[:units]:
        site.channel.put(unit)
        for name in unit.loads:
            site.channel.load(name, 1.0)


@pytest.mark.parametrize("uploads", [False, True])
def test_where_the_second_of_two_is_broken_the_first_is_back(tmp_path: Path, uploads: bool) -> None:
    triton = server(tmp_path, a="a1", b="b1")
    site = site_of(triton, uploads=uploads)
    with pytest.raises(AnswerIsNo, match="rolled back: 'b' does not load"):
        roll_out(*planned(site, write(tmp_path / "built", a="a2", b=BROKEN)), site)
    assert triton.texts == newest(triton.root) == {"a": "a1", "b": "b1"}
    assert triton.served["a"][0] == 1
    assert site.journal.read() is None


def test_what_was_not_there_is_unloaded_again_and_nothing_else(tmp_path: Path) -> None:
    triton = server(tmp_path, b="b1", other="other")
    with pytest.raises(AnswerIsNo):
        site = site_of(triton)
        roll_out(*planned(site, write(tmp_path / "built", a="a1", b=BROKEN)), site)
    assert triton.texts == newest(triton.root) == {"b": "b1", "other": "other"}
    assert "unload other" not in triton.calls


def test_what_is_well_is_served_and_nothing_is_left(tmp_path: Path) -> None:
    triton = server(tmp_path, a="a1")
    site = site_of(triton)
    assert roll_out(*planned(site, write(tmp_path / "built", a="a2", b="b1")), site) == Proof()
    assert triton.texts == {"a": "a2", "b": "b1"}
    assert not site.journal.path.parent.exists()


def test_of_several_new_versions_each_is_asked(tmp_path: Path) -> None:
    triton = server(tmp_path)
    built = write(tmp_path / "built", a="mute")
    (built / "a" / "2").mkdir()
    (built / "a" / "2" / "model.py").write_text("a2")
    (built / "a" / "config.pbtxt").write_text('backend: "python" version_policy { all {} }')
    site = site_of(triton)
    with pytest.raises(AnswerIsNo, match="version 1 of 'a' does not answer: mute"):
        roll_out(*planned(site, built), site)
    assert triton.texts == newest(triton.root) == {}


@pytest.mark.parametrize("uploads", [False, True])
def test_what_a_killed_one_left_is_undone(tmp_path: Path, uploads: bool) -> None:
    triton = server(tmp_path, a="a1", b="b1")
    killed(site_of(triton, uploads=uploads), write(tmp_path / "built", a="a2", b="b2"))
    assert triton.texts == {"a": "a2", "b": "b1"}
    assert "it would be rolled back" in recover(site_of(triton, uploads=uploads), is_dry=True)
    assert triton.texts["a"] == "a2"
    assert "it was rolled back" in recover(site_of(triton, uploads=uploads), is_dry=False)
    assert triton.texts == newest(triton.root) == {"a": "a1", "b": "b1"}
    assert recover(site_of(triton, uploads=uploads), is_dry=False) == ""


def test_what_somebody_loaded_since_is_left_alone(tmp_path: Path) -> None:
    triton = server(tmp_path, b="b1")
    killed(site_of(triton, uploads=True), write(tmp_path / "built", a="a1", b="b2"), units=2)
    theirs = ModelConfig(name="a", backend="python", metric_tags={MARK: "theirs"})
    triton.served["a"] = (1, theirs, "theirs")
    triton.calls.clear()
    said = recover(site_of(triton, uploads=True), is_dry=False)
    assert said.endswith("'a', changed by somebody since, left alone")
    assert triton.texts == {"a": "theirs", "b": "b1"}
    assert triton.calls == ["load b"]


def test_what_went_to_one_server_is_not_undone_on_another(tmp_path: Path) -> None:
    killed(site_of(server(tmp_path, b="b1")), write(tmp_path / "built", a="a1", b="b2"), units=2)
    other = Triton("other:8000", root=tmp_path / "served")
    other.load("a")
    other.calls.clear()
    with pytest.raises(UsageError, match=r"an earlier deploy to 127\.0\.0\.1:8000 was interrupted"):
        recover(site_of(other), is_dry=False)
    assert newest(other.root) == {"a": "a1", "b": "b2"}
    assert "was not asked" in recover(site_of(other), is_dry=False, is_forced=True)
    assert newest(other.root) == {"b": "b1"}
    assert other.calls == []


def test_a_forced_one_without_a_way_back_brings_back_the_others(tmp_path: Path) -> None:
    triton = server(tmp_path, a="a1")
    triton.served["b"] = (1, ModelConfig(name="b", backend="python", metric_tags={MARK: "theirs"}), "b1")
    site = site_of(triton, uploads=True, is_forced=True)
    with pytest.raises(ServerError, match=r"could not roll back: 'b' .*no copy of that upload of 'b' is here"):
        roll_out(*planned(site, write(tmp_path / "built", a="a2", b="b2", c=BROKEN)), site)
    assert triton.texts == {"a": "a1", "b": "b2"}
    assert site.journal.read() is not None


def test_a_disk_that_takes_no_more_is_a_reason_to_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    triton, really = server(tmp_path, a="a1", b="b1"), exchange.exchange

    def full(one: Path, other: Path) -> None:
        if other.name == "b":
            raise OSError(28, "No space left on device", str(other))
        really(one, other)

    monkeypatch.setattr(exchange, "exchange", full)
    site = site_of(triton)
    with pytest.raises(AnswerIsNo, match=r"rolled back: cannot write .*/b: No space left"):
        roll_out(*planned(site, write(tmp_path / "built", a="a2", b="b2")), site)
    assert triton.texts == newest(triton.root) == {"a": "a1", "b": "b1"}


def test_a_server_that_is_silent_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(act, "LIVE_LIMIT_S", 0.0)
    triton = server(tmp_path, a="a1")
    site = site_of(triton)
    killed(site, write(tmp_path / "built", a="a2"))
    entry = site.journal.read()
    assert entry is not None
    triton.silent.append(True)
    with pytest.raises(ServerError, match="the server has ended, or answers no more"):
        roll_back(entry, site)
    assert newest(triton.root) == {"a": "a1"}
    triton.silent.clear()
    recover(site_of(triton), is_dry=False)
    assert triton.texts == {"a": "a1"}
    assert site.journal.read() is None
