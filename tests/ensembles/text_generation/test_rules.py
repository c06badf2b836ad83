"""Every rule of text_generation: broken once, with both sides named."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tritonsmith.ensembles.text_generation.blueprint import BLUEPRINT
from tritonsmith.ensembles.text_generation.rules import all_rules
from tritonsmith.generator.catalog.tensorrtllm.speculation import lookahead_draft_tokens
from tritonsmith.generator.findings import Finding, Severity

Said = Callable[..., list[Finding]]
PARTICIPANTS = {"orchestrator": "participants"}
SPAWN = {"orchestrator": "spawn"}
H100 = {"gpu": "H100-SXM-80GB", "count": 8}

# code, engine, what is changed in it, settings, the beginning or a part of the message
Broken = tuple[str, str, dict[str, Any], dict[str, Any], str]
BROKEN: list[Broken] = [
    (
        *("TL001", "llama-0.16.0", {}, {"max_batch_size": 32}),
        (
            "max_batch_size 32, but the engine was built with max_batch_size 16 (engine/config.json: "
            "build_config.max_batch_size)"
        ),
    ),
    (
        *("TL002", "gpt-0.16.0-static", {}, {"parameters": {"gpt_model_type": "inflight_batching"}}),
        (
            "gpt_model_type inflight_batching, but the engine was built with kv_cache_type CONTINUOUS "
            "(engine/config.json: build_config.kv_cache_type)"
        ),
    ),
    (
        *("TL002", "llama-0.16.0", {"build_config.plugin_config.remove_input_padding": False}),
        {"parameters": {"gpt_model_type": "inflight_fused_batching"}},
        "but the engine was built with remove_input_padding off",
    ),
    (
        *("TL002", "llama-1.2.1-fp8", {"build_config.plugin_config.gpt_attention_plugin": None}, {}),
        "gpt_model_type inflight_fused_batching, but the engine was built with gpt_attention_plugin off",
    ),
    (
        "TL003",
        "llama-0.16.0",
        {},
        {"parameters": {"gpt_model_type": "V1"}},
        "gpt_model_type V1 makes each request wait",
    ),
    (
        *("TL003", "gpt-0.16.0-static", {}, {"parameters": {"batch_scheduler_policy": "max_utilization"}}),
        "batch_scheduler_policy concerns requests in flight; gpt_model_type V1 has none",
    ),
    ("TL004", "llama-0.16.0", {}, {"instances": {"postprocessing": 2}}, "2 instances of postprocessing would reorder"),
    (
        "TL081",
        "llama-0.16.0",
        {},
        {"build": {"quantise": "fp8"}},
        "'build' changes nothing: engine is an engine already",
    ),
    ("TL005", "llama-0.16.0", {}, {"max_queue_delay_microseconds": 5}, "max_queue_delay_microseconds 5 adds latency"),
    (
        *("TL006", "llama-0.16.0", {"build_config.max_num_tokens": 1024}, {}),
        "prompts of 1025 to 2048 tokens are refused: the engine has max_num_tokens 1024",
    ),
    (
        *("TL010", "llama-0.16.0", {"version": "0.15.0"}, {}),
        "the engine was built by TensorRT-LLM 0.15.0 (engine/config.json: version), Triton 24.12 carries 0.16.0",
    ),
    (
        *("TL011", "llama-0.16.0", {}, {"hardware": {"gpu": "A100-SXM-80GB", "count": 1}}),
        (
            "the engine was built on H100 (engine/config.json: build_config.auto_parallel_config.cluster_key), the "
            "hardware is A100"
        ),
    ),
    (
        *("TL012", "llama-0.16.0-beam4", {}, {"logits_datatype": "TYPE_FP32"}),
        (
            "logits_datatype TYPE_FP32, but the engine's logits are TYPE_FP16 (engine/config.json: "
            "pretrained_config.logits_dtype)"
        ),
    ),
    (
        *("TL012", "llama-0.16.0-beam4", {"build_config.gather_context_logits": 1}, {}),
        "Triton 24.12 (TensorRT-LLM 0.16.0) returns logits as TYPE_FP32, but the engine's are TYPE_FP16",
    ),
    (
        *("TL013", "llama-0.16.0", {"build_config.max_prompt_embedding_table_size": 8}, {}),
        "prompt_embedding_table is TYPE_FP16, but the engine computes in TYPE_BF16",
    ),
    (
        *("TL013", "llama-1.2.1-fp8", {}, {"prompt_embedding_table_data_type": "TYPE_BF16"}),
        "prompt_embedding_table is TYPE_BF16, but the engine computes in TYPE_FP16",
    ),
    (
        *("TL014", "llama-0.16.0", {}, {"encoder_input_features_data_type": "TYPE_BF16"}),
        "encoder_input_features is TYPE_BF16, but LlamaForCausalLM takes TYPE_FP16",
    ),
    (
        *("TL015", "llama-0.16.0", {}, {"parameters": {"cross_kv_cache_fraction": "0.5"}}),
        "cross_kv_cache_fraction is for encoder-decoder models; engine has no encoder",
    ),
    (
        *("TL017", "llama-0.16.0", {}, {"parameters": {"gpu_weights_percent": "0.5"}}),
        "gpu_weights_percent 0.5, but the engine was built with weight_streaming off",
    ),
    (
        *("TL018", "llama-0.19.0-lookahead", {}, {"parameters": {"guided_decoding_backend": "xgrammar"}}),
        "guided_decoding_backend xgrammar has no tokenizer",
    ),
    (
        *("TL018", "llama-0.19.0-lookahead", {}, {"parameters": {"xgrammar_tokenizer_info_path": "/x"}}),
        "xgrammar_tokenizer_info_path is read only with guided_decoding_backend",
    ),
    (
        *("TL020", "llama-0.16.0", {}, {"parameters": {"enable_kv_cache_reuse": True}}),
        (
            "enable_kv_cache_reuse true, but the engine was built with use_paged_context_fmha off (engine/config.json: "
            "build_config.plugin_config.use_paged_context_fmha)"
        ),
    ),
    (
        *("TL020", "llama-0.16.0", {}, {"parameters": {"enable_chunked_context": True}}),
        "enable_chunked_context true, but the engine was built with use_paged_context_fmha off",
    ),
    (
        *("TL021", "llama-1.2.1-int8-kv", {}, {"parameters": {"enable_kv_cache_reuse": True}}),
        "enable_kv_cache_reuse true with an INT8 KV cache gives other answers",
    ),
    (
        *("TL022", "llama-0.16.0", {}, {"parameters": {"kv_cache_host_memory_bytes": 1024}}),
        "kv_cache_host_memory_bytes 1024 is of no use without reuse",
    ),
    (
        *("TL023", "llama-0.16.0-paged-fmha", _TABLES := {"build_config.max_prompt_embedding_table_size": 8}),
        {"prompt_embedding_table_data_type": "TYPE_BF16"},
        "blocks are reused, and the engine takes prompt embedding tables",
    ),
    (
        *("TL024", "llama-0.16.0", {}, {"parameters": {"sink_token_length": 4}}),
        "sink_token_length 4, but the engine was built with streamingllm off",
    ),
    (
        *("TL025", "llama-0.16.0", {}, {"parameters": {"max_attention_window_size": [4096, 8192]}}),
        "max_attention_window_size 8192, but the engine was built with max_seq_len 4096",
    ),
    (
        *("TL026", "llama-0.16.0", {}, {"parameters": {"max_tokens_in_paged_kv_cache": 1000}}),
        "max_tokens_in_paged_kv_cache 1000 does not hold one sequence of max_seq_len 4096",
    ),
    (
        *("TL030", "llama-0.16.0", {}, {"parameters": {"max_beam_width": 4}}),
        (
            "max_beam_width 4, but the engine was built with max_beam_width 1 (engine/config.json: "
            "build_config.max_beam_width)"
        ),
    ),
    ("TL030", "llama-0.16.0", {}, {"parameters": {"max_beam_width": 0}}, "max_beam_width 0: one beam is the least"),
    (
        *("TL031", "llama-0.16.0-beam4", {}, {"parameters": {"decoding_mode": "top_k"}}),
        "decoding_mode top_k has one beam, max_beam_width is 4",
    ),
    (
        *("TL031", "llama-0.16.0", {}, {"parameters": {"decoding_mode": "beam_search"}}),
        "decoding_mode beam_search has one beam only: max_beam_width is 1",
    ),
    (
        *("TL032", "llama-0.16.0", {}, {"parameters": {"decoding_mode": "medusa"}}),
        (
            "decoding_mode medusa, but the engine was built with speculative_decoding_mode none (engine/config.json: "
            "build_config.speculative_decoding_mode)"
        ),
    ),
    (
        *("TL032", "llama-0.16.0-medusa", {}, {"parameters": {"decoding_mode": "top_k"}}),
        "decoding_mode top_k, but the engine was built with speculative_decoding_mode medusa",
    ),
    (
        *("TL032", "llama-0.16.0-medusa", {}, {"parameters": {"decoding_mode": None}}),
        "decoding_mode not given, but the engine was built with speculative_decoding_mode medusa",
    ),
    (
        *("TL033", "llama-0.16.0-medusa", {}, {"parameters": {"medusa_choices": "{0}, {1, 0}"}}),
        "medusa_choices: the path {1, 0} extends none that is there",
    ),
    (
        *("TL033", "llama-0.16.0-medusa", {"build_config.max_draft_len": 2}),
        {"parameters": {"medusa_choices": "{0}, {1}, {0, 0}"}},
        "medusa_choices has 3 nodes, but the engine was built with max_draft_len 2",
    ),
    (
        *("TL033", "llama-0.16.0-medusa", {}, {"parameters": {"eagle_choices": "{0}"}}),
        "eagle_choices is read with decoding_mode eagle alone",
    ),
    (
        *("TL034", "llama-0.19.0-lookahead", {}, {"parameters": {"lookahead_window_size": 4}}),
        "lookahead_window_size without lookahead_ngram_size, lookahead_verification_set_size",
    ),
    (
        *("TL034", "llama-0.19.0-eagle", {}, {"parameters": {"lookahead_window_size": 4}}),
        "lookahead_window_size is read with decoding_mode lookahead alone",
    ),
    (
        *("TL034", "llama-0.19.0-lookahead", {}),
        {
            "parameters": {
                "lookahead_window_size": 8,
                "lookahead_ngram_size": 8,
                "lookahead_verification_set_size": 8,
            }
        },
        (
            "lookahead with window 8, n-gram 8 and verification set 8 guesses 111 tokens, but the engine was built "
            "with max_draft_len 83"
        ),
    ),
    (
        *("TL040", "llama-0.19.0-tp4", {}, {"parameters": {"gpu_device_ids": "0,1"}}),
        (
            "gpu_device_ids 0,1 are 2, but the engine was built with world_size 4 (engine/config.json: "
            "pretrained_config.mapping.world_size)"
        ),
    ),
    (
        *("TL040", "llama-0.19.0-tp4", {}, {"parameters": {"gpu_device_ids": "0,1,2,2"}}),
        "gpu_device_ids 0,1,2,2 names a GPU twice",
    ),
    (
        *(
            "TL041",
            "llama-0.19.0-tp4",
            {},
            {"hardware": {**H100, "count": 4}, "parameters": {"gpu_device_ids": "1,2,3,4"}},
        ),
        "tensorrt_llm asks for GPU 4; the hardware has 4 (0 to 3)",
    ),
    (
        *("TL042", "llama-0.19.0-tp4", {}, {"parameters": {"gpu_device_ids": "0,1,2,3;4,5,6,7"}}),
        "gpu_device_ids has 2 groups, but replicas is 1",
    ),
    ("TL043", "llama-0.16.0", {}, {"replicas": 2}, "2 replicas of tensorrt_llm need an orchestrator"),
    (
        *("TL045", "llama-0.16.0", {}, {"parameters": {"participant_ids": "1"}}),
        "participant_ids are for server.orchestrator participants; it is none",
    ),
    (
        *("TL045", "llama-0.19.0-tp4", {}, {"server": PARTICIPANTS, "parameters": {"participant_ids": "0,1,2,3"}}),
        "participant_ids names rank 0, which is the orchestrator",
    ),
    (
        *("TL045", "llama-0.19.0-tp4", {}, {"server": PARTICIPANTS, "parameters": {"participant_ids": "1,2"}}),
        "participant_ids 1,2 are 2, but the instance has 4 GPUs",
    ),
    (
        *("TL045", "llama-0.19.0-tp4", {}, {"server": PARTICIPANTS, "parameters": {"participant_ids": "1,2,3,3"}}),
        "participant_ids gives rank 3 twice",
    ),
    (
        *("TL045", "llama-0.19.0-tp4", {}),
        {"server": PARTICIPANTS, "replicas": 2, "parameters": {"participant_ids": "1,2,3,4"}},
        "participant_ids has 1 groups, but replicas is 2",
    ),
    (
        "TL045",
        "llama-0.12.0",
        {},
        {"server": PARTICIPANTS},
        "Triton 24.08 (TensorRT-LLM 0.12.0) has no participant_ids",
    ),
    (
        *("TL046", "llama-0.19.0-tp4", {}, {"nodes": 3}),
        "4 ranks (engine/config.json: pretrained_config.mapping.world_size) cannot be spread evenly over 3 nodes",
    ),
    (
        *("TL046", "llama-0.19.0-tp4", {}, {"hardware": {**H100, "count": 2}}),
        "4 ranks (engine/config.json: pretrained_config.mapping.world_size) need more than 1 node of 2 GPUs",
    ),
    (
        *("TL046", "llama-0.19.0-tp4", {}, {"parameters": {"num_nodes": 2}}),
        "num_nodes is read by an orchestrator alone",
    ),
    (
        *("TL047", "llama-0.19.0-tp4", {"pretrained_config.mapping.moe_ep_size": 4}, {}),
        "moe_ep_size 4 (engine/config.json: pretrained_config.mapping), but LlamaForCausalLM has no experts",
    ),
    (
        *("TL047", "mixtral-0.19.0-ep4", {"pretrained_config.mapping.moe_ep_size": 2}, {}),
        "moe_tp_size 1 x moe_ep_size 2 are 2, but tp_size is 4",
    ),
    (
        *("TL050", "llama-0.16.0", {}, {"parameters": {"lora_cache_max_adapter_size": 8}}),
        "lora_cache_max_adapter_size 8, but the engine was built with lora_plugin off",
    ),
    (
        *("TL051", "llama-0.16.0-lora", {}, {"parameters": {"lora_cache_max_adapter_size": 32}}),
        "lora_cache_max_adapter_size 32, but the engine was built with max_lora_rank 16",
    ),
    (
        *("TL051", "llama-0.16.0-lora", {}),
        {"parameters": {"lora_cache_max_adapter_size": 8, "lora_cache_optimal_adapter_size": 16}},
        "lora_cache_optimal_adapter_size 16 is larger than lora_cache_max_adapter_size 8",
    ),
    (
        *("TL052", "llama-0.12.0", {"build_config.plugin_config.lora_plugin": "auto"}),
        {"parameters": {"lora_cache_max_adapter_size": 8}},
        "adapters can be named to tensorrt_llm alone",
    ),
]


@pytest.mark.parametrize(("code", "engine", "changes", "settings", "message"), BROKEN)
def test_a_broken_rule_is_told(
    said: Said, code: str, engine: str, changes: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    found = [finding for finding in said(engine, changes=changes, **settings) if finding.code == code]
    assert [message in finding.message for finding in found].count(True) == 1, found
    assert all(finding.remedy for finding in found)


@pytest.mark.parametrize(("code", "engine", "changes", "settings", "message"), BROKEN)
def test_what_is_said_has_the_line_of_a_setting(
    said: Said, code: str, engine: str, changes: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    for finding in said(engine, changes=changes, **settings):
        assert finding.place.line, finding


@pytest.mark.parametrize(
    "engine",
    [
        *("llama-0.12.0", "llama-0.16.0", "llama-0.16.0-paged-fmha", "llama-0.16.0-beam4", "llama-0.16.0-medusa"),
        *("llama-0.19.0-tp4", "llama-0.19.0-tp2pp2", "mixtral-0.19.0-ep4", "llama-0.19.0-eagle"),
        *("llama-0.19.0-lookahead", "llama-0.16.0-lora", "llama-1.0.0-streamed", "llama-1.2.1-fp8"),
        *("llama-1.2.1-int8-kv", "gpt-0.16.0-static"),
    ],
)
def test_nothing_is_said_of_an_engine_with_its_own_defaults(said: Said, engine: str) -> None:
    assert said(engine) == []


DRAFT = {"engine": "draft"}


@pytest.fixture
def speculating(said: Said, write_engine: Callable[..., Any]) -> Said:
    """Return what is said of a target with a draft."""

    def findings(*, target: dict[str, Any] | None = None, draft: dict[str, Any] | None = None, **given: Any) -> Any:
        write_engine("llama-0.16.0-target", target)
        write_engine("llama-0.16.0-draft", draft, folder="draft")
        return said("llama-0.16.0-target", **{"draft": DRAFT, **given})

    return findings


def test_nothing_is_said_of_a_target_with_its_draft(speculating: Said) -> None:
    assert speculating() == []


@pytest.mark.parametrize(
    ("code", "given", "message"),
    [
        (
            *("TL035", {"target": {"build_config.speculative_decoding_mode": 1}}),
            "the target of a draft, but the engine was built with speculative_decoding_mode none",
        ),
        ("TL035", {"target": {"build_config.max_draft_len": 0}}, "the engine takes no draft tokens"),
        (
            *("TL035", {"draft": {"build_config.speculative_decoding_mode": 2}}),
            "a draft that speculates itself (draft/config.json: build_config.speculative_decoding_mode: draft_tokens",
        ),
        (
            *("TL035", {"draft": {"pretrained_config.vocab_size": 32000}}),
            "the draft's vocabulary has 32000 tokens, the target's 128256",
        ),
        (
            *("TL036", {"parameters": {"speculative_decoding_fast_logits": True}}),
            "speculative_decoding_fast_logits needs server.orchestrator participants",
        ),
        (
            "TL036",
            {
                "draft": {"build_config.gather_generation_logits": False},
                "parameters": {"speculative_decoding_fast_logits": True},
                "server": PARTICIPANTS,
            },
            "but the draft was built with gather_generation_logits off (draft/config.json",
        ),
        (
            *("TL070", {"parameters": {"kv_cache_free_gpu_mem_fraction": "0.8"}}),
            "tensorrt_llm and tensorrt_llm_draft share a GPU, and their kv_cache_free_gpu_mem_fraction add up to 1.25",
        ),
        (
            *("TL010", {"draft": {"version": "0.15.0"}}),
            "the engine was built by TensorRT-LLM 0.15.0 (draft/config.json: version)",
        ),
        (
            *("TL031", {"target": {"build_config.max_beam_width": 2}}),
            "a draft is confirmed along one beam, max_beam_width is 2",
        ),
        (
            *("TL044", {"target": {"pretrained_config.mapping.world_size": 2, "pretrained_config.mapping.tp_size": 2}}),
            "the engines have different numbers of ranks: tensorrt_llm 2",
        ),
    ],
)
def test_what_a_draft_does_not_go_with_is_told(
    speculating: Said, code: str, given: dict[str, Any], message: str
) -> None:
    found = [finding for finding in speculating(**given) if finding.code == code]
    assert [message in finding.message for finding in found] == [True], found


@pytest.fixture
def apart(said: Said, write_engine: Callable[..., Any]) -> Said:
    """Return what is said of disaggregated serving."""

    def findings(*, other: dict[str, Any] | None = None, generation: Any = None, **given: Any) -> Any:
        if other is not None:
            write_engine("llama-0.19.0-tp4", other, folder="other")
        phases = {"context": {}, "generation": generation or ({"engine": "other"} if other is not None else {})}
        return said("llama-0.19.0-tp4", **{"disaggregated": phases, "server": PARTICIPANTS, **given})

    return findings


def test_nothing_is_said_of_disaggregated_serving(apart: Said) -> None:
    assert apart() == []


@pytest.mark.parametrize(
    ("code", "given", "message"),
    [
        ("TL060", {"server": SPAWN}, "disaggregated serving needs server.orchestrator participants; it is spawn"),
        ("TL062", {"generation": {"parameters": {"gpu_device_ids": "3,4,5,6"}}}, "have a GPU in common"),
        (
            *("TL062", {"other": {"pretrained_config.num_hidden_layers": 16}}),
            "context and generation differ in layers: 32 (engine/config.json: pretrained_config), 16 (other/config",
        ),
        ("TL063", {"replicas": 2}, "replicas 2: context and generation have replicas of their own"),
        ("TL063", {"draft": {"engine": {"place": "mounted", "at": "/d"}}}, "a draft is not carried over"),
        ("TL041", {"hardware": {**H100, "count": 4}}, "generation asks for GPU 4; the hardware has 4"),
    ],
)
def test_what_disaggregated_serving_does_not_go_with_is_told(
    apart: Said, code: str, given: dict[str, Any], message: str
) -> None:
    found = [finding for finding in apart(**given) if finding.code == code]
    assert [message in finding.message for finding in found] == [True], found


def test_disaggregated_serving_came_with_0_14(said: Said) -> None:
    found = said("llama-0.12.0", disaggregated={}, server=PARTICIPANTS)
    assert "TL061" in {finding.code for finding in found}


def test_an_encoder_needs_a_release_with_a_cache_for_it(said: Said, write_engine: Callable[..., Any]) -> None:
    for part in ("encoder", "decoder"):
        write_engine(f"t5-0.16.0-{part}", {"version": "0.13.0"}, folder=f"engine/{part}")
    found = said("t5-0.16.0", "24.09")
    assert [finding.message for finding in found if finding.code == "TL015"] == [
        "Triton 24.09 (TensorRT-LLM 0.13.0) serves no encoder beside a decoder: cross_kv_cache_fraction came with 0.14"
    ]


def test_prompt_tables_and_reuse_need_ids_that_tell_them_apart(said: Said) -> None:
    changes = {**_TABLES, "build_config.plugin_config.use_paged_context_fmha": True}
    found = said("llama-0.12.0", changes=changes, prompt_embedding_table_data_type="TYPE_BF16")
    assert [(f.severity, f.code) for f in found if f.code == "TL023"] == [(Severity.ERROR, "TL023")]


def test_what_only_an_engine_can_do_is_refused_of_a_model(said: Said, tmp_path: Any) -> None:
    shutil.copytree(BLUEPRINT.folder / "demo", tmp_path / "engine")
    [finding] = said("llama-0.16.0", parameters={"decoding_mode": "medusa"})
    assert finding.code == "TL016"
    assert said("llama-0.16.0", parameters={"decoding_mode": "top_k"}) == []


def test_a_lookahead_guesses_as_many_tokens_as_nvidia_counts() -> None:
    assert [lookahead_draft_tokens(*sizes) for sizes in ((1, 1, 0), (2, 2, 1), (4, 4, 4), (7, 7, 7))] == [0, 2, 23, 83]


def test_every_rule_says_what_it_holds_and_why() -> None:
    for rule in all_rules():
        assert rule.title, rule.code
        assert len(rule.reason) > 20, rule.code


def test_every_rule_is_broken_here() -> None:
    broken = {case[0] for case in BROKEN}
    elsewhere = {"TL080", "TL082", "TL083"} | {
        "TL016",
        "TL035",
        "TL036",
        "TL044",
        "TL060",
        "TL061",
        "TL062",
        "TL063",
        "TL070",
    }
    assert {rule.code for rule in all_rules()} == broken | elsewhere


def test_the_readme_lists_every_rule() -> None:
    readme = (BLUEPRINT.folder / "README.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in readme.splitlines() if line.startswith("| TL")]
    assert rows == [[rule.code, rule.title] for rule in all_rules()]


@pytest.mark.parametrize("replicas", [1025, 10**12])
def test_as_many_replicas_as_cannot_be_meant_are_told(said: Said, replicas: int) -> None:
    found = said("llama-0.19.0-tp4", replicas=replicas, server=SPAWN)
    assert [finding.message for finding in found] == [f"{4 * replicas:,} ranks are asked for"]
