"""A small MLflow: experiments, runs, artifacts through the proxy, registered models with versions and aliases."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from base_ops.bench.serving import in_thread

_API = "/api/2.0/mlflow/"
_FILES = "/api/2.0/mlflow-artifacts/artifacts/"


@dataclass
class FakeMlflow:
    """What it holds; `delay_s` makes it slow."""

    url: str = ""
    delay_s: float = 0.0
    files: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    """Sources of each model's versions, from version 1 on."""
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: uuid4().hex)
    """Its only run; mlflow remembers in a process where each run's files are."""

    @property
    def folder(self) -> str:
        return f"0/{self.run_id}/artifacts"

    def champion(self, name: str, data: bytes) -> None:
        """Put a champion there."""
        self.versions.setdefault(name, []).append(f"mlflow-artifacts:/{self.folder}")
        self.files[f"{self.folder}/model.json"] = data
        self.aliases[name, "champion"] = str(len(self.versions[name]))

    def answer(self, what: str, ask: dict[str, Any]) -> dict[str, Any] | None:
        """None: there is no such thing."""
        name = ask.get("name", "")
        if what == "registered-models/alias" and "version" in ask:
            self.aliases[name, ask["alias"]] = ask["version"]
            return {}
        if what == "registered-models/alias":
            version = self.aliases.get((name, ask["alias"]))
            return {"model_version": {"name": name, "version": version}} if version else None
        if what == "model-versions/get-download-uri":
            return {"artifact_uri": self.versions[name][int(ask["version"]) - 1]}
        if what == "experiments/create":
            return {"experiment_id": "0"}
        if what in ("runs/create", "runs/update", "runs/get"):
            info = {
                "run_id": self.run_id,
                "experiment_id": "0",
                "artifact_uri": f"mlflow-artifacts:/{self.folder}",
                "status": "RUNNING",
            }
            return {"run": {"info": info, "data": {}}, "run_info": info}
        if what == "runs/log-metric":
            self.metrics[ask["key"]] = ask["value"]
        if what == "registered-models/search":
            return {"registered_models": [{"name": n} for n in self.versions]}
        if what == "registered-models/create":
            self.versions[name] = []
            return {"registered_model": {"name": name}}
        if what == "model-versions/create":
            self.versions[name].append(ask["source"])
            return {"model_version": {"name": name, "version": str(len(self.versions[name])), "source": ask["source"]}}
        return None if what == "experiments/get-by-name" else {}


@contextmanager
def fake_mlflow() -> Iterator[FakeMlflow]:
    """A server on a free port."""
    state = FakeMlflow()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            time.sleep(state.delay_s)
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if parts.path.startswith(_FILES):
                place = parts.path.removeprefix(_FILES)
                if self.command == "PUT":
                    state.files[place] = body
                return self._send(200 if place in state.files else 404, state.files.get(place, b"{}"))
            ask = json.loads(body) if body else {key: value[0] for key, value in parse_qs(parts.query).items()}
            found = state.answer(parts.path.removeprefix(_API), ask)
            missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "there is none"}
            self._send(404 if found is None else 200, json.dumps(missing if found is None else found).encode())

        do_GET = do_POST = do_PUT = do_PATCH = _serve

        def _send(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    with in_thread(server):
        yield state
