"""Spec: the typed, frozen signature of an agent, and the one way to find and check it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal, Self, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.ids import AgentId


class Spec(BaseModel):
    """Base of every agent's spec and of every configuration block: frozen, and unknown keys are refused.

    Each field has a description with its unit and default, the text right behind it; see `describe.json_schema`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True, allow_inf_nan=False)

    def completed(self) -> Self:
        """With what the deployment's configuration says where the spec says nothing.

        Asked where a Request is made: a pod has no configuration, and does the same work as a process here.
        """
        return self


def as_list(value: Any) -> Any:
    """One alone is a list of one."""
    return [value] if isinstance(value, (str, Mapping)) else value


Names = Annotated[tuple[str, ...], BeforeValidator(as_list)]
"""A list of names; one alone needs no brackets."""


def spec_type(agent: AgentId) -> Any:
    """The Spec class (or union discriminated by `action`) of an agent: `<Agent>Spec` in `<module>/specs/<agent>.py`."""
    try:
        module = importlib.import_module(f"base_ops.{agent.module}.specs.{agent.agent}")
    except ModuleNotFoundError as error:
        if error.name and not error.name.startswith("base_ops"):
            raise
        module = None
    found = getattr(module, f"{agent.class_stem}Spec", None) if module else None
    if found is None:
        raise ConfigError(
            f"The agent {str(agent)!r} is not known. {did_you_mean(str(agent), known_agents())}",
            code="unknown_agent",
        )
    return found


def known_agents() -> list[str]:
    """Ids of all agents, by walking the folders: `<module>/jobs/<agent>.py` or `<module>/jobs/<agent>/`."""
    from pathlib import Path

    root = Path(__file__).parent.parent
    found = []
    for job in sorted(root.glob("*/jobs/*")):
        name = job.stem if job.suffix == ".py" else job.name
        if (job.suffix == ".py" or (job / "__init__.py").exists()) and not name.startswith("_"):
            found.append(f"{job.parent.parent.name}.{name}")
    return found


def connection_names(value: Any) -> set[str]:
    """Names of the connections a spec mentions: text in a field `connection`, or `key` (of a mask), at any depth."""
    found: set[str] = set()
    if isinstance(value, BaseModel):
        children: list[Any] = [getattr(value, name) for name in type(value).model_fields]
        found.update(v for name in ("connection", "key") if isinstance(v := getattr(value, name, None), str))
    elif isinstance(value, Mapping):  # a spec inside a spec, as it was written
        children = list(value.values())
        found.update(v for name in ("connection", "key") if isinstance(v := value.get(name), str))
    elif isinstance(value, (list, tuple)):
        children = list(value)
    else:
        return found
    return found.union(*(connection_names(child) for child in children))


