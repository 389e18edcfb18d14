"""Render the ArgoCD objects (an option) for the modules of modules/table.yaml: `make manifests`.

    render.py [--repo URL] [--revision REV] [--cluster URL] [--rollout automated|rolling] [--folder FOLDER]

automated: every application syncs and heals itself; the wave is a label. rolling: ArgoCD brings one wave out after the
other (RollingSync, which switches automated sync off; progressive syncs have to be enabled in ArgoCD).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
HEADER = "# Rendered by `make manifests`. Do not edit.\n"
FINALIZER = "resources-finalizer.argocd.argoproj.io"


def project(repo: str, cluster: str, modules: dict[str, int]) -> dict[str, Any]:
    """What the applications may touch: these namespaces on this cluster, nothing else."""
    destinations = [{"server": cluster, "namespace": _namespace(module)} for module in modules]
    spec = {
        "sourceRepos": [repo],
        "destinations": destinations,
        "clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}],
    }
    metadata = {"name": "base-ops", "namespace": "argocd", "finalizers": [FINALIZER]}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": metadata, "spec": spec}


def application_set(repo: str, revision: str, cluster: str, rollout: str, modules: dict[str, int]) -> dict[str, Any]:
    elements = [{"namespace": _namespace(module), "wave": str(wave)} for module, wave in modules.items()]
    spec: dict[str, Any] = {
        "goTemplate": True,
        "goTemplateOptions": ["missingkey=error"],
        "generators": [{"list": {"elements": elements}}],
        "template": _template(repo, revision, cluster, rollout),
    }
    if rollout == "rolling":
        steps = [
            {"matchExpressions": [{"key": "deployment.wave", "operator": "In", "values": [str(wave)]}]}
            for wave in sorted(set(modules.values()))
        ]
        spec["strategy"] = {"type": "RollingSync", "rollingSync": {"steps": steps}}
    metadata = {"name": "base-ops-modules", "namespace": "argocd"}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": metadata, "spec": spec}


def _template(repo: str, revision: str, cluster: str, rollout: str) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "syncOptions": [
            "CreateNamespace=true",
            "PruneLast=true",
            "ApplyOutOfSyncOnly=true",
            "RespectIgnoreDifferences=true",
            "ServerSideApply=true",
        ],
        "retry": {"limit": 5, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "3m"}},
    }
    if rollout == "automated":
        policy = {"automated": {"prune": True, "selfHeal": True, "allowEmpty": False}, **policy}
    metadata = {
        "name": "{{.namespace}}",
        "labels": {"deployment.wave": "{{.wave}}"},
        "annotations": {
            "argocd.argoproj.io/sync-wave": "{{.wave}}",
            "argocd.argoproj.io/compare-options": "ServerSideDiff=true",
        },
        "finalizers": [FINALIZER],
    }
    source = {
        "repoURL": repo,
        "targetRevision": revision,
        "path": "helm-values/modules/base",
        "directory": {"include": "{{.namespace}}.yaml"},
    }
    destination = {"server": cluster, "namespace": "{{.namespace}}"}
    spec = {"project": "base-ops", "source": source, "destination": destination, "syncPolicy": policy}
    return {"metadata": metadata, "spec": spec}


def _namespace(module: str) -> str:
    return f"base-{module.replace('_', '-')}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repo", default="https://git.example.com/base-ops.git")
    parser.add_argument("--revision", default="main")
    parser.add_argument("--cluster", default="https://kubernetes.default.svc")
    parser.add_argument("--rollout", choices=["automated", "rolling"], default="automated")
    parser.add_argument("--folder", type=Path, default=HERE)
    args = parser.parse_args(argv)
    modules = yaml.safe_load((HERE.parent / "modules" / "table.yaml").read_text())["modules"]
    args.folder.mkdir(parents=True, exist_ok=True)
    for file, body in {
        "appproject.yaml": project(args.repo, args.cluster, modules),
        "applicationset.yaml": application_set(args.repo, args.revision, args.cluster, args.rollout, modules),
    }.items():
        (args.folder / file).write_text(HEADER + yaml.safe_dump(body, sort_keys=False, width=120))


if __name__ == "__main__":
    main()
