"""Commands and engines come from entry points: built in, or from a plugin."""

import importlib.metadata
import re
import subprocess
import sys

import pytest
import torch
from distributions import install

from unfold.cli import main
from unfold.imaging import Photo, write
from unfold.registry import ComponentError, find
from unfold.registry.kinds import function

ACME = '''"""A stranger's command and engine."""
from pathlib import Path

def greet(parser):
    """Greet 100% of those who ask.

    Not a command that anybody needs.
    """
    parser.add_argument("name")
    parser.set_defaults(run=lambda arguments: print(f"hello {arguments.name}") or 7)

class Greeting:
    def __init__(self, parser):
        greet(parser)

def slow(config, pairs, *, journal, workers, quick, again, **options):
    from unfold.registry.spec import resolve
    from unfold.restoration import restore_files
    print("slowly", workers, quick, again)
    model = resolve("models", config).build()
    yield from restore_files(model, pairs, journal=journal, again=again, **options)
'''
ENTRIES = """
[unfold.commands]
acme-greet = acme_command:greet
restore = acme_command:greet
acme-class = acme_command:Greeting
acme-gone = acme_command:gone
acme-text = acme_command:__doc__
[unfold.engines]
acme-slow = acme_command:slow
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """A plugin on sys.path, as pip would write it."""
    install(tmp_path / "site", "acme-command", ENTRIES, acme_command=ACME)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    sys.modules.pop("acme_command", None)


@pytest.fixture
def without(monkeypatch):
    """``without(project)``: as if it were not installed."""
    every = importlib.metadata.distributions

    def leave_out(project):
        monkeypatch.setattr(
            importlib.metadata,
            "distributions",
            lambda: (d for d in every() if d.metadata["Name"] != project),
        )

    return leave_out


def test_help_tells_of_every_command_and_imports_none():
    code = (
        "import sys; from unfold.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print(*(m for m in sys.modules if m in ('torch', 'unfold.cli.restore')), '.')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert out.splitlines()[-1].strip() == "."
    lines = dict(re.findall(r"^  (\S+)\s+(.+)$", out, re.M))
    names = {
        "bench", "convert", "demo", "evaluate", "explain", "kernel", "journal", "list", "plugins",
        "restore", "schema", "synthesize", "table", "trace", "train",
    }  # fmt: skip
    assert names <= set(lines)
    assert lines["restore"] == "restore photos"


@pytest.mark.parametrize("argv", [[], ["--nonsense"], ["--"]])
def test_a_command_must_be_named(argv, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert "usage: unfold COMMAND ..." in error
    assert not argv or f"unfold: {argv[0]}: the first argument must be a command" in error


def test_a_strangers_command(acme, capsys):
    assert main(["acme-class", "you"]) == 7
    capsys.readouterr()
    assert main(["acme-greet", "you"]) == 7
    assert capsys.readouterr().out == "hello you\n"
    assert main(["--help"]) == 0
    assert re.search(r"acme-greet\s+greet 100% of those who ask\n", capsys.readouterr().out)
    assert find("commands", "restore").distribution == "unfold-imaging"
    assert main(["acme-command:restore", "you"]) == 7
    assert main(["list", "commands"]) == 0
    assert re.search(
        r"acme-greet +Greet 100% of those who ask\. \[acme-command 1\.2\]", capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acme-gone", "the command 'acme-gone' of acme-command 1.2 cannot be loaded"),
        ("acme-text", 'is str "A stranger\'s command and engine.", not a class or function'),
        ("restor", "no command named 'restor'; did you mean restore?"),
    ],
)
def test_a_command_that_cannot_be_had_is_one_line(acme, capsys, name, message):
    assert main([name]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("plugin", "argv", "message"),
    [
        ("unfold-app", ["app"], "no command named 'app'"),
        ("unfold-ray", ["restore", "in", "-o", "out", "--engine", "ray"], "no engine named 'ray'"),
    ],
)
def test_without_its_plugin_the_error_names_it(plugin, argv, message, without, capsys):
    without(plugin)
    assert main(argv) == 2
    assert capsys.readouterr().err == (
        f"unfold: {message}; it needs {plugin}: pip install {plugin}\n"
    )


def test_a_strangers_engine_restores_a_folder(acme, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in "ab":
        write(tmp_path / "in" / f"{name}.png", Photo(torch.rand(3, 20, 30)))
    command = ["restore", str(tmp_path / "in"), "--model", "identity", "--device", "cpu",
               "--engine", "acme-slow", "--workers", "3", "-o"]  # fmt: skip
    assert main([*command, str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "slowly 3 False False\n" in told
    assert "2 of 2 restored" in told
    assert sorted(p.name for p in (tmp_path / "out").glob("*.png")) == ["a.png", "b.png"]
    assert main([*command, str(tmp_path / "new"), "--shard", "1/2"]) == 2
    assert "cannot be combined with --engine acme-slow" in capsys.readouterr().err
    command[1] = str(tmp_path / "in" / "a.png")
    assert main([*command, str(tmp_path / "one.png")]) == 2
    assert "one photo cannot be distributed" in capsys.readouterr().err
    with pytest.raises(ComponentError, match="no engine named 'acme'; did you mean acme-slow"):
        function("engines", "acme")