def is_template(value: Any) -> bool:
    """Whether a string holds Jinja that is yet to be rendered."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def parse_spec(agent: AgentId, raw: Mapping[str, Any] | Spec, *, rendered: bool = True) -> Spec | None:
    """Check a spec. With `rendered=False`, strings that hold Jinja are taken on trust until they are rendered.

    Returns:
        the spec, or None where it is right except for values that only rendering will tell.

    Raises:
        ConfigError: naming agent, key, what was found and what is known.
    """
    kind = spec_type(agent)
    if isinstance(raw, Spec):
        raw = raw.model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw = dict(raw)
    actions = action_specs(kind)
    if len(actions) > 1 and "action" not in raw:
        raw["action"] = next(iter(actions))
    if len(actions) > 1 and raw["action"] not in actions:
        unknown = ConfigError(
            f"{agent}: action={raw['action']!r} is not known. {did_you_mean(str(raw['action']), actions)}",
            code="unknown_action",
            where="spec.action",
        )
        unknown.loc = ("action",)
        raise unknown
    return cast("Spec | None", check(kind, raw, str(agent), rendered=rendered))


def check(kind: Any, raw: Any, name: str, *, rendered: bool = True, noun: str = "spec") -> Any:
    """Check data against a model (or a union of models) as `parse_spec` does.

    Args:
        name: whose data it is, e.g. an agent id; begins the message.
        noun: what the data is called in paths: spec, pipeline, source.

    Raises:
        ConfigError: with `loc`, the path of the first faulty key.
    """
    try:
        return _adapter(kind).validate_python(raw)
    except ValidationError as error:
        faults: list[Any] = [e for e in error.errors() if rendered or not _waits_for_rendering(e, raw)]
        if not faults:
            return None
        kind = _without_tag(kind, faults)
        for fault in faults:
            _locate(fault, raw)
        raise _config_error(name, kind, faults, noun) from None


def _without_tag(kind: Any, faults: list[Any]) -> Any:
    """The spec that the action chose; its tag, which pydantic puts before every path, is no key of the document."""
    chosen = action_specs(kind).get(faults[0]["loc"][0]) if hasattr(kind, "__metadata__") and faults[0]["loc"] else None
    if chosen is None:
        return kind
    for fault in faults:
        fault["loc"] = fault["loc"][1:]
    return chosen


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once for each kind. Models are built when they are first asked for; whole, so that others reuse them."""
    for model in (kind, *get_args(next(iter(get_args(kind)), None))):
        if isinstance(model, type) and issubclass(model, BaseModel):
            model.model_rebuild()
    return TypeAdapter(kind)


def action_specs(kind: Any) -> dict[str, type[Spec]]:
    """Actions of a spec type, the main one first: {action: Spec class}."""
    if hasattr(kind, "__metadata__"):  # Annotated[Union[...], Field(discriminator="action")]
        kind = get_args(kind)[0]
    members = get_args(kind) or (kind,)
    table: dict[str, type[Spec]] = {}
    for member in members:
        field = member.model_fields.get("action")
        names = get_args(field.annotation) if field is not None else ("run",)
        for name in names:
            table[name] = member
    return table


def _waits_for_rendering(fault: Mapping[str, Any], raw: Any) -> bool:
    if is_template(fault.get("input")):
        return True
    value = raw  # a union reports the branch's own input; look the value up by its path as well
    for key in fault["loc"]:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            continue
        if is_template(value):
            return True
    return False


class Misfit(ValueError):
    """A fault that a model finds between its parts, with the path of the key that is to be changed."""

    def __init__(self, what: str, *loc: str | int) -> None:
        super().__init__(what)
        self.loc = loc


