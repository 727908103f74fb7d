"""The pages that `unfold` and its commands print about themselves."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import unfold
from unfold._listing import GROUPS
from unfold.cli import main, parser_of
from unfold.evaluation.papers import TABLES
from unfold.evaluation.protocols import PROTOCOLS
from unfold.models.pretrained import pretrained_models
from unfold.registry.catalog import FUNCTIONS, one_scan
from unfold.registry.catalog import GROUPS as COMPONENTS

COMMANDS = unfold.list("commands")
ROOT = Path(__file__).parents[2]
TEXTS = [
    ROOT / "README.md",
    *ROOT.glob("examples/guide/*.md"),
    *ROOT.glob("plugins/*/README.md"),
    *ROOT.glob("benchmarks/**/README.md"),
    *ROOT.glob("unfold/models/shipped/*/README.md"),
]
WRITERS = {
    "bench": [], "convert": ["lednet", "a.pth"], "demo": [], "kernel": ["a.png"],
    "journal": ["merge", "a.jsonl"], "plugins": ["new", "acme"], "restore": ["a.png"], "schema": [],
    "synthesize": ["photos", "--recipe", "deblur", "--count", "1"], "trace": ["a.png"],
    "train": ["jude"],
    "table": ["jude-1"], "explain": ["jude"], "certify": ["jude"],
    "evaluate": ["--model", "jude", "--data", "d", "--dataset", "lol", "--protocol", "lol"],
}  # fmt: skip


def pages(parser):
    """The help of a command, and of its actions."""
    yield parser.format_help()
    for action in parser._actions:
        if isinstance(action.choices, dict) and hasattr(action, "add_parser"):
            for inner in action.choices.values():
                yield from pages(inner)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_page_has_80_columns_a_summary_and_an_example(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for page in pages(parser_of(name)):
        assert max(map(len, page.splitlines())) <= 80
        assert page.startswith(f"usage: unfold {name}")
        assert re.search(r"\n\n[A-Z][^\n]+\.\n", page), "no summary"
        examples = page.partition("\nexample:\n")[2].replace("\\\n", " ")
        assert examples
        for line in examples.strip().splitlines():
            parse(line)


def parse(line):
    words = shlex.split(line.split(" > ")[0], comments=True)
    assert words[0] == "unfold"
    if "--show" not in words:
        parser_of(words[1]).parse_args(words[2:])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name):
    def check(parser):
        for action in parser._actions:
            assert action.help or action.choices, f"{name} {action.dest}"
            for inner in action.choices.values() if isinstance(action.choices, dict) else ():
                if hasattr(inner, "parse_args"):
                    check(inner)

    check(parser_of(name))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("option", ["-o", "--output"])
def test_all_that_write_take_an_output(name, option):
    output = parser_of(name).parse_args([*WRITERS[name], option, "place"]).output
    assert output in ("place", Path("place"), [Path("place")])


def commands(text):
    """The commands in the blocks of a page, without the marks of its grammar."""
    for block in re.findall(r"```(?:sh|console)?\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\$ )?(?:uv run )?(unfold .*)", line)
            if found:
                yield re.sub(r"\[(-[^\]]*)\]", r"\1", found[1]).replace("...", "")


@pytest.mark.parametrize("page", TEXTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_commands_of_a_page_are_understood(page):
    for line in commands(page.read_text(encoding="utf-8")):
        if "unfold app" not in line:  # a plugin, which may not be installed
            parse(re.sub(r"(--\w+) [A-Z]\b", r"\1 3", line))  # --count N


def test_the_overview_fits_and_tells_every_command(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    told = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(told) == COMMANDS
    assert main(["--version"]) == 0
    assert re.fullmatch(r"unfold \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_every_group_is_listed_and_its_names_are_those_that_work(capsys):
    assert {*COMPONENTS, *FUNCTIONS} <= {*GROUPS}
    assert unfold.list("protocols") == sorted(PROTOCOLS)
    assert unfold.list("tables") == sorted(TABLES)
    assert unfold.list("models", pretrained=True) == sorted(
        {*pretrained_models()} & {*unfold.list("models")}
    )
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    with one_scan():
        for group in GROUPS:
            block = re.search(rf"^{group}: .*\n((?:  .*\n)+)", out, re.M)[1]
            names = unfold.list(group)
            assert block.split() == ([f"{n}," for n in names[:-1]] + names[-1:] or ["none"])
            assert main(["list", group]) == 0
            told = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
            assert told == names


def test_a_wrong_option_is_told_with_where_to_look(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["plugins", "new", "acme", "--gruop", "priors"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: unfold plugins")
    assert "unrecognized arguments: --gruop priors; see `unfold plugins --help`" in error


def test_on_a_terminal_long_lines_are_wrapped(capsys, monkeypatch):
    assert main(["list", "protocols"]) == 0
    whole = capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["list", "protocols"]) == 0
    wrapped = capsys.readouterr().out
    assert max(map(len, whole.splitlines())) > 60 >= max(map(len, wrapped.splitlines()))
    assert wrapped.split() == whole.split()


def test_a_pattern_chooses(capsys):
    assert unfold.list("models", "jude-c*") == ["jude-classic"]
    assert main(["list", "models", "jude-c*"]) == 0
    assert re.fullmatch(r"jude-classic  JUDE .*\n", capsys.readouterr().out)
    with pytest.raises(unfold.ComponentError, match="those of models, not of priors"):
        unfold.list("priors", pretrained=True)


def test_listing_imports_no_torch():
    code = (
        "import sys; from unfold.cli import main\n"
        f"for group in {[*GROUPS]}: main(['list', group, '--json'])\n"
        "sys.exit('torch' in sys.modules or 'pydantic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
