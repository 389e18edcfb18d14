"""The DAG that ends orphaned pods, where Airflow runs jobs as pods (BASE_RUNNER=kubernetes)."""

from base_ops.core.settings import load_settings

if load_settings().runner == "kubernetes":
    from base_ops.orchestration.kubernetes.sweeper import sweep_pods_dag

    sweep_dag = sweep_pods_dag()
