import pytest

from tritonsmith.generator import console


def test_the_result_goes_to_stdout_and_progress_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.result("answer")
    console.result_json({"b": 1, "a": [2]})
    console.say("working")
    console.tip("try this")
    console.echo_command(["perf_analyzer", "-m", "two words"])
    out, err = capsys.readouterr()
    assert out == 'answer\n{\n  "b": 1,\n  "a": [\n    2\n  ]\n}\n'
    assert err == "working\nTIP: try this\n+ perf_analyzer -m 'two words'\n"


def test_progress_elsewhere_than_on_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_LINE_EVERY_S", 0.0)
    with console.progress("sweep", 10) as bar:
        bar.update(5, "concurrency 4")
    with console.progress("stopping") as bar:
        bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("sweep 5/10, ")
    assert lines[0].endswith("s left concurrency 4")
    assert lines[1] == "stopping 0 s"


def test_quick_work_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("quick", 2) as bar:
        bar.update(1)
        bar.update(2)
    assert capsys.readouterr().err == ""


def test_a_table_aligns_words_left_and_numbers_right() -> None:
    assert console.table(["load", "p50"], [["a", "1.5"], ["bcdef", "10.25"]]) == (
        "load     p50\na        1.5\nbcdef  10.25"
    )
