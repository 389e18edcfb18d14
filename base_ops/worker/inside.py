"""Work inside work: a job has other agents work on what it holds, in its own process, under its own identity."""

from __future__ import annotations

from collections.abc import Sequence

from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Result, StepRequest
from base_ops.worker.context import Context, JobOutput


def run_inside(ctx: Context, steps: Sequence[StepRequest], before: Sequence[Result]) -> Result:
    """Run steps (one agent, or several as one pass) on the outputs of `before`; nothing is written but their data.

    Raises:
        what the job raises.
    """
    from base_ops.worker.main import work

    request = ctx.request.model_copy(update={"steps": list(steps), "result_uri": None, "inputs": []})
    child = Context(request, ctx.settings, ctx.lake, ctx.secrets, ctx.log, ctx.code_version, ctx.breakers)
    child.landings = ctx.landings
    child.__dict__["input_results"] = list(before)  # handed over, not read from the lake
    result = Result(status=Outcome.BUG, identity=request.identity, code_version=ctx.code_version)
    work(child, result)
    return result


def result_of(ctx: Context, output: JobOutput) -> Result:
    """A job's output as the Result that others build on."""
    return Result(
        status=Outcome.OK,
        identity=ctx.identity,
        steps=output.steps,
        outputs=output.outputs,
        considered=output.considered,
    )
