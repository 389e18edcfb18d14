"""Which version of a model decides: the champion in MLflow, else the packaged one, else none (then rules decide).

MLflow is asked over its REST interface, since its client takes seconds to import; all of it within 2 s.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from base_ops.core.settings import Settings, load_settings
from base_ops.worker.models.files import MAX_BYTES
from base_ops.worker.models.trees import parse_trees

ALIAS = "champion"
FILE = "model.json"
TIMEOUT_S = 2.0

log = logging.getLogger(__name__)


class Fitted(Protocol):
    """What was learned, as its file's parser gives it."""

    @property
    def features(self) -> tuple[str, ...]:
        """What it was trained on, in order."""
        ...

    def to_json(self) -> str:
        """Its file."""
        ...


Parse = Callable[[bytes], Any]
"""From a file to a Fitted. Raises: ValueError where it is none."""


@dataclass(frozen=True)
class Model:
    """A model that may decide, or the reason why there is none."""

    fitted: Any
    """A Fitted of the kind that was asked for, or None."""
    origin: str
    """`mlflow:<version>`, `packaged`, or `none`."""
    tried: tuple[str, ...] = ()
    """Why what comes before in order was not taken."""


def registered_name(module: str, model: str) -> str:
    """Name in the MLflow registry."""
    return f"base-{module}-{model}"


def packaged_file(module: str, model: str) -> Path:
    return Path(__file__).parents[2] / module / "models" / model / FILE


@lru_cache(maxsize=32)
def load_model(module: str, model: str, features: tuple[str, ...], parse: Parse = parse_trees) -> Model:
    """Find a model once per process. A version that was trained on other features is passed over.

    Args:
        features: what the code can compute, in order.
        parse: reads the kind of model that is wanted.
    """
    return find_model(load_settings(), registered_name(module, model), packaged_file(module, model), features, parse)


def find_model(
    settings: Settings, name: str, packaged: Path, features: tuple[str, ...], parse: Parse = parse_trees
) -> Model:
    """As `load_model`, not remembered."""
    if not settings.models:
        return Model(None, "none", ("switched off (BASE_MODELS)",))
    tried: list[str] = []
    if settings.mlflow_tracking_uri:
        found = _within(TIMEOUT_S, settings.mlflow_tracking_uri, name, parse)
        if isinstance(found, str):
            tried.append(f"mlflow: {found}")
        elif found[0].features != features:
            tried.append(f"mlflow:{found[1]}: trained on other features")
        else:
            return Model(found[0], f"mlflow:{found[1]}")
    try:
        fitted = parse(packaged.read_bytes())
        if fitted.features == features:
            return Model(fitted, "packaged", _told(name, tried))
        tried.append("packaged: trained on other features")
    except (OSError, ValueError) as error:
        tried.append(f"packaged: {type(error).__name__}")
    return Model(None, "none", _told(name, tried))


def _told(name: str, tried: list[str]) -> tuple[str, ...]:
    if tried:
        log.warning("model %s: %s", name, "; ".join(tried))
    return tuple(tried)


def _within(seconds: float, uri: str, name: str, parse: Parse) -> tuple[Any, str] | str:
    """The champion and its version, or why there is none; a slow server is left behind."""
    answers: list[tuple[Any, str] | str] = []

    def ask() -> None:
        try:
            answers.append(_champion(uri, name, parse))
        except Exception as error:  # whatever is wrong with the server or its file: the packaged model decides
            answers.append(type(error).__name__ if not isinstance(error, _NoneError) else str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else f"no answer within {seconds:g} s"


class _NoneError(Exception):
    """The server has none; its text says what it lacks."""


def _champion(uri: str, name: str, parse: Parse) -> tuple[Any, str]:
    import httpx

    with httpx.Client(base_url=uri.rstrip("/"), timeout=TIMEOUT_S) as client:
        answer = client.get("/api/2.0/mlflow/registered-models/alias", params={"name": name, "alias": ALIAS})
        if answer.status_code == 404:
            raise _NoneError(f"no {ALIAS} of {name}")
        version = str(answer.raise_for_status().json()["model_version"]["version"])
        where = client.get("/api/2.0/mlflow/model-versions/get-download-uri", params={"name": name, "version": version})
        folder = str(where.raise_for_status().json()["artifact_uri"])
        parts = urlsplit(folder)
        if parts.scheme != "mlflow-artifacts":
            from base_ops.worker.lake.store import Store

            return parse(Store(folder).read_bytes(FILE)), version
        path = quote(f"{parts.path.strip('/')}/{FILE}")
        with client.stream("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}") as stream:
            stream.raise_for_status()
            data = bytearray()
            for part in stream.iter_bytes():
                data += part
                if len(data) > MAX_BYTES:
                    raise _NoneError(f"version {version} is larger than {MAX_BYTES} bytes")
        return parse(bytes(data)), version
