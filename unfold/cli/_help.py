"""Help pages of at most 80 columns, made from a command's docstring and options."""

from __future__ import annotations

import argparse
import inspect
import textwrap
from shutil import get_terminal_size
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose help is a docstring: summary, description, options, example."""

    def __init__(self, *, about: str | None = "", **options: Any) -> None:
        text, _, example = inspect.cleandoc(about or "").partition("\n\nExample:\n")
        epilog = f"example:\n{example}" if example else None
        super().__init__(description=text, epilog=epilog, formatter_class=Page, **options)
        self._positionals.title = "arguments"

    def format_usage(self) -> str:
        self._short_usage()
        return super().format_usage()

    def format_help(self) -> str:
        self._short_usage()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        super().error(f"{message}; see `{self.prog} --help`")

    def _short_usage(self) -> None:
        """``unfold kernel PHOTO -o FILE [options]``: the required arguments only."""
        words = filter(None, map(_word, self._actions))
        usage = " ".join([self.prog, *words, "[options]"])
        self.usage = textwrap.fill(usage, 73, subsequent_indent=" " * 9).replace("%", "%%")


def _word(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    if action.option_strings:
        return f"{action.option_strings[0]} {name}" if action.required else ""
    if action.nargs == "?":
        return f"[{name}]"
    return name if action.nargs is None else f"{name} ..."


_NONE = ("", [], argparse.SUPPRESS)


class Page(argparse.HelpFormatter):
    """Fills paragraphs except those with indented lines, and adds the default of each option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(80, get_terminal_size().columns))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.split("\n\n")
        return "\n\n".join(p if "\n " in p else textwrap.fill(p, width) for p in paragraphs)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        none = action.default is None or action.default is False or action.default in _NONE
        if none or "default" in text or not action.option_strings:
            return text
        return f"{text} (default: %(default)s)"
