from tritonsmith.generator import errors


def test_every_exit_status_is_used_once() -> None:
    classes = errors.TritonsmithError.__subclasses__()
    assert sorted(c.exit_code for c in classes) == [1, 2, 3, 4, 5, 6, 7]


def test_an_error_shows_the_place_the_message_and_the_next_step() -> None:
    shown = str(errors.SpecError("bad", where="a.yaml:3", hint="do this"))
    assert shown == "a.yaml:3: bad\n  hint: do this"
