"""Recorded lines of tritonserver 2.51."""

from __future__ import annotations

from tritonsmith.backends.server.log import (
    answer_reason,
    has_stopped_models,
    is_poll_failure,
    is_unloading_stuck,
    last_errors,
    poll_failure,
)

PARSE_ERROR = """\
I1120 19:54:50.142384 12287 model_lifecycle.cc:472] "loading: b:1"
[libprotobuf ERROR /tmp/x/text_format.cc:337] Error parsing text-format inference.ModelConfig: 5:4: Message type \
"inference.ModelConfig" has no field named "foo".
E1120 19:54:53.215719 12486 model_repository_manager.cc:1460] "Poll failed for model directory 'a': failed to read \
text proto from /tmp/tritonsmith-run-fm39jn9l/models/a/config.pbtxt"
"""
MISNAMED = (
    "E1120 19:54:53.505568 12516 model_repository_manager.cc:1460] \"Poll failed for model directory 'a': unexpected "
    "directory name 'a' for model 'b\"c', directory name must equal model name\"\n"
)


def test_a_parse_error_is_found_in_the_line_without_prefix() -> None:
    assert poll_failure(PARSE_ERROR, "a") == (
        'config.pbtxt:5:4: Message type "inference.ModelConfig" has no field named "foo".'
    )


def test_only_the_models_own_failure_counts() -> None:
    assert poll_failure(PARSE_ERROR, "b") == ""
    assert poll_failure(PARSE_ERROR + MISNAMED, "a").startswith("unexpected directory name 'a' for model 'b\"c', ")
    assert poll_failure(MISNAMED, "a").endswith("must equal model name")


def test_the_answers_reason_stands_behind_the_state() -> None:
    answer = "load failed for model 'a': version 1 is at UNAVAILABLE state: Internal: SyntaxError: invalid syntax;\n"
    assert answer_reason(answer) == "SyntaxError: invalid syntax"
    assert answer_reason("load failed for model 'e': ensemble e contains models that are not available: m") == (
        "ensemble e contains models that are not available: m"
    )
    answer = "load failed for model 'a': version 1 is at UNAVAILABLE state: Invalid argument: ValueError: boom\n; ;"
    assert answer_reason(answer) == "ValueError: boom"


def test_the_answer_that_hides_its_reason_is_known() -> None:
    assert is_poll_failure("failed to load 'a', failed to poll from model repository")
    assert not is_poll_failure("load failed for model 'a': no")


def test_the_last_errors_leave_out_information() -> None:
    protobuf, poll, signal = last_errors(PARSE_ERROR + "Signal (11) received.\n")
    assert protobuf.startswith("[libprotobuf ERROR /tmp/x/text_format.cc:337] Error parsing text-format")
    assert poll.startswith("Poll failed for model directory 'a': failed to read text proto from /tmp/")
    assert signal == "Signal (11) received."


def test_unloading_is_stuck_when_the_server_counts_the_same_models_for_two_seconds() -> None:
    stopped = 'I1120 20:39:32.750814 30647 server.cc:336] "All models are stopped, unloading models"\n'
    unloaded = "I1120 20:39:33.942532 30647 model_lifecycle.cc:624] \"successfully unloaded 'm' version 1\"\n"

    def live(second: int, count: int, requests: int = 0) -> str:
        found = f"Timeout {second}: Found {count} live models and {requests} in-flight non-inference requests"
        return f'I1120 20:39:34.751160 30647 server.cc:345] "{found}"\n'

    assert has_stopped_models(stopped)
    assert is_unloading_stuck(stopped + live(29, 4) + unloaded + live(27, 1) + live(26, 1) + live(25, 1))
    assert not is_unloading_stuck(stopped + live(29, 1) + live(28, 1))
    assert not is_unloading_stuck(live(27, 2) + live(26, 1) + live(25, 1))
    assert not is_unloading_stuck(live(27, 1) + live(26, 1) + unloaded + live(25, 1))
    assert not is_unloading_stuck(live(27, 1, 1) + live(26, 1, 1) + live(25, 1, 1))
