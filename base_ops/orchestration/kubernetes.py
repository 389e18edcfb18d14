"""The Kubernetes runner: the job is a pod. Re-attach, deferral and retries of API calls come with the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
from airflow.sdk.exceptions import AirflowException, AirflowSkipException
from kubernetes.client import models as k8s

from base_ops.core.errors import BaseOpsError, ConfigError
from base_ops.core.ids import AgentId
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Request
from base_ops.core.settings import Settings, load_settings
from base_ops.orchestration.agent import AgentMixin
from base_ops.orchestration.errors import JobTransient
from base_ops.orchestration.lake import is_local
from base_ops.orchestration.pods import (
    CONNECTIONS_DIR,
    log_line,
    namespace_of,
    pod_end,
    pod_template,
    secret_name,
)

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

RESULT_URI = "base-ops/result-uri"
"""Annotation: where this pod's Result will be; a re-attached try reads it from the pod it adopts."""
ATTEMPT = "base-ops/attempt"
_ADOPTED = "base_attempt"
"""XCom key that carries (Result URI, attempt) over a deferral."""


class KubernetesAgentOperator(AgentMixin, KubernetesPodOperator):
    """Runs an agent as a pod (`BASE_RUNNER=kubernetes`). Takes the arguments of KubernetesPodOperator as well."""

    def __init__(
        self,
        *,
        startup_check_interval_seconds: int = 1,
        log_events_on_failure: bool = True,
        log_pod_spec_on_failure: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            startup_check_interval_seconds=startup_check_interval_seconds,
            log_events_on_failure=log_events_on_failure,
            log_pod_spec_on_failure=log_pod_spec_on_failure,
            log_formatter=log_line,
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
        self.image = self.image or settings.worker_image
        self.cmds = self.cmds or ["python", "-m", "base_ops.worker"]
        self.pod_template_dict = pod_template(settings, self.profile, self.pod_override)
        self._request: Request | None = None
        self._result_uri = self._attempt = ""
        self._end: tuple[Outcome, str] = (Outcome.OK, "the pod succeeded")

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the job in a pod and return references to its Result (also pushed as the XCom value)."""
        try:
            request = self.build_request(context)
            self.prepare(request, self.store_request(request), load_settings())
        except BaseOpsError as error:
            raise self.fail_early(error, context) from None
        return self._conclude(context, lambda: super(KubernetesAgentOperator, self).execute(context))

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after a deferral, in a new process."""
        ti = context["ti"]
        carried = ti.xcom_pull(task_ids=ti.task_id, key=_ADOPTED, map_indexes=ti.map_index)
        self._result_uri, self._attempt = carried or ("", "")
        return self._conclude(context, lambda: super(KubernetesAgentOperator, self).trigger_reentry(context, event))

    def prepare(self, request: Request, request_uri: str, settings: Settings) -> None:
        """Fit the pod to a Request: arguments, names, connections."""
        first = AgentId.parse(request.steps[0].agent)
        self._request = request
        self.arguments = ["--request", request_uri]
        self.namespace = self.namespace or namespace_of(first.module)
        self.name = self.name or f"{first.agent}-{request.identity.task_id}"
        self.name = self._set_name(self.name.replace(".", "-"))
        self.service_account_name = self.service_account_name or f"{namespace_of(first.module)}-worker"
        self.labels = {**self.labels, "base-ops/module": first.module, "base-ops/agent": first.agent}
        env: dict[str, str] = {"BASE_ENV": settings.env, "BASE_LOG_LEVEL": settings.log_level}
        if request.connections:
            env["BASE_CONNECTIONS_DIR"] = CONNECTIONS_DIR
            self.volumes = [*self.volumes, _connections_volume(request.connections)]
            self.volume_mounts = [
                *self.volume_mounts,
                k8s.V1VolumeMount(name="connections", mount_path=CONNECTIONS_DIR, read_only=True),
            ]
        self.env_vars = [*self.env_vars, *(k8s.V1EnvVar(name=name, value=value) for name, value in env.items())]

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> k8s.V1Pod:
        """The pod. Its attempt is added last: the provider looks for a pod to adopt by the labels before that."""
        pod = super().build_pod_request_obj(context, dry_run=dry_run)
        if self._request is not None:
            pod.metadata.labels[ATTEMPT] = make_safe_label_value(self._request.identity.attempt)
            pod.metadata.annotations = {**(pod.metadata.annotations or {}), RESULT_URI: self._request.result_uri}
        return pod

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        """A new pod, or the one an earlier process of this try has started: then its Result is the one that counts."""
        pod = super().get_or_create_pod(pod_request_obj, context)
        self._result_uri = pod.metadata.annotations[RESULT_URI]
        self._attempt = pod.metadata.labels[ATTEMPT]
        context["ti"].xcom_push(key=_ADOPTED, value=[self._result_uri, self._attempt])
        return pod

    def cleanup(
        self, pod: k8s.V1Pod, remote_pod: k8s.V1Pod, xcom_result: Any = None, context: Context | None = None
    ) -> None:
        """Clean up as the provider does, but leave the verdict to the Result (exit code 3 is a success)."""
        try:
            super().cleanup(pod, remote_pod, xcom_result, context)
        except AirflowSkipException:
            raise
        except AirflowException:
            self._end = pod_end(remote_pod, self.base_container_name)

    def _conclude(self, context: Context, run: Any) -> dict[str, Any]:
        try:
            run()
        except AirflowSkipException:
            raise
        except AirflowException as error:
            if self._end[0].is_green:
                self._end = (Outcome.TRANSIENT, f"{type(error).__name__}: {error}")
        if self._killed:
            raise JobTransient(f"{self.task_id}: the job was interrupted and its pod ended; a retry resumes it.")
        value = self.finish(context, self._result_uri, self._attempt, *self._end)
        context["ti"].xcom_push(key="return_value", value=value)
        return value


def _connections_volume(names: list[str]) -> k8s.V1Volume:
    """One volume with the Secrets of all connections; the job reports a missing one, with all places it tried."""
    sources = [
        k8s.V1VolumeProjection(secret=k8s.V1SecretProjection(name=secret_name(name), optional=True)) for name in names
    ]
    projected = k8s.V1ProjectedVolumeSource(sources=sources, default_mode=0o440)
    return k8s.V1Volume(name="connections", projected=projected)
