"""Numbers of the papers' tables, as printed.

The tables are selections. Rows, columns and numbers that are not known here are left out (``""``)
and never taken from another source.
"""

from __future__ import annotations

from .table import PaperRow, PaperTable, TableSection

_FULL = ("psnr", "ssim", "lpips")
_FOUR = ("psnr", "ssim", "mae", "lpips")
_JUDE = {"kind": "jude"}
_LEDNET = {"kind": "lednet"}
_DEVUDP, _DEVUDP_DT = {"kind": "devudp"}, {"kind": "devudp-dt"}
# Both of LOL-Blur's dark, blurred inputs are possible in JUDE's tables.
_JUDE_INPUTS = ({"input": "low_blur"}, {"input": "low_blur_noise"})
_JUDE_INPUT_NOTE = (
    "Which of LOL-Blur's inputs was measured, low_blur or low_blur_noise, is not settled here: "
    "reports of either are put beside the paper's numbers (`--set-data input=low_blur`; "
    "low_blur_noise is the default)."
)

_ALL = (
    PaperTable(
        name="jude-1",
        title="JUDE and others on LOL-Blur",
        source="JUDE, the comparison on LOL-Blur",
        parts=(
            TableSection("lol-blur", "jude", _FULL, (
                PaperRow("FFTFormer", ("19.889", "0.858", "0.139")),
                PaperRow("RetinexFormer", ("25.505", "0.862", "0.240")),
                PaperRow("LEDNet", ("25.740", "0.850", "0.224"), _LEDNET),
                PaperRow("FELI", ("26.728", "0.914", "0.132")),
                PaperRow("JUDE", ("26.884", "0.932", "0.127"), _JUDE),
            ), _JUDE_INPUTS),
        ),
        notes=(
            _JUDE_INPUT_NOTE,
            "What is printed for LEDNet repeats its own paper, which measured under another "
            "protocol (lednet): it compares with no other number here.",
        ),
    ),
    PaperTable(
        name="jude-ablation",
        title="JUDE's parts, on LOL-Blur",
        source="JUDE, the ablations",
        parts=(
            TableSection("lol-blur", "jude", _FULL, (
                PaperRow("IRCNN prior, no denoiser", ("25.644", "", ""),
                         {**_JUDE, "prior": "ircnn", "denoiser": None}),
                PaperRow("ResUNet prior, no denoiser", ("26.486", "", ""),
                         {**_JUDE, "denoiser": None}),
                PaperRow("ResUNet prior and denoiser", ("26.884", "", ""), _JUDE),
                PaperRow("K = 3", ("26.019", "", ""), {**_JUDE, "K": 3}),
                PaperRow("K = 5", ("26.884", "", ""), {**_JUDE, "K": 5}),
                PaperRow("K = 6", ("26.393", "", ""), {**_JUDE, "K": 6}),
                PaperRow("mean absolute error as the only loss", ("26.731", "", "")),
            ), _JUDE_INPUTS),
        ),
        notes=(
            "This table is partial: of the ablations only the PSNR is recorded, not the printed "
            "SSIM and LPIPS. (The full model is JUDE in table jude-1.)",
            _JUDE_INPUT_NOTE,
        ),
    ),
    PaperTable(
        name="era-1",
        title="ErA on three sets of defocused photos",
        source="ErA, the poster's table",
        parts=tuple(
            TableSection(dataset, "dpdd", _FULL, (PaperRow("ErA", values, {"kind": "era"}),))
            for dataset, values in (
                ("dpdd", ("26.687", "0.815", "0.219")),
                ("realdof", ("25.747", "0.772", "0.319")),
                ("rtf", ("25.502", "0.823", "0.215")),
            )
        ),
    ),
    PaperTable(
        name="lednet-1",
        title="LEDNet on LOL-Blur",
        source="LEDNet, the comparison on LOL-Blur",
        parts=(
            TableSection("lol-blur", "lednet", _FULL, (
                PaperRow("LEDNet", ("25.74", "0.850", "0.224"), _LEDNET),
            )),
        ),
    ),
    PaperTable(
        name="lednet-ablation",
        title="LEDNet's parts, on LOL-Blur",
        source="LEDNet, the ablations",
        parts=(
            TableSection("lol-blur", "lednet", ("psnr",), (
                PaperRow("without PPM", ("21.85",), {**_LEDNET, "ppm": False}),
                PaperRow("without CurveNLU", ("25.20",), {**_LEDNET, "curve_nlu": False}),
                PaperRow("concatenation for FASC", ("25.31",),
                         {**_LEDNET, "fusion": "concatenation"}),
                PaperRow("without the loss on the encoder", ("24.05",),
                         {**_LEDNET, "side_output": False}),
                PaperRow("LEDNet", ("25.74",), _LEDNET),
            )),
        ),
    ),
    PaperTable(
        name="devudp-1",
        title="DEvUDP on deblurring, enhancement, and both",
        source="DEvUDP, its tables on GoPro, RealBlur-J, LOL eval15 and LOL-Blur",
        parts=(
            TableSection("gopro", "devudp", _FOUR, (
                PaperRow("DEvUDP", ("22.19", "0.708", "14.30", "0.253"), _DEVUDP),
                PaperRow("DEvUDP-DT", ("25.15", "0.786", "9.56", "0.272"), _DEVUDP_DT),
            )),
            TableSection("realblur-j", "devudp", _FOUR, (
                PaperRow("DEvUDP", ("19.75", "0.617", "", ""), _DEVUDP),
                PaperRow("DEvUDP-DT", ("25.87", "0.790", "", ""), _DEVUDP_DT),
            )),
            TableSection("lol", "devudp", _FOUR, (
                PaperRow("Zero-DCE", ("14.97", "0.500", "", ""), {"kind": "zero-dce"}),
                PaperRow("RUAS", ("16.40", "0.500", "", "")),
                PaperRow("DEvUDP", ("16.88", "0.667", "36.27", "0.326"), _DEVUDP),
            )),
            TableSection("lol-blur", "devudp", _FOUR, (
                PaperRow("DEvUDP", ("18.03", "0.653", "28.14", "0.323"), _DEVUDP),
            )),
        ),
        notes=(
            "This table is partial: MAE and LPIPS on RealBlur-J, and those of Zero-DCE and RUAS on "
            "LOL, are not recorded.",
        ),
    ),
)  # fmt: skip

TABLES = {table.name: table for table in _ALL}
