"""A Kubernetes API over HTTP whose pods are local processes: create, get, list, watch, patch, delete, log, events.

Each pod runs the command of its first container with the environment that its spec gives it, and nothing else.
A `Plan` says what befalls the next pod; `faults` say what the API itself answers. What the namespaces' manifests do
not allow is refused (admission.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fakes import admission

ROOT = Path(__file__).parent.parent.parent
IDENTITY = "base-ops/identity"
GRACE_S = 0.5
"""What a grace of any length lasts here."""


@dataclass
class Plan:
    """What befalls one pod. By default it is scheduled, runs, and ends as its process does."""

    hold: threading.Event | None = None
    """The scheduler waits for it."""
    unschedulable: str = ""
    waiting: list[tuple[str, str]] = field(default_factory=list)
    """(reason, message) of the container, in turns, each until somebody has seen it; the last stays, unless it is
    empty: then the pod starts."""
    rejected: str = ""
    """The kubelet's reason for failing the pod before any container."""
    on_line: tuple[str, str] = ("", "")
    """(text, one of oom, evict, kill, vanish, deadline, unknown): happens once the log has a line with the text."""
    stuck: bool = False
    """The node is lost: a deleted pod stays until it is forced away; its process goes on."""
    command: list[str] | None = None
    env: dict[str, str] = field(default_factory=dict)
    log_cuts: list[int] = field(default_factory=list)
    """Each log stream in turn breaks after so many lines."""


@dataclass
class Fault:
    """The API answers so, `times` times, to requests whose "METHOD path" matches; `after` = it does the work first."""

    pattern: str
    status: int
    times: int = 1
    reason: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False


