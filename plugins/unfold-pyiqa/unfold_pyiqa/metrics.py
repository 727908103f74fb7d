"""No-reference metrics of pyiqa."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from unfold.metrics import Metric, MetricError

INSTALL = "pip install pyiqa 'setuptools<81'"
"""CLIP, which clipiqa and liqe use, imports pkg_resources, which setuptools 81 removed."""


class PyIQAMetric(Metric):
    """A metric of pyiqa, with pyiqa's defaults; higher is better.

    When the metric is first built, pyiqa downloads the network's weights to its cache.

    Raises:
        MetricError: if pyiqa is not installed, lacks the metric, declares that lower is better, or
            cannot download the weights.
    """

    better = "higher"
    needs_reference = False
    called: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        try:
            import pyiqa
        except ImportError as error:
            raise MetricError(
                f"pyiqa-{self.called} needs pyiqa, which cannot be imported ({error}): {INSTALL} "
                "(its license allows non-commercial use only)"
            ) from error
        try:
            # Built on the CPU: `metric.to(device)` moves it, like every metric.
            self.net = pyiqa.create_metric(self.called, device=torch.device("cpu"))
        except ImportError as error:
            raise MetricError(
                f"pyiqa-{self.called}: pyiqa lacks something ({error}): {INSTALL}"
            ) from error
        except (Exception, SystemExit) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise MetricError(
                f"pyiqa-{self.called}: pyiqa cannot build it ({reason[:300]}); its weights are "
                "downloaded at the first use: connect once, or copy them to pyiqa's cache"
            ) from error
        if self.net.lower_better:
            raise MetricError(
                f"pyiqa-{self.called}: this pyiqa says that lower is better, unlike the version "
                "for which this plugin was written; install another version of either"
            )

    def measure(self, image: Tensor, reference: Tensor | None) -> Tensor:
        self.net.eval()
        # pyiqa refuses values outside [0, 1], which restored images may slightly exceed; some of
        # its metrics accept only one image at a time.
        pictures = image.float().clamp(0, 1).expand(-1, 3, -1, -1)
        return torch.cat([self.net(p[None]).double().flatten()[:1] for p in pictures])


class MUSIQ(PyIQAMetric):
    """MUSIQ trained on KonIQ-10k, about 0 to 100. Source: Ke et al., ICCV 2021."""

    called = "musiq"


class CLIPIQA(PyIQAMetric):
    """CLIP-IQA, 0 to 1. Source: Wang, Chan, Loy, AAAI 2023."""

    called = "clipiqa"


class LIQE(PyIQAMetric):
    """LIQE trained on KonIQ-10k, 1 to 5. Source: Zhang et al., CVPR 2023."""

    called = "liqe"


class DBCNN(PyIQAMetric):
    """DBCNN trained on KonIQ-10k, about 0 to 1. Source: Zhang et al., IEEE TCSVT 2020."""

    called = "dbcnn"


class ARNIQA(PyIQAMetric):
    """ARNIQA with the regressor of KonIQ-10k, 0 to 1. Source: Agnolucci et al., WACV 2024."""

    called = "arniqa"


class NRQM(PyIQAMetric):
    """NRQM (Ma's score), about 0 to 10. Source: Ma et al., CVIU 2017."""

    called = "nrqm"
