"""The global branch of IAT: a color matrix and an exponent for the whole photo."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .local import conv_of_each

_WIDTH, _HEADS = 64, 4
_QUERIES = 10  # one for the exponent, nine for the matrix


class Global(nn.Module):
    """Maps ``(B, 3, H, W)`` to an exponent ``(B, 1, 1, 1)`` and a color matrix ``(B, 3, 3, 1)``.

    Learned queries attend to the photo at a quarter of its size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(3, _WIDTH // 2, 3, stride=2, padding=1), nn.BatchNorm2d(_WIDTH // 2),
            nn.GELU(),
            nn.Conv2d(_WIDTH // 2, _WIDTH, 3, stride=2, padding=1), nn.BatchNorm2d(_WIDTH),
        )  # fmt: skip
        self.position = conv_of_each(_WIDTH, 3)
        self.norm1, self.norm2 = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.attention = Queries()
        self.expand = nn.Sequential(
            nn.Linear(_WIDTH, 4 * _WIDTH), nn.GELU(), nn.Linear(4 * _WIDTH, _WIDTH)
        )
        self.to_gamma, self.to_color = nn.Linear(_WIDTH, 1), nn.Linear(_WIDTH, 1)
        self.gamma_base = nn.Parameter(torch.ones(1))
        self.color_base = nn.Parameter(torch.eye(3))
        nn.init.zeros_(self.attention.v.weight)  # the initial output does not depend on the photo

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.down(image)
        x = x + self.position(x)
        seen = self.attention(self.norm1(rearrange(x, "b c h w -> b (h w) c")))
        seen = seen + self.expand(self.norm2(seen))
        gamma = self.to_gamma(seen[:, :1]) + self.gamma_base
        color = self.to_color(seen[:, 1:]).view(-1, 3, 3) + self.color_base
        return gamma[..., None], color[..., None]


class Queries(nn.Module):
    """Attention of ten learned queries to ``(B, N, C)``: ``(B, 10, C)``."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.ones(1, _QUERIES, _WIDTH))
        self.k, self.v = (nn.Linear(_WIDTH, _WIDTH, bias=False) for _ in range(2))
        self.proj = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        heads = "b n (heads c) -> b heads n c"
        q, k, v = (
            rearrange(part, heads, heads=_HEADS)
            for part in (self.q.expand(len(x), -1, -1), self.k(x), self.v(x))
        )
        seen = scaled_dot_product_attention(q, k, v)
        return self.proj(rearrange(seen, "b heads n c -> b n (heads c)"))
