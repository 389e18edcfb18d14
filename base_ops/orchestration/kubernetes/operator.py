"""The Kubernetes runner: the job is a pod.

The provider's KubernetesPodOperator gives the arguments, their templating, the connection to the cluster and the pod
made of them. How the pod is started, watched and judged is ours, for the Result in the lake decides: plain and
deferrable mode share `reconcile`, `watch` and `conclude`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
from airflow.providers.cncf.kubernetes.utils.pod_manager import OnFinishAction
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from kubernetes.client import V1Pod
from kubernetes.client import models as k8s

from base_ops.core.errors import BaseOpsError, ConfigError
from base_ops.core.ids import AgentId
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Request, Result
from base_ops.core.settings import Settings, load_settings
from base_ops.orchestration.agent import AgentMixin
from base_ops.orchestration.errors import JobTransient, text_of
from base_ops.orchestration.kubernetes import memory, reconcile
from base_ops.orchestration.kubernetes.api import PodApi
from base_ops.orchestration.kubernetes.failures import (
    BEFORE_START,
    TODO,
    End,
    PodEnd,
)
from base_ops.orchestration.kubernetes.logs import QUIET_S, PodLog
from base_ops.orchestration.kubernetes.template import (
    CONTAINER,
    connections_layer,
    fold,
    memory_ceiling_mb,
    memory_limit_mb,
    namespace_of,
    pod_template,
    with_memory,
)
from base_ops.orchestration.kubernetes.trigger import AgentPodTrigger
from base_ops.orchestration.kubernetes.watch import Limits, PodWatch, end_of, has_ended, has_started
from base_ops.orchestration.lake import is_local
from base_ops.orchestration.process import read_line

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

REQUEST_VARIABLE = "AGENT_REQUEST"
MAX_INLINE_REQUEST = 32 * 1024
"""Bytes of a Request that travels in the pod itself; a larger one is read from the lake."""
DEADLINE_MARGIN_S = 60
_HANDED_ON = ("offline", "models", "mlflow_tracking_uri", "failpoint")
"""Settings of this deployment that a job obeys, where they are not the default."""


class KubernetesAgentOperator(AgentMixin, KubernetesPodOperator):
    """Runs an agent as a pod (`BASE_RUNNER=kubernetes`). Takes the arguments of KubernetesPodOperator as well.

    Args:
        schedule_timeout_seconds: how long no node may be found.
        startup_timeout_seconds: how long a container may take to start once a node is found.
    """

    quiet_s: float = QUIET_S
    terminate_s: float = Limits.terminate_s
    unknown_s: float = Limits.unknown_s
    hopeless_s: float = Limits.hopeless_s

    def __init__(
        self,
        *,
        schedule_timeout_seconds: int = 600,
        startup_timeout_seconds: int = 300,
        startup_check_interval_seconds: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            schedule_timeout_seconds=schedule_timeout_seconds,
            startup_timeout_seconds=startup_timeout_seconds,
            startup_check_interval_seconds=startup_check_interval_seconds,
            random_name_suffix=False,
            **kwargs,
        )
        settings = load_settings()
        if is_local(settings.lake):
            raise ConfigError(
                "The kubernetes runner cannot use a lake in a local folder: pods would not see it",
                code="local_lake",
                where="BASE_LAKE_URL",
                expected="the URL of an object store, e.g. s3://bucket/lake",
                found=settings.lake,
            )
        self.do_xcom_push = False  # no sidecar: the Result is read from the lake
        self.base_container_name = CONTAINER
        self.image = self.image or settings.worker_image
        self.cmds = self.cmds or ["python", "-m", "base_ops.worker"]
        self.pod_template_dict = with_memory(pod_template(settings, self.profile, self.pod_override))
        if self.execution_timeout is not None and self.active_deadline_seconds is None:
            # So that nothing runs on for ever where Airflow itself is gone.
            self.active_deadline_seconds = int(self.execution_timeout.total_seconds()) + DEADLINE_MARGIN_S
        self._request: Request | None = None
        self._end = PodEnd(End.EXIT, "the pod succeeded", 0)

    # -- the three ways in

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the job in a pod and return references to its Result (also pushed as the XCom value)."""
        try:
            request = self.build_request(context)
            self.prepare(request, load_settings(), memory.remembered_mb(context))
            wanted = self.build_pod_request_obj(context)
        except BaseOpsError as error:
            raise self.fail_early(error, context) from None
        self.pod = wanted  # before it is made: whoever ends us now must find it
        found = self._reconciler(context).ensure(wanted)
        self.pod = found
        log = self._log_reader(("", 0))
        if self.deferrable:
            self._defer(context, found, log.position)
        return self._conclude(context, found, self._wait(found, log))

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after a deferral, in a new process: write logs, then wait on or conclude."""
        known = event["pod"]
        pod = self.pods.read(known["namespace"], known["name"])
        if pod is not None and pod.metadata.uid != known["uid"]:
            pod = None
        self.pod = pod
        stamp, count = event["position"]
        log = self._log_reader((stamp, count))
        if pod is not None and has_started(pod, CONTAINER):
            log.drain(pod)
        if event["end"] is None and pod is not None:
            self._defer(context, pod, log.position)
        end = PodEnd.of_event(event) if event["end"] else PodEnd(End.VANISHED, "the pod is gone from the cluster")
        return self._conclude(context, pod or _pod_of(known), end)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """As Airflow's; where the trigger itself failed, the pod is found again and watched from here."""
        if next_method == TRIGGER_FAIL_REPR:
            self.log.warning(
                "The trigger failed (%s); the task watches its pod itself.", (next_kwargs or {}).get("error")
            )
            self.deferrable = False
            return self.execute(context)
        return super().resume_execution(next_method, next_kwargs, context)

    # -- before

    def prepare(self, request: Request, settings: Settings, memory_mb: int | None = None) -> None:
        """Fit the pod to a Request: arguments, names, identity, connections, memory."""
        first = AgentId.parse(request.steps[0].agent)
        self._request = request
        self.namespace = self.namespace or namespace_of(first.module)
        self.name = reconcile.pod_name(first.agent, request.identity, request.lake_url)
        self.service_account_name = self.service_account_name or f"{namespace_of(first.module)}-worker"
        self.labels = {
            **self.labels,
            "base-ops/module": first.module,
            "base-ops/agent": first.agent,
            reconcile.WORK: reconcile.work_id(request),
            reconcile.DEPLOYMENT: reconcile.deployment_id(request.lake_url),
            reconcile.ATTEMPT: make_safe_label_value(request.identity.attempt),
        }
        identity = request.identity.model_dump(mode="json", include={"dag_id", "run_id", "task_id", "map_index"})
        self.annotations = {
            **self.annotations,
            reconcile.RESULT_URI: str(request.result_uri),
            reconcile.IDENTITY: json.dumps(identity, sort_keys=True),
        }
        template = fold(self.pod_template_dict, connections_layer(request.connections, settings.vault_role))
        self.pod_template_dict = with_memory(template, memory_mb)
        env = {"BASE_ENV": settings.env, "BASE_LOG_LEVEL": settings.log_level, **_handed_on(settings)}
        body = request.model_dump_json(exclude_defaults=True)
        if len(body.encode()) <= MAX_INLINE_REQUEST:
            env[REQUEST_VARIABLE] = body.replace("$", "$$")  # Kubernetes expands $(NAME), and takes $$ for $
            self.arguments = ["--request", f"env:{REQUEST_VARIABLE}"]
        else:
            self.arguments = ["--request", self.store_request(request)]
        self.env_vars = [*self.env_vars, *(k8s.V1EnvVar(name=name, value=value) for name, value in env.items())]

    # -- while it runs

    @cached_property
    def pods(self) -> PodApi:
        return PodApi(self.client)

    def _reconciler(self, context: Context) -> reconcile.Reconciler:
        return reconcile.Reconciler(
            api=self.pods,
            container=CONTAINER,
            log=self.log,  # type: ignore[arg-type]
            after=lambda old, wanted: self._after(context, old, wanted),
            terminate_s=self.terminate_s,
            poll_s=float(self.startup_check_interval_seconds),
        )

    def _wait(self, pod: V1Pod, log: PodLog) -> PodEnd:
        """Plain mode: watch the pod, with its log, until it has ended."""
        watch, known = PodWatch(CONTAINER, self._limits()), pod
        while True:
            found = self.pods.read(known.metadata.namespace, known.metadata.name)
            if found is not None and found.metadata.uid != known.metadata.uid:
                found = None
            end = watch.look(found, time.monotonic())
            if end is not None:
                if found is not None and has_started(found, CONTAINER):
                    log.drain(found)
                return end
            if found is not None and has_started(found, CONTAINER):
                log.follow(found)
            time.sleep(self.startup_check_interval_seconds)

    def _defer(self, context: Context, pod: V1Pod, position: tuple[str, int]) -> None:
        deadline = None
        if self.execution_timeout is not None and context["ti"].start_date is not None:
            deadline = (context["ti"].start_date + self.execution_timeout).timestamp()
        cluster: dict[str, Any] = {"conn_id": self.kubernetes_conn_id, "cluster_context": self.cluster_context}
        if self.hook.is_in_cluster:
            cluster["in_cluster"] = True
        elif self.config_file:
            cluster["config_dict"] = _kubeconfig(self.config_file)
        trigger = AgentPodTrigger(
            pod=_reference(pod),
            container=CONTAINER,
            cluster=cluster,
            limits=asdict(self._limits()),
            position=list(position),
            poll_s=self.poll_interval,
            logging_s=self.logging_interval,
            deadline=deadline,
            grace_s=self.termination_grace_period,
            keep=self.on_kill_action.value == "keep_pod",
        )
        # No time-out for Airflow: it would end the task without asking what became of the pod.
        self.defer(trigger=trigger, method_name="trigger_reentry")

    def _limits(self) -> Limits:
        return Limits(
            schedule_s=self.schedule_timeout_seconds,
            start_s=self.startup_timeout_seconds,
            hopeless_s=self.hopeless_s,
            unknown_s=self.unknown_s,
            terminate_s=self.terminate_s,
        )

    def _log_reader(self, position: tuple[str, int]) -> PodLog:
        return PodLog(self.pods, CONTAINER, self._emit, position, self.quiet_s)

    def _emit(self, line: str) -> None:
        level, text = read_line(line)
        if text:
            self.log.log(level, text)

    def on_kill(self) -> None:
        """Called on SIGTERM, a time-out, or when the task is marked in the UI: end the pod."""
        self._killed = True
        if self.pod is not None and self.on_kill_action.value != "keep_pod":
            self._delete(self.pod)

    # -- after

    def _conclude(self, context: Context, pod: V1Pod, end: PodEnd) -> dict[str, Any]:
        """Let the Result decide; then clear the pod away, whatever was decided."""
        if self._killed:
            raise JobTransient(f"{self.task_id}: the job was interrupted and its pod ended; a retry resumes it.")
        self._end, green = end, False
        _count_end(pod, end)
        try:
            uri, attempt = pod.metadata.annotations[reconcile.RESULT_URI], pod.metadata.labels[reconcile.ATTEMPT]
            value = self.finish(context, uri, attempt, end.outcome, end.how)
            green = True
        finally:
            if not green and end.end is not End.EXIT:
                for warning in self.pods.warnings(pod):
                    self.log.warning("Pod event: %s", warning)
            self._clear_away(pod, green)
        context["ti"].xcom_push(key="return_value", value=value)
        return value

    def _clear_away(self, pod: V1Pod, green: bool) -> None:
        action = self.on_finish_action
        if action is OnFinishAction.DELETE_POD or (action is OnFinishAction.DELETE_SUCCEEDED_POD and green):
            self._delete(pod)

    def _delete(self, pod: V1Pod) -> None:
        try:
            self.pods.delete(pod, self.termination_grace_period)
        except Exception as error:  # no reason to lose what was decided; a retry finds it, or the sweeper
            self.log.warning("The pod %s is left to a retry or the sweeper: %s", pod.metadata.name, error)

    def _without_result(
        self, context: Context, uri: str, outcome: Outcome, how: str, other: Result | None
    ) -> Exception:
        """No Result of this attempt: the pod's end decides which failure it is, never that it is none."""
        end = self._end
        if end.end is End.OUT_OF_MEMORY:
            return self._more_memory(context, f"peak that limit, where the kernel stopped it; {how}")
        error = BaseOpsError(
            "The job left no Result of its own, so nothing counts as done",
            code=f"pod_{end.end}",
            where=uri,
            expected="a Result of this attempt",
            found=f"{how}; " + ("no Result" if other is None else f"the Result of attempt {other.identity.attempt}"),
            todo=TODO[end.end],
        )
        return end.error(f"{self.task_id}: {error.text()}", context["ti"].try_number)

    def _failed(self, context: Context, result: Result) -> Exception:
        """A red Result; one that ran out of memory by itself is treated as if the kernel had ended it."""
        if result.error is not None and result.error.code == "out_of_memory":
            peak = f"peak {result.peak_memory_bytes >> 20} MiB"
            return self._more_memory(context, f"{peak}; {text_of(result.error)}")
        return super()._failed(context, result)

    def _more_memory(self, context: Context, found: str) -> Exception:
        limit = memory.limit_of(self.pod) if self.pod is not None else memory_limit_mb(self.pod_template_dict or {})
        return memory.out_of_memory(context, self.task_id, self.profile, limit, self._ceiling_mb(), found)

    def _ceiling_mb(self) -> int:
        return memory_ceiling_mb(self.pod_template_dict or {})

    def _after(self, context: Context, old: V1Pod, wanted: V1Pod) -> V1Pod:
        """The pod to make in the place of an old one, whose end no process was there to see."""
        limit = memory.limit_of(old)
        if limit is None or not has_ended(old, CONTAINER) or end_of(old, CONTAINER).end is not End.OUT_OF_MEMORY:
            return wanted
        more = memory.raise_for_next_try(context, limit, self._ceiling_mb())
        self.pod_template_dict = with_memory(self.pod_template_dict or {}, more)
        return self.build_pod_request_obj(context)


