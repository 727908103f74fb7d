"""A new plugin: a renamed copy of plugins/unfold-template."""

from __future__ import annotations

import keyword
import re
import shutil
from pathlib import Path

from unfold.errors import UnfoldError

_GROUPS = ("priors", "terms", "models")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class TemplateError(UnfoldError, ValueError):
    """A plugin cannot be created under that name or in that folder."""


def write_plugin(name: str, group: str, parent: Path) -> Path:
    """Write a small, complete, installable distribution with one component; returns its folder.

    Args:
        name: name of the distribution, and of the component in it.
        group: ``"priors"``, ``"terms"`` or ``"models"``.
        parent: folder in which ``parent / name`` is created; that folder must not exist.

    Raises:
        TemplateError: if the name is invalid, or the folder exists.
    """
    module = re.sub(r"[-.]+", "_", name).lower()
    if not _NAME.fullmatch(name) or not module.isidentifier() or keyword.iskeyword(module):
        raise TemplateError(
            f"{name!r} is no name for a distribution: use letters, digits and hyphens, with a "
            "letter first, such as acme-prior"
        )
    if module in ("unfold", "torch"):
        raise TemplateError(f"{name!r} is taken: its module would hide {module}")
    target = parent / name
    if target.exists():
        raise TemplateError(f"{target} exists: choose another name or folder")
    others = [other for other in _GROUPS if other != group]
    left_out = {f"{other}.py" for other in others} | {f"test_{other}.py" for other in others}
    ignore = shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info", *left_out)
    shutil.copytree(_template(), target, ignore=ignore)
    (target / "unfold_template").rename(target / module)
    for file in filter(Path.is_file, target.rglob("*")):
        text = file.read_text(encoding="utf-8")
        if file.name == "pyproject.toml":
            text = _without_groups(text, others)
        text = text.replace("unfold-template", name).replace("unfold_template", module)
        file.write_text(text, encoding="utf-8")
    return target


def _template() -> Path:
    """The template is beside this file in a wheel, and in plugins/ in a checkout."""
    here = Path(__file__).resolve()
    packaged = here.with_name("template_files")
    return packaged if packaged.is_dir() else here.parents[2] / "plugins" / "unfold-template"


def _without_groups(text: str, groups: list[str]) -> str:
    """A pyproject without the entry-point tables of some groups."""
    tables = re.split(r"(?m)^(?=\[)", text)
    unwanted = tuple(f'[project.entry-points."unfold.{group}"]' for group in groups)
    return "".join(table for table in tables if not table.startswith(unwanted))
