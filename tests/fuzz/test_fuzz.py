"""Damaged files and absurd options: each works or is refused in the project's own words.

The cases of the ordinary suite are the same on every machine: the first of each kind. ``-m slow``
tries others, from a number on that it draws and prints:

    UNFOLD_FUZZ_SECONDS=600 pytest -m slow tests/fuzz -s     (of each kind; or UNFOLD_FUZZ_CASES)
    UNFOLD_FUZZ_SEED=1234 UNFOLD_FUZZ_CASES=1 pytest -m slow tests/fuzz -s -k images
"""

import os
import random
import sys
from importlib import import_module

import pytest
from fuzzing import broken
from fuzzing.child import make
from fuzzing.pool import Findings, child, fuzz

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# How many cases of each kind take some two seconds.
KINDS = {"images": 200, "models": 30, "recipes": 30, "specs": 60}


@pytest.fixture(scope="module")
def asked():
    with child() as made:
        yield made


def check(findings, kind, folder):
    """Fail with the first three errors, and where their cases are kept."""
    print(f"\n{kind}: {findings}")
    told = []
    for number, detail in list(findings.errors.items())[:3]:
        place = folder / f"{kind}-{number}"
        place.mkdir(parents=True)
        where = import_module(f"fuzzing.{kind}").write_down(make(kind, number), place)
        told.append(f"UNFOLD_FUZZ_SEED={number}, kept in {where}:\n{detail}")
    if told:
        raise AssertionError("\n".join((f"errors: {len(findings.errors)}", *told)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_cases(asked, kind, tmp_path):
    findings = fuzz(asked, kind, 0, cases=KINDS[kind])
    check(findings, kind, tmp_path)
    assert findings.count["works"] > 0
    assert findings.count["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_longer(asked, kind, tmp_path):
    first = int(os.environ.get("UNFOLD_FUZZ_SEED") or random.randrange(10**9))
    seconds = float(os.environ.get("UNFOLD_FUZZ_SECONDS") or 60)
    cases = os.environ.get("UNFOLD_FUZZ_CASES")
    print(f"\n{kind}: UNFOLD_FUZZ_SEED={first}")
    check(fuzz(asked, kind, first, seconds=seconds, cases=cases and int(cases)), kind, tmp_path)


@pytest.mark.parametrize("way", broken.WAYS)
def test_each_way_to_go_wrong_is_seen(asked, way):
    number = next(n for n in range(1000) if make("broken", n) == way)
    answer = asked.ask("broken", number, patience=1.0 if way == "hangs" else 60.0)
    told = {
        "works": "",
        "refused": "",
        "error": "TypeError: a bare one",
        "hangs": "no answer in 1 s",
        "large": "MB",
        "ends": "the process ended with status 3",
    }
    assert answer["outcome"] == (way if way in ("works", "refused") else "error")
    assert told[way] in answer["detail"]


def test_a_case_is_made_again_from_its_number():
    """Else the one that is kept is not the one that failed."""
    assert make("images", 7) == make("images", 7) != make("images", 8)


def test_a_fault_is_told_and_its_case_kept(tmp_path):
    findings = Findings()
    for number, outcome in enumerate(("works", "refused", "error")):
        findings.add(number, {"outcome": outcome, "detail": "it fell over", "seconds": number})
    assert str(findings).startswith("3 cases: 1 works, 1 refused, 1 error; slowest 2.00 s")
    with pytest.raises(AssertionError, match="errors: 1\nUNFOLD_FUZZ_SEED=2, .*\nit fell over"):
        check(findings, "images", tmp_path)
    (kept,) = (tmp_path / "images-2").iterdir()
    assert kept.read_bytes() == make("images", 2)["data"]
