"""The verb plan: from options to a plan, and what it prints and leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.files import writing
from tritonsmith.perf.plan.core import Candidate
from tritonsmith.perf.plan.document import PLANS, Plan
from tritonsmith.perf.plan.models.built import Built, read_built
from tritonsmith.perf.plan.models.read import read_model
from tritonsmith.perf.plan.options import PlanOptions, Wishes, options_given, read_wishes
from tritonsmith.perf.plan.packing import cli as packing
from tritonsmith.perf.plan.plan import find, would_fit
from tritonsmith.perf.plan.regions.core import Regions
from tritonsmith.perf.plan.regions.file import read_regions
from tritonsmith.perf.plan.shares import per_gpu
from tritonsmith.perf.plan.show.compare import compare_text
from tritonsmith.perf.plan.show.page import PAGE_NAME, now, write_page
from tritonsmith.perf.plan.show.sharing_advice import sharing_data
from tritonsmith.perf.plan.show.text import plan_text
from tritonsmith.perf.plan.steps.estimators import estimator_of
from tritonsmith.perf.plan.to_spec import require_free, write_spec
from tritonsmith.perf.plan.triton_models import (
    instances,
    instances_data,
    instances_text,
    is_file_of_triton,
    is_source_of_triton,
    memories,
    memories_data,
    memories_text,
)


def make_plan(options: PlanOptions) -> Plan:
    """Return the plan that the options ask for, written into its folder.

    Raises: UsageError; SpecError for a model that is not understood.
    """
    path = _required(options.model)
    wishes = read_wishes(options)
    wishes = replace(wishes, regions=_regions(options, wishes))
    if options.write is not None:
        require_free(options.write)
    model = read_model(path)
    wishes = replace(wishes, built=_built(options, path))
    estimate, source = estimator_of(options, wishes, model)
    with console.progress(f"planning {model.name}") as shown:
        found = find(model, wishes, estimate, told=lambda name: shown.update(text=name))
    plan = Plan(
        path=str(path),
        model=model,
        gpus=wishes.gpus,
        traffic=wishes.traffic,
        objectives=wishes.objectives,
        candidates=found.candidates,
        is_pick=found.is_pick,
        reason=found.reason,
        spare=wishes.spare,
        prices=wishes.prices or {},
        times=source if wishes.traffic else "",
        regions=found.regions,
        sharing=sharing_data(found.pick, wishes.traffic),
        would_fit=() if found.is_pick else tuple(would_fit(model, wishes, found.candidates)),
        notes=tuple(_notes(options, wishes, found.pick)),
        built=wishes.built,
        made_at=now(),
    )
    with writing(options.folder):
        options.folder.mkdir(parents=True, exist_ok=True)
    PLANS.write(plan, options.folder)
    if options.is_compared:
        write_page(plan, options.folder)
    if options.write is not None and plan.pick is not None:
        console.say(f"wrote {write_spec(plan, options.write)}")
        console.tip(f"next: tritonsmith build {options.write}")
    return plan


def show(plan: Plan, options: PlanOptions, *, is_json: bool) -> str:
    """Return what is printed of a plan."""
    if is_json:
        return json.dumps(PLANS.as_json(plan), indent=2)
    if options.is_compared:
        return f"{plan_text(plan, with_others=False)}\n\n{compare_text(plan)}\n{options.folder / PAGE_NAME}"
    return plan_text(plan)


def require_pick(plan: Plan) -> None:
    """End with 1 where nothing meets what is asked; why has been printed.

    Raises: AnswerIsNo.
    """
    if not plan.is_pick:
        raise AnswerIsNo("")


def _notes(options: PlanOptions, wishes: Wishes, pick: Candidate | None) -> Iterator[str]:
    if len(wishes.gpus) > 1 and not wishes.prices:
        yield "different GPUs are compared by their number; --price H100-SXM-80GB=2.5,L4=0.7 compares by cost"
    if options.calibrate and wishes.built is None:
        yield "what was measured corrects every way by as much; only the interval of the one that ran is narrower"
    if pick is not None and pick.replicas is not None and wishes.spare < (together := per_gpu(pick.gpu)) > 1:
        yield f"a GPU that fails takes up to {together} replicas with it; --spare {together} plans for that"


def _built(options: PlanOptions, path: Path) -> Built | None:
    """Return what an engine or checkpoint has settled.

    Raises: UsageError for options that would settle it otherwise.
    """
    built = read_built(path)
    settled = {"--weights": options.weights, "--kv-cache": options.kv_cache, "--max-batch-size": options.max_batch_size}
    option = next((name for name, value in settled.items() if value), None)
    if built is not None and option:
        hint = "plan the Hugging Face model that it was made of"
        raise UsageError(f"{option}: {path} has settled that already", hint=hint)
    return built


def _regions(options: PlanOptions, wishes: Wishes) -> Regions | None:
    """Return the regions' shares and round trips; None where none are named.

    Raises: UsageError without a traffic; what reading them raises.
    """
    if options.regions is None:
        return None
    if wishes.traffic is None:
        raise UsageError("--regions split a traffic, and none is given", hint="--rate 20 --input 1024 --output 256")
    return read_regions(options.regions)


def _required(path: Path | None) -> Path:
    if path is None:
        raise UsageError("plan needs a model", hint="tritonsmith plan ./config.json --gpu H100-SXM-80GB --rate 20 ...")
    return path


def answer_of_others(options: PlanOptions, *, is_json: bool) -> str | None:
    """Return what is printed for what is no language model: several models to pack, and those that Triton batches.

    Raises: UsageError for options that are not theirs; AnswerIsNo; what packing and reading raise.
    """
    if options.pack is not None:
        return _packed(options, options.pack, is_json=is_json)
    path = options.model
    if path is None or not (is_file_of_triton(path) or is_source_of_triton(path)):
        return None
    if is_file_of_triton(path):
        held = memories(options, path)
        text = json.dumps(memories_data(path, held), indent=2) if is_json else memories_text(path, held)
        if all(one.free_bytes.value <= 0 for one in held.values()):
            console.result(text)
            raise AnswerIsNo("")
        return text
    found = instances(options, path)
    return json.dumps(instances_data(found), indent=2) if is_json else instances_text(found)


def _packed(options: PlanOptions, fleet: Path, *, is_json: bool) -> str:
    others = [
        *(["MODEL"] if options.model else []),
        *(option for option in options_given(options) if option != "--pack"),
    ]
    if others:
        hint = f"plan --pack {fleet}, with --json at most"
        raise UsageError(f"--pack and {others[0]} exclude each other: all is in the fleet's file", hint=hint)
    return packing.answer(packing.PackOptions(fleet), is_json)
