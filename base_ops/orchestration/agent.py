"""What every AgentOperator does, whichever runner carries the work: check, ask, read the Result, publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.bases.operator import BaseOperatorMeta

from base_ops.core.errors import BaseOpsError, ConfigError
from base_ops.core.ids import AgentId
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Request, Result, StepRequest
from base_ops.core.settings import load_settings
from base_ops.core.spec import Spec, connection_names, is_template, parse_spec
from base_ops.orchestration.breakers import admissions
from base_ops.orchestration.errors import JobRetryPolicy, job_error, text_of
from base_ops.orchestration.lake import attempt_folder, read_result, write_request
from base_ops.orchestration.missing_sources import HANDED_ON, go_on
from base_ops.orchestration.request import identity_of, input_uris, step_request, traceparent_of

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator as _Base
    from airflow.sdk import RetryPolicy
    from airflow.sdk.definitions.context import Context
else:
    _Base = object  # Airflow's base comes after the mixin

MAX_XCOM_OUTPUTS = 100
"""Outputs listed in XCom; the Result in the lake has them all."""
MAX_XCOM_QUARANTINE = 50


class AgentMixin(_Base):
    """Shared by the local and the Kubernetes operator, before Airflow's own base class.

    Args:
        spec: the agent's spec, as its Spec class or as a mapping; strings may hold Jinja.
        fuse: instead of `spec`: `[{agent, spec}, …]`, consecutive steps run as one pass.
        inputs_from: ids of the tasks whose Results this work builds on; default: the agent tasks right before it.
        select: which outputs of these Results (mapped tasks): pairs (Result number, output number).
        sensitive_columns: columns never shown in quarantine views.
        profile: size of the pod, a file in pod_templates/ (Kubernetes runner).
        pod_override: what to change in that pod (Kubernetes runner).
        item: name of the instance of a mapped task.
        going_on: what the task does where a source is missing (see missing_sources.plans).
    """

    agent: ClassVar[str] = ""
    template_fields: Sequence[str] = ("spec", "fuse")
    template_ext: Sequence[str] = ()  # a spec may well hold the name of a .json file
    template_fields_renderers: ClassVar[dict[str, str]] = {"spec": "json", "fuse": "json"}
    ui_color = "#e8f0fe"

    @BaseOperatorMeta._apply_defaults  # type: ignore[type-var]  # as Airflow's own mixins with arguments do
    def __init__(
        self,
        *,
        spec: Spec | Mapping[str, Any] | str | None = None,
        fuse: Sequence[Mapping[str, Any]] | None = None,
        inputs_from: Sequence[str] | None = None,
        select: Sequence[Sequence[int]] | None = None,
        sensitive_columns: Sequence[str] = (),
        profile: str = "default",
        pod_override: Mapping[str, Any] | None = None,
        item: str = "",
        going_on: Mapping[str, Any] | None = None,
        retries: int | None = 3,
        retry_delay: timedelta | float = timedelta(seconds=60),
        retry_exponential_backoff: float = 2.0,
        max_retry_delay: timedelta | float | None = timedelta(seconds=1800),
        retry_policy: RetryPolicy | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            retries=retries,
            retry_delay=retry_delay,
            retry_exponential_backoff=retry_exponential_backoff,
            max_retry_delay=max_retry_delay,
            retry_policy=retry_policy or JobRetryPolicy(),
            **kwargs,
        )
        self.spec = spec.model_dump(mode="json", by_alias=True, exclude_unset=True) if isinstance(spec, Spec) else spec
        self.fuse = fuse
        self.inputs_from = inputs_from
        self.select = select
        self.sensitive_columns = sensitive_columns
        self.profile = profile
        self.pod_override = pod_override
        self.item = item
        self.going_on = going_on
        check_work(self.agent, spec, fuse)

    # -- before

    def build_request(self, context: Context) -> Request:
        """The Request of this try. Raises: ConfigError, AirflowSkipException."""
        settings = load_settings()
        steps, specs = self._steps()
        identity = identity_of(context)
        select = None if self.select is None else [(int(pair[0]), int(pair[1])) for pair in self.select]
        missing, stand_ins = go_on(context, self.going_on, self.item) if self.going_on else ({}, [])
        return Request(
            steps=steps,
            identity=identity,
            inputs=[*input_uris(context, self._input_tasks(), select), *stand_ins],
            missing=missing,
            stand_in=(self.going_on or {}).get("table"),
            connections=sorted({name for spec in specs for name in connection_names(spec)}),
            sensitive_columns=sorted(set(self.sensitive_columns)),
            breakers=admissions(settings.state, specs, identity.attempt, self.log),
            lake_url=settings.lake,
            result_uri=f"{attempt_folder(settings.lake, identity)}/result.json",
            traceparent=traceparent_of(context),
        )

    def store_request(self, request: Request) -> str:
        """Write the Request beside its Result; returns its URI."""
        uri = str(request.result_uri).removesuffix("result.json") + "request.json"
        write_request(uri, request)
        return uri

    def _steps(self) -> tuple[list[StepRequest], list[Spec]]:
        parts: Sequence[Mapping[str, Any]] = [{"agent": self.agent, "spec": self.spec}]
        if self.fuse is not None:
            parts = self.fuse
        pairs = [step_request(part["agent"], part.get("spec") or {}) for part in parts]
        return [step for step, _ in pairs], [spec for _, spec in pairs]

    def _input_tasks(self) -> list[str]:
        if self.inputs_from is not None:
            return list(self.inputs_from)
        return [task.task_id for task in self.upstream_list if is_agent_task(task)]

    # -- after

    def finish(self, context: Context, result_uri: str, attempt: str, outcome: Outcome, how: str) -> dict[str, Any]:
        """Let the Result decide, publish what it says, and return the XCom value.

        Args:
            result_uri: where the Result of `attempt` must be.
            outcome: how the process or pod ended.
            how: the same in words, for the message if there is no Result.

        Raises:
            JobBadInput, JobConfigError, JobDenied, JobBugAgain: no retry. JobTransient, JobBug: retry.
        """
        from base_ops.orchestration.publish import publish

        result = self._read(context, result_uri)
        if result is None or result.identity.attempt != attempt:
            raise self._without_result(context, result_uri, outcome, how, result)
        publish(context, result, result_uri, load_settings(), self.log)
        if not result.status.is_green:
            if result.missing:
                context["ti"].xcom_push(key=HANDED_ON, value={"result_uri": result_uri})
            raise self._failed(context, result)
        if not outcome.is_green:
            self.log.warning("The Result is complete, but the worker ended badly: %s", how)
        return xcom_value(result, result_uri)

    def _read(self, context: Context, uri: str) -> Result | None:
        try:
            return read_result(uri)
        except BaseOpsError as error:
            raise job_error(error.outcome, f"{self.task_id}: {error.text()}", context["ti"].try_number) from None

    def _failed(self, context: Context, result: Result) -> Exception:
        """What a red Result makes of the task."""
        text = text_of(result.error) if result.error else f"The job ended as {result.status}."
        after_s = result.error.retry_after_s if result.error else None
        return job_error(result.status, f"{self.task_id}: {text}", context["ti"].try_number, after_s)

    def _without_result(
        self, context: Context, uri: str, outcome: Outcome, how: str, other: Result | None
    ) -> Exception:
        """Nothing published for this attempt: never green, whatever the exit code said."""
        vanished = outcome.is_green or outcome is Outcome.TRANSIENT
        error = BaseOpsError(
            "The job left no Result of its own, so nothing counts as done",
            code="no_result",
            where=uri,
            expected="a Result of this attempt",
            found=f"{how}; " + ("no Result" if other is None else f"the Result of attempt {other.identity.attempt}"),
            todo="see the log above for the last words of the worker",
        )
        text = f"{self.task_id}: {error.text()}"
        return job_error(Outcome.TRANSIENT if vanished else outcome, text, context["ti"].try_number)

    def fail_early(self, error: BaseOpsError, context: Context) -> Exception:
        """The task's end for a fault found before any job ran."""
        return job_error(error.outcome, f"{self.task_id}: {error.text()}", context["ti"].try_number)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Datasets, schemas, column lineage and row counts of the Result (called by the OpenLineage provider)."""
        from base_ops.orchestration.lineage import operator_lineage

        value = task_instance.xcom_pull(task_ids=task_instance.task_id, map_indexes=task_instance.map_index)
        result = read_result(value["result_uri"]) if isinstance(value, Mapping) else None
        return None if result is None else operator_lineage(result)


def check_work(agent: str, spec: Any, fuse: Any) -> None:
    """Check at parse what can be known before rendering.

    Raises:
        ConfigError: neither or both of spec and fuse; an unknown agent; a spec that cannot be right.
    """
    if (spec is None) == (fuse is None):
        raise ConfigError(
            f"{agent or 'an agent task'} needs exactly one of spec, fuse", code="bad_task", todo="give one of them"
        )
    for part in [{"agent": agent, "spec": spec}] if fuse is None else fuse:
        body = part.get("spec") or {}
        if not is_template(body) and not is_template(part.get("agent")):
            parse_spec(AgentId.parse(part.get("agent") or ""), body, rendered=False)


def is_agent_task(task: Any) -> bool:
    """Whether a task (mapped or not) is an agent's, and so leaves a Result."""
    kind = getattr(task, "operator_class", type(task))
    return isinstance(kind, type) and issubclass(kind, AgentMixin)


def xcom_value(result: Result, result_uri: str) -> dict[str, Any]:
    """References and counts only: what later tasks and people need, below 48 KiB."""
    outputs = [
        {"name": ref.name, "uri": ref.uri, "rows": ref.rows, "slice": ref.slice, "version": ref.version}
        for ref in result.outputs[:MAX_XCOM_OUTPUTS]
    ]
    return {
        "result_uri": result_uri,
        "status": str(result.status),
        "counts": result.counts.model_dump(),
        "outputs": outputs,
        "outputs_total": len(result.outputs),
        "quarantine": [
            {"rule": ref.rule, "rows": ref.rows, "uri": ref.uri} for ref in result.quarantine[:MAX_XCOM_QUARANTINE]
        ],
        "commit_keys": len(result.commit_keys),
        "adopted": result.adopted,
        "missing": sorted(result.missing),
    }
