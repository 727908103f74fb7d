"""Listing does not get slow with many plugins."""

import pytest

from unfold.benchmarking.startup import LIST, python


@pytest.mark.benchmark(group="startup")
def test_list_with_sixty_plugins(against, tmp_path):
    for i in range(60):
        info = tmp_path / f"acme_{i}-1.0.dist-info"
        info.mkdir()
        name = f"Metadata-Version: 2.1\nName: acme-{i}\nVersion: 1.0\n"
        (info / "METADATA").write_text(name + "Requires-Dist: unfold-imaging<0.2\n")
        (info / "entry_points.txt").write_text(f"[unfold.priors]\nacme-{i} = acme_{i}:Prior\n")
        (tmp_path / f"acme_{i}.py").write_text('class Prior:\n    """Does nothing."""\n')
    code = f"import sys; sys.path.append({str(tmp_path)!r})\n{LIST}"
    against(python(code), python("pass"), "starting Python", rounds=10, process=True)
