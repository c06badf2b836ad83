from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.gate.servers import SideError


def test_a_side_that_does_not_serve_is_named_before_the_place() -> None:
    refused = ServerError("refused", where="m at concurrency 4")
    assert str(SideError("baseline", refused)) == "the baseline, m at concurrency 4: refused"
    assert str(SideError("candidate", ServerError("refused"))) == "the candidate: refused"