def _handed_on(settings: Settings) -> dict[str, str]:
    defaults = Settings.model_fields
    given = {name: getattr(settings, name) for name in _HANDED_ON}
    return {f"BASE_{name.upper()}": str(value) for name, value in given.items() if value != defaults[name].default}


def _reference(pod: V1Pod) -> dict[str, Any]:
    """What identifies a pod and its Result, as a trigger carries it."""
    return {
        "namespace": pod.metadata.namespace,
        "name": pod.metadata.name,
        "uid": pod.metadata.uid,
        "labels": {k: v for k, v in pod.metadata.labels.items() if k.startswith("base-ops/")},
        "result_uri": pod.metadata.annotations[reconcile.RESULT_URI],
    }


def _pod_of(known: Mapping[str, Any]) -> V1Pod:
    """A pod that is gone, as far as it is remembered."""
    annotations = {reconcile.RESULT_URI: known["result_uri"]}
    about = {"namespace": known["namespace"], "name": known["name"], "uid": known["uid"]}
    return V1Pod(metadata=k8s.V1ObjectMeta(**about, labels=known["labels"], annotations=annotations))


def _count_end(pod: V1Pod, end: PodEnd) -> None:
    from airflow.sdk.observability import stats

    labels = pod.metadata.labels or {}
    tags = {"module": labels.get("base-ops/module", ""), "agent": labels.get("base-ops/agent", "")}
    stats.incr("base_pod_ends_total", tags={**tags, "end": str(end.end)})
    if end.end in BEFORE_START:
        stats.incr("base_pod_launch_errors_total", tags={**tags, "end": str(end.end)})


def _kubeconfig(file: str) -> Any:
    from base_ops.core.yamlio import load_yaml

    return load_yaml(Path(file)).data


__all__ = ["KubernetesAgentOperator"]
