"""The public release's names for IAT's modules."""

from __future__ import annotations

from collections.abc import Iterator


def _modules() -> Iterator[tuple[str, str]]:
    yield "local_net.conv1", "local.head"
    for theirs, ours in (("mul", "gain"), ("add", "offset")):
        for i in range(3):
            there, here = f"local_net.{theirs}_blocks.{i}", f"local.{ours}.{i}"
            yield there, here
            yield f"{there}.pos_embed", f"{here}.position"
            for layer, index in (("conv1", 0), ("attn", 1), ("conv2", 2)):
                yield f"{there}.{layer}", f"{here}.mix.{index}"
            for layer, index in (("fc1", 0), ("fc2", 2)):
                yield f"{there}.mlp.{layer}", f"{here}.expand.{index}"
            for norm in ("norm1", "norm2"):
                yield f"{there}.{norm}", f"{here}.{norm}"
        yield f"local_net.{theirs}_end.0", f"local.to_{ours}"
    yield "global_net", "whole"
    yield "global_net.conv_large.proj", "whole.down"
    yield "global_net.generator.pos_embed", "whole.position"
    yield "global_net.generator.norm1", "whole.norm1"
    yield "global_net.generator.norm2", "whole.norm2"
    yield "global_net.generator.attn", "whole.attention"
    yield "global_net.generator.mlp.fc1", "whole.expand.0"
    yield "global_net.generator.mlp.fc2", "whole.expand.2"
    yield "global_net.gamma_linear", "whole.to_gamma"
    yield "global_net.color_linear", "whole.to_color"


MODULES = dict(_modules())
"""Module of the public release -> module of `IAT`."""
