"""The protocols that the papers' numbers follow, by name."""

from __future__ import annotations

from .protocol import Crop, Measure, Protocol

_PSNR = Measure("psnr")
_SSIM = Measure("ssim")  # Gaussian 11×11, the metric's default
_SSIM_UNIFORM = Measure("ssim", {"window": "uniform", "sample_covariance": True})
_MAE = Measure("mae")
_ALEX = Measure("lpips", {"net": "alex"})
_VGG = Measure("lpips", {"net": "vgg"})

_ALL = (
    Protocol(
        name="lednet",
        version=1,
        source="LEDNet (ECCV 2022): full LOL-Blur frames; the released calculate_iqa_pair.py reads "
        "8-bit files, and psnr, ssim and lpips-vgg of pyiqa",
        measures=(_PSNR, Measure("ssim", color="y"), _VGG),
        notes=(
            "SSIM is on the luma: what pyiqa 0.1.16 calls ssim does so (it rounds the luma to 8 "
            "bits, here it is not rounded); the paper does not say.",
            "Not comparable with jude, which crops, halves the size before SSIM and feeds LPIPS "
            "another range.",
        ),
    ),
    Protocol(
        name="jude",
        version=2,
        source="JUDE's released test code: 1024×640 crops, SSIM after 2× average pooling, "
        "LPIPS-VGG fed [0,1]",
        measures=(
            _PSNR,
            Measure("ssim", pool=2),
            Measure("lpips", {"net": "vgg", "input_range": "[0,1]"}),
        ),
        crop=Crop(640, 1024, "top-left"),
        notes=(
            "The crop is the top left of each photo, as in the released test code; input and "
            "target are cropped before the model. (Version 1 cropped the center.)",
            "The restored picture is rounded to 8 bits; SSIM is the Gaussian 11×11 on RGB.",
            "Not comparable with lednet.",
        ),
    ),
    Protocol(
        name="dpdd",
        version=1,
        source="ErA and its predecessors on DPDD, RealDOF, RTF: PSNR of floats in [0,1], "
        "scikit-image's 7×7 uniform SSIM, LPIPS-alex",
        measures=(_PSNR, _SSIM_UNIFORM, _ALEX),
        bits=None,
        notes=("16-bit inputs and targets are used as they are; nothing is rounded.",),
    ),
    Protocol(
        name="restormer-dpdd",
        version=1,
        source="Restormer (CVPR 2022), the released test_single_image_defocus_deblur.py",
        measures=(_PSNR, _SSIM_UNIFORM, _MAE, _ALEX),
        input_bits=8,
        bits=None,
        notes=(
            "Inputs and targets are read as 8 bits, so the lower 8 of DPDD's 16 are dropped.",
            "MAE is here in steps of 8 bits; Restormer prints it for [0,1], 255 times less.",
            "Restormer counts identical pictures as 100 dB; here they are infinite.",
        ),
    ),
    Protocol(
        name="gopro",
        version=1,
        source="The GoPro benchmark as MPRNet and its successors measure it: 8-bit files, RGB, "
        "PSNR and SSIM",
        measures=(_PSNR, _SSIM),
        notes=(
            "SSIM is per channel with a Gaussian 11×11 window; MATLAB's ssim, which they call, "
            "also weights across the three channels and differs slightly.",
        ),
    ),
    Protocol(
        name="devudp",
        version=1,
        source="DEvUDP: PSNR, SSIM, MAE (0 to 255) and LPIPS on GoPro, RealBlur-J, LOL, LOL-Blur",
        measures=(_PSNR, _SSIM, _MAE, _ALEX),
        notes=(
            "The paper names the metrics only. Decided: full size, 8 bits, RGB, Gaussian 11×11 "
            "SSIM, LPIPS-alex.",
            "RealBlur-J is measured as it is, without the alignment of its benchmark.",
        ),
    ),
    Protocol(
        name="lol",
        version=1,
        source="LOL eval15 as low-light papers measure it: PSNR, SSIM, MAE and LPIPS of 600×400 "
        "photos",
        measures=(_PSNR, _SSIM, _MAE, _ALEX),
        notes=(
            "Decided: 8 bits, RGB, Gaussian 11×11 SSIM, LPIPS-alex.",
            "The brightness is not matched to the target's, as some papers do.",
        ),
    ),
)

PROTOCOLS = {protocol.name: protocol for protocol in _ALL}
