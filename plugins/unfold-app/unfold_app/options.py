"""Widgets for a model's options, from its spec."""

from __future__ import annotations

import contextlib
import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic.fields import FieldInfo
from pydantic_core import to_json

from unfold.registry.spec import Spec


def drawn(spec: type[Spec]) -> dict[str, FieldInfo]:
    """The options that a visitor may set: all except paths of this machine."""
    return {
        name: field
        for name, field in spec.model_fields.items()
        if name != "kind" and Path not in (field.annotation, *typing.get_args(field.annotation))
    }


def widget(name: str, field: FieldInfo) -> Any:
    """A checkbox, a number or a choice; a line of JSON for any other option."""
    import gradio as gr

    kind, default = field.annotation, field.default
    if kind is bool:
        return gr.Checkbox(default, label=name, interactive=True)
    if kind in (int, float):
        least = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
        return gr.Number(
            None if field.is_required() else default,
            label=name,
            precision=0 if kind is int else None,
            minimum=least,
            interactive=True,
        )
    if typing.get_origin(kind) is Literal:
        return gr.Dropdown(list(typing.get_args(kind)), value=default, label=name, interactive=True)
    return gr.Textbox(written(field), label=f"{name} (JSON)", interactive=True)


def written(field: FieldInfo) -> str:
    """An option's default as JSON; empty if it has none."""
    return "" if field.is_required() else to_json(field.default, fallback=str).decode()


def chosen(fields: dict[str, FieldInfo], values: Sequence[Any]) -> dict[str, Any]:
    """The options that a visitor has changed; the others keep the values of the model."""
    options = {}
    for (name, field), value in zip(fields.items(), values, strict=True):
        if isinstance(value, str) and typing.get_origin(field.annotation) is not Literal:
            if value.strip() in ("", written(field)):
                continue
            with contextlib.suppress(ValueError):  # a name instead of JSON: prior = ircnn
                value = json.loads(value)
        elif value is None or value == field.default:
            continue
        options[name] = value
    return options
