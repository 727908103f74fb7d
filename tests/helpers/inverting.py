"""A model that shows what was restored."""

from unfold.restorer import Restoration, Restorer


class Invert(Restorer):
    """So that what was restored can be given from what was copied."""

    requires_training = False

    def forward(self, image, *, kernel=None, history=None):
        if image.shape[-1] == 13:
            raise RuntimeError("no memory\nfor thirteen")
        return Restoration(1 - image)

    def explain(self):
        return "1 − image"
