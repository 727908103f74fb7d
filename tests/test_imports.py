"""What takes long to import waits until it is used: kornia takes 0.7 seconds."""

import subprocess
import sys

CODE = """
import sys, unfold.imaging.io
print(*{"PIL", "kornia_rs"} & set(sys.modules), ".")
import unfold.degradation, unfold.metrics, unfold.datasets, unfold.synthesis, unfold.training
print("kornia" in sys.modules)
unfold.create_model("identity")(__import__("torch").rand(1, 3, 8, 8))
print("kornia" in sys.modules)
"""


def test_libraries_are_imported_on_use():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [".", "False", "False"]


def test_a_component_is_built_without_other_groups():
    code = """
import sys, unfold
unfold.create("priors", "total-variation")
others = {f"unfold.{group}" for group in ("degradation", "losses", "metrics", "datasets")}
print(*others & {*sys.modules})
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not run.stdout.split()