def known_path(data: Any, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The keys of a fault that are keys of the document: pydantic adds the tags of unions."""
    path: list[str | int] = []
    for number, key in enumerate(loc):
        last = number == len(loc) - 1
        if isinstance(data, Mapping) and (key in data or last):
            path.append(key)
            data = data.get(key)
        elif isinstance(data, (list, tuple)) and isinstance(key, int) and key < len(data):
            path.append(key)
            data = data[key]
    return tuple(path)


def _locate(fault: dict[str, Any], raw: Any) -> None:
    """Give a fault the path of its key in the document: `loc`; pydantic's own, with tags, stays as `tagged`."""
    context = fault.get("ctx", {})
    fault["tagged"] = fault["loc"]
    if fault["type"] == "union_tag_invalid":
        fault["loc"], fault["input"] = (*fault["loc"], context["discriminator"].strip("'")), context["tag"]
    fault["loc"] = (*known_path(raw, fault["loc"]), *getattr(context.get("error"), "loc", ()))


_MOST_TOLD = 5
"""Faults of one document that are told, the others are counted."""


def _config_error(name: str, kind: Any, faults: list[Any], noun: str) -> ConfigError:
    faults = sorted(faults, key=lambda fault: fault["type"] != "extra_forbidden")  # a typo explains what is missing
    told = dict.fromkeys(_told(kind, fault, noun) for fault in faults)
    more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    said = "; ".join([*list(told)[:_MOST_TOLD], *more])
    error = ConfigError(f"{name}: {said}", code=f"bad_{noun}", where=f"{noun} of {name}")
    error.loc = tuple(faults[0]["loc"])
    error.other_locs = tuple(dict.fromkeys(tuple(fault["loc"]) for fault in faults[1:_MOST_TOLD]))
    return error


def _told(kind: Any, fault: Any, noun: str) -> str:
    """One fault in words."""
    path = ".".join([noun, *map(str, fault["loc"])])
    value, text = fault["input"], str(fault["input"])
    if fault["type"] == "extra_forbidden":
        if is_secret(str(fault["loc"][-1])):
            return f"{path} is no place for a secret: put it into the connection, in Airflow, and take it out here"
        known = _fields_at(kind, fault["tagged"][:-1])
        return f"{path} is not known" + (f". {did_you_mean(str(fault['loc'][-1]), known)}" if known else "")
    if fault["type"] == "missing":
        return f"{path} is required"
    if fault["type"] in ("literal_error", "enum", "union_tag_invalid"):
        context = fault.get("ctx", {})
        expected = context.get("expected", context.get("expected_tags", ""))
        choices = [w.strip(" '\"") for w in expected.replace(" or ", ",").split(",")]
        if text in choices:
            return f"{path}: write {text} in quotes, else YAML takes it for no text"
        return f"{path}={_shown(value)} is not known. {did_you_mean(text, choices)}"
    said = str(fault["msg"]).removeprefix("Value error, ")
    if isinstance(fault.get("ctx", {}).get("error"), Misfit):
        return said
    if fault["type"] in ("model_type", "dict_type", "model_attributes_type"):
        said = "expected is a map of keys and values"
    if fault["type"] == "string_type" and isinstance(value, (bool, int, float, date)):
        said += "; write it in quotes"
    if "error" in fault.get("ctx", {}) and isinstance(value, (Mapping, list, tuple)):
        return f"{path}: {said}"  # of the whole, which names the part
    return f"{path}={_shown(value)}: {said}"


_SECRETS = re.compile(r"(^|_)(pass(word|wd|phrase)?|pwd|secret|private_key|(api|access)_?key|credentials?|token)$")
_IN_URL = re.compile(r"(?<=//)[^/@\s]*(?=@)|(?<==)[^&\s]+(?=&|$)")
"""Credentials of a URL, and values of its query."""


def is_secret(key: str) -> bool:
    """Whether a key sounds like one of a secret; no field of a spec is one."""
    return _SECRETS.search(key.lower().replace("-", "_")) is not None


def _shown(value: Any) -> str:
    """A value as messages show it: a wrong one may hold a secret that was to be in a connection."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(map(str, value)) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{len(value)} items]"
    return repr(_IN_URL.sub("***", value) if "://" in value else value) if isinstance(value, str) else repr(value)


def _fields_at(kind: Any, path: tuple[Any, ...]) -> list[str]:
    """The field names of the model that sits at `path` inside `kind`, for the hint of an unknown key."""
    candidates: list[Any] = [kind]
    for key in path:
        models = _models(candidates)
        inside = [model.model_fields[key].annotation for model in models if key in model.model_fields]
        candidates = inside or [model for model in models if _has_tag(model, key)] or candidates
    return sorted({name for model in _models(candidates) for name in model.model_fields})


def _has_tag(model: type[BaseModel], key: Any) -> bool:
    """Whether it is the one of a union that this tag chose."""
    return any(
        get_origin(field.annotation) is Literal and key in get_args(field.annotation)
        for field in model.model_fields.values()
    )


def _models(kinds: list[Any]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    stack = list(kinds)
    while stack:
        kind = stack.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found.append(kind)
        else:
            stack.extend(a for a in get_args(kind) if a is not type(None))
    return found
