"""The verbs `init`, `build` and `graph`."""

from __future__ import annotations

from pathlib import Path

import click

from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError

DEFAULT_SPEC = Path("tritonsmith.yaml")
DEFAULT_REPOSITORY = Path("model_repository")


@click.command()
@click.argument("blueprint", required=False)
@click.option("--from", "repository", type=click.Path(path_type=Path), help="Write the spec of this model repository.")
@click.option("--schema", "is_schema", is_flag=True, help="Print the spec's JSON Schema, for editors.")
@click.option("--ci", "is_ci", is_flag=True, help="Write a GitHub workflow that checks, builds and gates the spec.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=DEFAULT_SPEC, show_default=True, help="The spec."
)
def init(blueprint: str | None, repository: Path | None, is_schema: bool, is_ci: bool, output: Path) -> None:
    """Write a commented spec from a BLUEPRINT or from a repository."""
    from tritonsmith.ensembles.blueprint import blueprint_names, find_blueprint

    if sum(map(bool, (blueprint, repository, is_schema, is_ci))) != 1:
        raise UsageError(
            "init takes one of a blueprint, --from REPOSITORY, --schema, or --ci",
            hint=f"the blueprints are {', '.join(blueprint_names())}",
        )
    if is_schema:
        from tritonsmith.generator.spec.schema import spec_schema

        if output != DEFAULT_SPEC:
            raise UsageError("--schema goes to stdout", hint=f"tritonsmith init --schema > {output}")
        schemas = {name: find_blueprint(name).settings.model_json_schema() for name in blueprint_names()}
        console.result_json(spec_schema(schemas))
    elif is_ci:
        from tritonsmith.ensembles.workflow import write_workflow

        console.result(str(write_workflow(output)))
        console.tip("GATE in it are the gate's options: the load, and real inputs, e.g. --input image=@demo/images")
    elif repository is not None:
        from tritonsmith.ensembles.adopt import write_spec_of

        console.result(write_spec_of(repository, output))
    else:
        from tritonsmith.ensembles.starter import write_starter

        written = write_starter(find_blueprint(str(blueprint)), output)
        console.result("\n".join(map(str, written)))
        console.tip(f"next: tritonsmith build{'' if output == DEFAULT_SPEC else f' {output}'}")


@click.command()
@click.argument("spec", type=click.Path(path_type=Path, readable=False), default=DEFAULT_SPEC)
@click.option("--output", "-o", type=click.Path(path_type=Path), default=DEFAULT_REPOSITORY, show_default=True)
@click.option("--profile", default="", help="Lay this profile of the spec over it.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would change; write nothing.")
@click.option("--diff", "is_diff", is_flag=True, help="Show what would change, line by line; write nothing.")
@click.option("--force", "is_forced", is_flag=True, help="Overwrite files that were edited, or are not ours.")
@click.option("--json", "is_json", is_flag=True, help="Print the result as JSON.")
def build(spec: Path, output: Path, profile: str, is_dry: bool, is_diff: bool, is_forced: bool, is_json: bool) -> None:
    """Turn SPEC (./tritonsmith.yaml) into a model repository."""
    from tritonsmith.ensembles.build import build_repository, plan_build
    from tritonsmith.generator.repository.write import refuse_losses

    if is_dry or is_diff:
        done = plan_build(spec, output, profile=profile)
    else:
        done = build_repository(spec, output, profile=profile, is_forced=is_forced)
    for finding in done.findings:
        console.say(str(finding))
    if done.report.ignored:
        console.say(done.report.summary())
    if is_diff:
        console.result(done.changes.diff())
    elif is_json:
        console.result_json(done.document())
    else:
        console.result(done.summary())
        for note in done.notes:
            console.say(f"note: {note}")
    if not done.is_written:  # it ends as the build would
        refuse_losses(output, done.changes, is_forced=is_forced)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--model", default="", help="Draw the pipeline that begins at this model.  [default: all]")
@click.option(
    "--format", "form", type=click.Choice(["svg", "mermaid", "text"]), help="[default: --output's, else text]"
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A file: .svg, .mmd, .md or .txt.")
@click.option("--profile", default="", help="Lay this profile of the spec over it.")
@click.option("--triton", "release", default="", help="The release it is for.  [default: the spec's, or the newest]")
def graph(path: Path | None, model: str, form: str | None, output: Path | None, profile: str, release: str) -> None:
    """Draw the pipelines of PATH, a spec or any model repository, as they will run, with what is wrong in its place.

    Without PATH it is ./tritonsmith.yaml, else ./model_repository.
    """
    from tritonsmith.ensembles.draw import write

    chosen = write.form_of(form or "", output)
    drawing = write.draw_path(path, model=model, profile=profile, release=release)
    if output is not None:
        console.result(str(write.write_drawing(drawing, output, chosen)))
    else:
        console.result(write.render(drawing, chosen, width=console.columns(), is_ascii=not console.can_show("┌▶×")))
