"""Distributions in a folder of sys.path, as pip would write them."""


def install(folder, project, entry_points, version="1.2", **modules):
    """Write a distribution; its ``.dist-info``.

    Args:
        folder: made if need be.
        project: its name.
        entry_points: the text of ``entry_points.txt``, or its bytes.
        version: of the distribution.
        modules: name -> text.
    """
    info = folder / f"{project.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
    data = entry_points if isinstance(entry_points, bytes) else entry_points.encode()
    (info / "entry_points.txt").write_bytes(data)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return info
