"""pyiqa's no-reference metrics for unfold. pyiqa is imported when a metric is built."""

from .metrics import ARNIQA, CLIPIQA, DBCNN, LIQE, MUSIQ, NRQM

__all__ = ["ARNIQA", "CLIPIQA", "DBCNN", "LIQE", "MUSIQ", "NRQM"]
