"""AgentOperator: the one operator of base_ops. Its base is chosen once, by the deployment's runner.

`BASE_RUNNER=local` gives a plain operator and saves the import of the Kubernetes provider (2.8 s);
`BASE_RUNNER=kubernetes` gives a KubernetesPodOperator. Same arguments, same Results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from base_ops.core.settings import load_settings

if TYPE_CHECKING:
    from base_ops.orchestration.local import LocalAgentOperator as AgentOperator
elif load_settings().runner == "kubernetes":
    from base_ops.orchestration.kubernetes.operator import KubernetesAgentOperator as AgentOperator
else:
    from base_ops.orchestration.local import LocalAgentOperator as AgentOperator

__all__ = ["AgentOperator", "RunAgentOperator"]


class RunAgentOperator(AgentOperator):
    """Runs the agent that its arguments name once they are rendered: the task behind `base_run_agent`."""

    template_fields = ("spec", "fuse", "agent")

    def __init__(self, *, agent: str, **kwargs: Any) -> None:
        self.agent = agent  # type: ignore[misc]  # the one operator whose agent is an argument
        super().__init__(**kwargs)
