"""Recorded lines of tritonserver 2.51."""

from __future__ import annotations

from tritonsmith.backends.server.log import answer_reason, is_poll_failure, last_errors, poll_failure

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
