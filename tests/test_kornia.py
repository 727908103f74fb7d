"""kornia takes 0.7 seconds to import: who does not use it must not wait for it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "import unfold.degradation, unfold.metrics, unfold.data, unfold.synthesis, unfold.training",
        "import unfold; unfold.create_model('identity')(__import__('torch').rand(1, 3, 8, 8))",
    ],
)
def test_kornia_is_imported_on_use(code):
    run = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print('kornia' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "False"