class Pod:
    """One pod: its object, its process and its log."""

    def __init__(self, cluster: Cluster, body: dict[str, Any], plan: Plan) -> None:
        self.cluster, self.body, self.plan = cluster, body, plan
        self.process: subprocess.Popen[bytes] | None = None
        self.lines: list[tuple[str, str]] = []
        self.verdict: dict[str, str] = {}
        """How its end is told, where that is not what its process says."""
        self.gone = False
        self.reads = 0
        """How often somebody looked at it."""
        self.folder = Path(tempfile.mkdtemp(dir=cluster.folder))
        body["status"] = {"phase": "Pending", "conditions": []}

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def over(self) -> bool:
        return self.body["status"]["phase"] in ("Succeeded", "Failed")

    def live(self) -> None:
        """The kubelet and the scheduler, in a thread."""
        plan = self.plan
        if plan.unschedulable:
            self._condition("PodScheduled", "False", "Unschedulable", plan.unschedulable)
            self.cluster.event(self, "Warning", "FailedScheduling", plan.unschedulable)
            return
        while plan.hold is not None and not plan.hold.wait(0.05):
            if self.gone:
                return
        with self.cluster.lock:
            if self.gone:
                return
            self._condition("PodScheduled", "True")
        if plan.rejected:
            self._status(phase="Failed", reason=plan.rejected, message=f"Pod was rejected: {plan.rejected}")
            return
        for number, (reason, message) in enumerate(plan.waiting):
            if not reason:
                break
            self._container({"waiting": {"reason": reason, "message": message}})
            self.cluster.event(self, "Warning", "Failed", message)
            if number == len(plan.waiting) - 1:
                return
            seen = self.reads
            self.cluster.wait(lambda seen=seen: self.reads > seen or self.gone)  # type: ignore[misc]
            time.sleep(0.15)
        self._run()

    def _run(self) -> None:
        container = self.body["spec"]["containers"][0]
        environment = {**self._environment(container), **self.plan.env}
        command = self.plan.command or [*container["command"], *container.get("args", [])]
        if command[0] == "python":
            command[0] = sys.executable
        with self.cluster.lock:
            if self.gone:
                return
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.cluster.count_live(self)
            self._container({"running": {"startedAt": _now()}})
            self._status(phase="Running")
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for raw in lines:
                self._line(raw.decode().rstrip("\n"))
        code = self.process.wait()
        self._ended(128 - code if code < 0 else code)

    def _line(self, text: str) -> None:
        with self.cluster.changed:
            stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"
            self.lines.append((stamp, text))
            self.cluster.changed.notify_all()
        word, action = self.plan.on_line
        if word and word in text:
            self.cluster.strike(self, action)

    def _ended(self, code: int) -> None:
        told = self.verdict
        reason = told.get("container") or ("Completed" if code == 0 else "Error")
        terminated = {"exitCode": code, "reason": reason, "finishedAt": _now(), "message": None}
        if "phase" not in told:
            self._container({"terminated": terminated})
        extra = {key: told[key] for key in ("reason", "message") if key in told}
        self._status(phase=told.get("phase") or ("Succeeded" if code == 0 else "Failed"), **extra)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process is not None:
                os.killpg(self.process.pid, number)

    def _environment(self, container: dict[str, Any]) -> dict[str, str]:
        places = {mount["mountPath"]: self._mount(mount["name"]) for mount in container.get("volumeMounts") or []}
        found = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        for source in container.get("envFrom") or []:
            found.update(self.cluster.secrets.get(source["secretRef"]["name"], {}))
        for entry in container.get("env") or []:
            value = entry.get("value") or ""
            if "valueFrom" in entry:
                limits = container["resources"]["limits"]
                value = limits[entry["valueFrom"]["resourceFieldRef"]["resource"].removeprefix("limits.")]
            value = re.sub(r"\$\$|\$\((\w+)\)", lambda m: "$" if m[1] is None else found.get(m[1], m[0]), value)
            for path, folder in places.items():
                if value == path or value.startswith(path + "/"):
                    value = f"{folder}{value.removeprefix(path)}"
            found[entry["name"]] = value
        return found

    def _mount(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (volume,) = (v for v in self.body["spec"]["volumes"] if v["name"] == name)
        for source in (volume.get("projected") or {}).get("sources", []):
            for file, text in self.cluster.secrets.get(source["secret"]["name"], {}).items():
                (folder / file).write_text(text)
        return folder

    def _status(self, **values: Any) -> None:
        with self.cluster.changed:
            self.body["status"].update(values)
            self.cluster.touch(self, "MODIFIED")

    def _container(self, state: dict[str, Any]) -> None:
        image = self.body["spec"]["containers"][0].get("image")
        about = {"name": "base", "image": image, "imageID": "", "ready": False, "restartCount": 0, "state": state}
        self._status(containerStatuses=[about])

    def _condition(self, kind: str, status: str, reason: str | None = None, message: str | None = None) -> None:
        found = {"type": kind, "status": status, "reason": reason, "message": message}
        self._status(conditions=[found])


class Cluster:
    """The state behind the API."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.pods: dict[tuple[str, str], Pod] = {}
        self.past: list[Pod] = []
        """Every pod there ever was, in order."""
        self.plans: list[Plan] = []
        self.default = Plan()
        self.faults: list[Fault] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.events: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.deletions: list[tuple[str, int | None]] = []
        self.most_live: Counter[str] = Counter()
        self.url = ""
        self._version = 0
        self._history: list[tuple[int, str, dict[str, Any]]] = []

    # -- what tests do to it

    def strike(self, pod: Pod, action: str) -> None:
        """Let something befall a running pod."""
        if action == "unknown":
            pod._status(phase="Unknown", reason="NodeLost", message="Node is not responding")
            return
        pod.verdict = {
            "oom": {"container": "OOMKilled"},
            "evict": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
            "deadline": {"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active too long"},
        }.get(action, {})
        if action == "vanish":
            self._remove(pod)
        pod.signal(signal.SIGKILL)

    def the_pod(self) -> Pod:
        """The youngest pod."""
        return self.past[-1]

    def wait(self, condition: Any, seconds: float = 60) -> None:
        """Until something is so; fails after `seconds`."""
        with self.changed:
            end = time.monotonic() + seconds
            while not condition():
                assert time.monotonic() < end, "it never came to that"
                self.changed.wait(0.05)

    def count_live(self, pod: Pod) -> None:
        who = pod.body["metadata"].get("annotations", {}).get(IDENTITY, pod.name)
        same = [p for p in self.past if p.body["metadata"].get("annotations", {}).get(IDENTITY, p.name) == who]
        self.most_live[who] = max(self.most_live[who], sum(p.alive for p in same))

    def event(self, pod: Pod, kind: str, reason: str, message: str) -> None:
        meta = pod.body["metadata"]
        about = {"kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}
        with self.lock:
            name = f"{pod.name}.{len(self.events)}"
            self.events.append(
                {
                    "metadata": {"name": name, "namespace": meta["namespace"], "uid": str(uuid.uuid4())},
                    "involvedObject": about,
                    "type": kind,
                    "reason": reason,
                    "message": message,
                }
            )

    def stop(self) -> None:
        with self.lock:
            for pod in self.past:
                pod.gone = True
                pod.signal(signal.SIGKILL)

    # -- the API

    def create(self, namespace: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            name = body["metadata"]["name"]
            if (namespace, name) in self.pods:
                return _status(409, "AlreadyExists", f'pods "{name}" already exists')
            stamp = {"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "namespace": namespace}
            body["metadata"].update(stamp)
            pod = Pod(self, body, self.plans.pop(0) if self.plans else self.default)
            self.pods[namespace, name] = pod
            self.past.append(pod)
            self.touch(pod, "ADDED")
            threading.Thread(target=pod.live, daemon=True).start()
            return 201, pod.body

    def delete(self, namespace: str, name: str, options: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            pod = self.pods.get((namespace, name))
            if pod is None:
                return _status(404, "NotFound", f'pods "{name}" not found')
            uid = (options.get("preconditions") or {}).get("uid")
            if uid and uid != pod.body["metadata"]["uid"]:
                return _status(409, "Conflict", "the UID in the precondition does not match")
            grace = options.get("gracePeriodSeconds")
            self.deletions.append((name, grace))
            pod.body["metadata"].setdefault("deletionTimestamp", _now())
            self.touch(pod, "MODIFIED")
            if grace == 0 or not (pod.alive or pod.plan.stuck):
                self._remove(pod)
            elif not pod.plan.stuck:
                threading.Thread(target=self._end_gracefully, args=(pod,), daemon=True).start()
            return 200, pod.body

    def _end_gracefully(self, pod: Pod) -> None:
        pod.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert pod.process is not None
            pod.process.wait(GRACE_S)
        pod.signal(signal.SIGKILL)
        if pod.process is not None:
            pod.process.wait()
        self._remove(pod)

    def _remove(self, pod: Pod) -> None:
        with self.changed:
            pod.gone = True
            if self.pods.get((pod.body["metadata"]["namespace"], pod.name)) is pod:
                del self.pods[pod.body["metadata"]["namespace"], pod.name]
                self.touch(pod, "DELETED")

    def touch(self, pod: Pod, kind: str) -> None:
        self._version += 1
        pod.body["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, kind, json.loads(json.dumps(pod.body))))
        self.changed.notify_all()

    def select(self, namespace: str | None, labels: str, fields: str) -> list[dict[str, Any]]:
        bodies = [pod.body for (ns, _), pod in self.pods.items() if namespace in (None, ns)]
        return [body for body in bodies if _matches(body, labels, fields)]

    def watch(self, namespace: str | None, labels: str, fields: str, since: int, seconds: float) -> Iterator[Any]:
        end, seen = time.monotonic() + seconds, since
        while time.monotonic() < end:
            with self.changed:
                news = [entry for entry in self._history if entry[0] > seen]
                if not news:
                    self.changed.wait(0.1)
            for version, kind, body in news:
                seen = version
                if namespace in (None, body["metadata"]["namespace"]) and _matches(body, labels, fields):
                    yield {"type": kind, "object": body}

    def fault_for(self, request: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}") if length else {}
        request = f"{self.command} {parts.path}"
        with self.cluster.lock:
            self.cluster.requests.append(request)
        if why := admission.forbidden(self.command, parts.path, query):
            self._answer(*_status(403, "Forbidden", why))
            return
        fault = self.cluster.fault_for(request)
        if fault is not None:
            if fault.after:
                self._answer(*self._do(parts.path, query, body), silent=True)
            self._answer(*_status(fault.status, fault.reason, fault.message), headers=fault.headers)
            return
        found = re.fullmatch(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/log", parts.path)
        if found:
            self._log(found[1], found[2], query)
        elif query.get("watch") in ("true", "1"):
            self._watch(parts.path, query)
        else:
            self._answer(*self._do(parts.path, query, body))

    do_GET = do_POST = do_DELETE = do_PATCH = _serve

    def _do(self, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        cluster = self.cluster
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        if path == "/api/v1/pods":
            return 200, _list("PodList", cluster.select(None, labels, fields))
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)/pods", path):
            if self.command == "POST":
                return self._create(found[1], body)
            return 200, _list("PodList", cluster.select(found[1], labels, fields))
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)/events", path):
            wanted = dict(part.split("=", 1) for part in fields.split(",") if part)
            name, uid = wanted.get("involvedObject.name"), wanted.get("involvedObject.uid")
            events = [e for e in cluster.events if name in (None, e["involvedObject"]["name"])]
            return 200, _list("EventList", [e for e in events if uid in (None, e["involvedObject"]["uid"])])
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)", path):
            if self.command == "DELETE":
                return cluster.delete(found[1], found[2], body)
            pod = cluster.pods.get((found[1], found[2]))
            if pod is None:
                return _status(404, "NotFound", f'pods "{found[2]}" not found')
            if self.command == "PATCH":
                pod.body["metadata"].setdefault("labels", {}).update(body["metadata"].get("labels", {}))
            pod.reads += 1
            return 200, pod.body
        return _status(404, "NotFound", path)

    def _create(self, namespace: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.cluster.lock:
            live = [p.body for (space, _), p in self.cluster.pods.items() if space == namespace and not p.over]
            status, reason, message = admission.refused(namespace, body, live)
            return _status(status, reason, message) if status else self.cluster.create(namespace, body)

    def _answer(
        self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None, silent: bool = False
    ) -> None:
        if silent:
            return
        with self.cluster.lock:
            data = json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _log(self, namespace: str, name: str, query: dict[str, str]) -> None:
        cluster = self.cluster
        pod = cluster.pods.get((namespace, name))
        if pod is None:
            self._answer(*_status(404, "NotFound", f'pods "{name}" not found'))
            return
        if pod.process is None:
            self._answer(*_status(400, "BadRequest", "the container is waiting to start"))
            return
        self._start_stream("text/plain")
        since = float(query.get("sinceSeconds") or 1e9)
        oldest = datetime.fromtimestamp(max(0.0, time.time() - since), UTC).strftime("%Y-%m-%dT%H:%M:%S")
        follow = query.get("follow") in ("true", "True", "1")
        cut = pod.plan.log_cuts.pop(0) if pod.plan.log_cuts else None
        sent = 0
        while True:
            with cluster.changed:
                lines = pod.lines[sent:]
                ended = pod.over or pod.gone or not follow
                if not lines and not ended:
                    cluster.changed.wait(0.2)
            for stamp, text in lines:
                sent += 1
                if stamp[:19] < oldest:
                    continue
                if cut is not None and cut <= 0:
                    self._chunk(f"{stamp} {text}"[: len(stamp) + 4])  # in the middle of a line
                    self.close_connection = True
                    return
                if cut is not None:
                    cut -= 1
                self._chunk(f"{stamp} {text}\n" if query.get("timestamps") else f"{text}\n")
            if ended and not lines:
                self._chunk("")
                return

    def _watch(self, path: str, query: dict[str, str]) -> None:
        found = re.fullmatch(r"/api/v1/namespaces/([^/]+)/pods", path)
        self._start_stream("application/json")
        news = self.cluster.watch(
            found[1] if found else None,
            query.get("labelSelector", ""),
            query.get("fieldSelector", ""),
            int(query.get("resourceVersion") or 0),
            float(query.get("timeoutSeconds") or 1),
        )
        for entry in news:
            self._chunk(json.dumps(entry) + "\n")
        self._chunk("")

    def _start_stream(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, text: str) -> None:
        data = text.encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()


@contextlib.contextmanager
def kubernetes_api(folder: Path) -> Iterator[Cluster]:
    """A cluster; `KUBECONFIG` for it is the file `kubeconfig` in `folder`."""
    cluster = Cluster(folder / "pods")
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": cluster.url}}],
        "users": [{"name": "test", "user": {"token": "none"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    try:
        yield cluster
    finally:
        cluster.stop()
        server.shutdown()
        server.server_close()
        thread.join()


def _matches(body: dict[str, Any], labels: str, fields: str) -> bool:
    have = body["metadata"].get("labels") or {}
    for term in filter(None, labels.split(",")):
        key, operator, value = re.fullmatch(r"(!?[^!=]+)(!=|==?|)(.*)", term).groups()  # type: ignore[union-attr]
        if key.startswith("!") and key[1:] in have:
            return False
        if operator == "!=" and have.get(key) == value:
            return False
        if operator in ("=", "==") and have.get(key) != value:
            return False
        if not operator and not key.startswith("!") and key not in have:
            return False
    wanted = dict(part.split("=", 1) for part in fields.split(",") if part)
    about = {"metadata.name": body["metadata"]["name"], "status.phase": body["status"]["phase"]}
    return all(about.get(key) == value for key, value in wanted.items())


def _list(kind: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items}


def _status(code: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return code, {**body, "reason": reason, "message": message}


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
