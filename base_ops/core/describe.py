"""The JSON Schema of a spec, each field with the text that stands behind it in the source.

Pydantic could take these texts when a class is made; reading the sources of all specs then costs each worker a tenth
of a second that no job needs.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter


def json_schema(kind: Any) -> dict[str, Any]:
    """JSON Schema of a spec class, or of a union of them, with descriptions."""
    schema = TypeAdapter(kind).json_schema()
    models = {model.__name__: model for model in _reachable(kind)}
    for part in (schema, *schema.get("$defs", {}).values()):
        model = models.get(part.get("title", ""))
        if model is None:
            continue
        texts = field_texts(model)
        names = {field.alias or name: name for name, field in model.model_fields.items()}
        for key, field in part.get("properties", {}).items():
            if (text := texts.get(names.get(key, key))) is not None:
                field.setdefault("description", text)
    return schema


def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """The text behind each field, those of base classes included."""
    texts: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if not (issubclass(owner, BaseModel) and owner is not BaseModel):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            if (
                isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                texts[field.target.id] = inspect.cleandoc(text.value.value)
    return texts


def _reachable(kind: Any) -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {}
    stack = [kind]
    while stack:
        item = stack.pop()
        if isinstance(item, type) and issubclass(item, BaseModel):
            if item not in found:
                found[item] = None
                stack.extend(field.annotation for field in item.model_fields.values())
        else:
            stack.extend(get_args(item))
    return list(found)
