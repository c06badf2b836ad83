import json
from pathlib import Path

import pytest

import tritonsmith.ensembles.text_generation as text_generation
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.lengths import Lengths
from tritonsmith.perf.measure.prompts import PROMPTS, load_tokenizer, make_prompts, read_prompts

DEMO = Path(str(text_generation.__file__)).parent / "demo"
FEW, SOME = Lengths("uniform", 3, 40), Lengths("uniform", 2, 5)


def test_without_a_tokenizer_a_word_stands_for_a_token() -> None:
    prompts = make_prompts(FEW, SOME, None, seed=0)
    assert len(prompts) == PROMPTS
    assert {len(prompt.text.split()) for prompt in prompts} == set(range(3, 41))
    assert {prompt.max_tokens for prompt in prompts} == {2, 3, 4, 5}
    assert {prompt.token_ids for prompt in prompts} == {()}
    assert all(prompt.is_exact for prompt in prompts)


def test_with_a_tokenizer_prompts_have_exactly_the_drawn_lengths() -> None:
    tokenizer = load_tokenizer(DEMO)
    prompts = make_prompts(Lengths("uniform", 64, 64), SOME, tokenizer, seed=0)
    assert {len(prompt.token_ids) for prompt in prompts} == {64}
    ids = [tuple(tokenizer.encode(prompt.text)[0]) for prompt in prompts]  # as the server will read them
    assert sum(one == prompt.token_ids for one, prompt in zip(ids, prompts, strict=True)) > 0.9 * PROMPTS


def test_prompts_differ_among_themselves_and_by_seed_and_repeat_with_it() -> None:
    prompts = make_prompts(Lengths("uniform", 8, 8), SOME, None, seed=1)
    assert len({prompt.text for prompt in prompts}) == PROMPTS  # else a prefix cache would answer them
    assert prompts == make_prompts(Lengths("uniform", 8, 8), SOME, None, seed=1)
    assert prompts != make_prompts(Lengths("uniform", 8, 8), SOME, None, seed=2)


def test_a_file_has_texts_and_objects_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    lines = ['"Who are you?"', '{"prompt": "Grüße", "max_tokens": 7}', "", '{"text_input": "a", "output_tokens": 3}']
    path.write_text("\n".join([*lines, '{"text": "b"}']), encoding="utf-8")
    prompts = read_prompts(path, None, None, seed=0)
    assert [prompt.text for prompt in prompts] == ["Who are you?", "Grüße", "a", "b"]
    assert [prompt.max_tokens for prompt in prompts] == [64, 7, 3, 64]
    assert not any(prompt.is_exact for prompt in prompts)  # an answer may end before its limit


def test_given_lengths_of_answers_replace_the_files(tmp_path: Path) -> None:
    (tmp_path / "p").write_text('{"prompt": "a", "max_tokens": 900}')
    [prompt] = read_prompts(tmp_path / "p", SOME, None, seed=0)
    assert 2 <= prompt.max_tokens <= 5
    assert prompt.is_exact


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Who are you?", "no JSON"),
        ("[1]", "without a prompt"),
        ('{"question": "a"}', "without a prompt"),
        ('""', "without a prompt"),
        ('{"prompt": 3}', "without a prompt"),
        ('{"prompt": "a", "max_tokens": 0}', "max_tokens is 0"),
        ('{"prompt": "a", "max_tokens": "many"}', "max_tokens is 'many'"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_text(f'"fine"\n{line}\n')
    with pytest.raises(UsageError, match=message) as caught:
        read_prompts(path, None, None, seed=0)
    assert caught.value.where == f"{path}:2"


def test_a_file_without_prompts_or_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(UsageError, match="has no prompt"):
        read_prompts(tmp_path / "empty", None, None, seed=0)
    with pytest.raises(UsageError, match=r"no prompts in .*missing"):
        read_prompts(tmp_path / "missing", None, None, seed=0)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_prompts(tmp_path / "binary", None, None, seed=0)


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UsageError, match="cannot read the tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(UsageError, match="is no tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")
