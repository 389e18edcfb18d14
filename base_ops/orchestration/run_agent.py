"""The DAG `base_run_agent`: any agent, from the UI or `POST /api/v2/dags/base_run_agent/dagRuns`, by hand."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param

from base_ops.core.spec import known_agents
from base_ops.orchestration.operator import RunAgentOperator

RUN_AGENT = "base_run_agent"


def run_agent_dag() -> DAG:
    """One task that runs the agent named in the run's params."""
    agents = known_agents()
    with DAG(
        dag_id=RUN_AGENT,
        description="Run any agent by hand",
        doc_md=(
            "Choose an agent and give its spec as JSON. Connections are named in the spec, never written into it; "
            "`base-ops schema <agent>` shows what a spec can say. The run's id makes a repeated post harmless."
        ),
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        tags={"base-layer", "by-hand"},
        default_args={"owner": "base-platform"},
        max_active_runs=16,
        render_template_as_native_obj=True,  # the spec stays a mapping
        params={
            "agent": Param(agents[0] if agents else "", type="string", enum=agents, title="Agent"),
            "spec": Param({}, type="object", title="Spec", description="The agent's spec as JSON"),
        },
        auto_register=False,
    ) as dag:
        RunAgentOperator(task_id="run", agent="{{ params.agent }}", spec="{{ params.spec }}", retries=0)
    return dag
