"""What is taken out of tritonserver's log: the errors of one load, as the server wrote them."""

from tritonsmith.backends.live_check.answer import Answer, crashed, hung, reason_lines, refused
from tritonsmith.generator.checks.verdict import Verdict

PROTOBUF = (
    "[libprotobuf ERROR /tmp/tritonbuild/x/text_format.cc:337] Error parsing text-format inference.ModelConfig: "
    '5:4: Message type "inference.ModelConfig" has no field named "foo".'
)
POLL = (
    "E1120 19:51:07.527221 10884 model_repository_manager.cc:1460] \"Poll failed for model directory 'm': it is bad\""
)
RAISED = (
    "E1120 19:51:07.5 1 model_lifecycle.cc:642] \"failed to load 'm' version 1: Internal: ValueError: boom\\n"
    '\\nAt:\\n  /r/m/1/model.py(2): initialize\\n"'
)
NOTICE = 'W1120 19:51:07.5 1 ensemble_scheduler.cc:1468] "unable to create stream for e: CUDA driver version is old"'
LOADING = 'I1120 19:51:07.5 1 model_lifecycle.cc:472] "loading: m:1"'
MISSING = (
    "I1121 02:18:54.8 1 pb_stub.cc:2105]  Failed to preinitialize Python stub: Python model file not found in '/p'"
)


def test_a_reason_is_what_the_server_logged_without_time_and_process() -> None:
    assert reason_lines(f"{NOTICE}\n{LOADING}\n{POLL}") == (POLL.split(" ", 3)[3],)


def test_the_parsers_bare_line_belongs_to_the_reason() -> None:
    first, second = reason_lines(f"{PROTOBUF}\n{POLL}")
    assert first.startswith(
        "[libprotobuf ERROR text_format.cc:337] Error parsing text-format inference.ModelConfig: 5:4:"
    )
    assert "Poll failed" in second


def test_the_answer_stands_in_where_nothing_is_logged() -> None:
    assert refused("m", LOADING, "failed to load 'm', no version is available") == Answer(
        "m", Verdict.FAILS, ("failed to load 'm', no version is available",), is_logged=False
    )


def test_an_exception_of_the_models_own_code_is_told_from_triton() -> None:
    assert refused("m", RAISED, "").is_own_code
    assert not refused("m", POLL, "").is_own_code


def test_a_load_that_waits_for_a_missing_file_is_no_fault_of_its_code() -> None:
    begun = 'I1120 19:51:07.5 1 python_be.cc:1912] "TRITONBACKEND_ModelInstanceInitialize: m_0_0 (CPU device 0)"'
    assert not hung("m", f"{begun}\n{MISSING}").is_own_code
    assert hung("m", MISSING).lines[0].startswith("pb_stub.cc:2105]")
    assert hung("m", begun).is_own_code


def test_a_crash_shows_its_signal() -> None:
    assert crashed("m", f"{LOADING}\nSignal (11) received.\n 0# 0x0000\n").lines == ("Signal (11) received.",)
