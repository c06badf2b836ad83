from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tritonsmith.backends.server.certificates import with_certificates
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerOptions

RELATIVE = {"cert": "a.pem", "key": "a.key"}


@pytest.fixture(autouse=True)
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_pair(name: str, *protection: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=x"]
    argv += ["-keyout", f"{name}.key", "-out", f"{name}.pem", *(protection or ("-nodes",))]
    subprocess.run(argv, check=True, capture_output=True)


def refused(**tls: str) -> ServerError:
    with pytest.raises(ServerError) as caught:
        with_certificates(ServerOptions(tls=tls))
    return caught.value


def test_without_tls_nothing_is_looked_for() -> None:
    assert with_certificates(ServerOptions()) == ServerOptions()


def test_relative_paths_become_absolute_from_the_current_folder(current_folder: Path) -> None:
    make_pair("a")
    options = with_certificates(ServerOptions(tls={**RELATIVE, "root": "a.pem"}))
    assert options.tls == {name: str(current_folder / file) for name, file in {**RELATIVE, "root": "a.pem"}.items()}


def test_a_missing_file_is_named_with_its_setting_and_the_folder(current_folder: Path) -> None:
    make_pair("a")
    problem = refused(cert="a.pem", key="b.key")
    assert (problem.message, problem.where) == (f"there is no file {current_folder}/b.key", "server.tls.key")
    assert f"'b.key' counts from the current folder, {current_folder}" in problem.hint
    assert refused(**RELATIVE, root="no/root.pem").where == "server.tls.root"


def test_files_that_do_not_fit_are_refused_before_the_server_starts() -> None:
    make_pair("a")
    make_pair("b")
    make_pair("locked", "-passout", "pass:secret")
    Path("text.pem").write_text("not a certificate")
    assert "a.pem with" in refused(cert="a.pem", key="b.key").message
    assert refused(cert="locked.pem", key="locked.key").where == "server.tls.certificate"  # and nobody is asked
    assert refused(cert="text.pem", key="a.key").where == "server.tls.certificate"
    assert "text.pem" in refused(**RELATIVE, root="text.pem").message
