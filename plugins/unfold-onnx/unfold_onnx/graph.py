"""From a module to a graph: a program of PyTorch's, then an ONNX model."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence

import onnx
import onnxscript.optimizer
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from .errors import ExportError
from .fourier import MatrixFourier

PRODUCER = "unfold-onnx"
OUTPUT = "output"
# 20 has the DFT operator with its axis as an input; all else is in 18, which more programs read.
_OPSET, _OPSET_WITH_DFT = 18, 20


def trace(module: nn.Module, inputs: tuple[Tensor, ...], *, matrices: bool) -> ExportedProgram:
    """A module's graph for inputs of these shapes.

    Args:
        module: in eval mode, a function of tensors.
        inputs: its arguments.
        matrices: whether Fourier transforms become matrix products (`MatrixFourier`).

    Raises:
        ExportError: its course depends on values, say.
    """
    with torch.no_grad(), MatrixFourier() if matrices else contextlib.nullcontext():
        module(*inputs)  # what is made once, such as the matrices, is made outside of the trace
        try:
            with _quiet():
                return torch.export.export(module, inputs, strict=False)
        except Exception as error:  # PyTorch raises many kinds
            raise ExportError(
                f"torch.export cannot trace it ({_first_line(error)}): its steps must not depend "
                "on values"
            ) from error


def to_onnx(program: ExportedProgram, names: Sequence[str]) -> onnx.ModelProto:
    """A program as an ONNX model; its inputs by these names, its one output is ``output``.

    Raises:
        ExportError: it has an operator that ONNX has not.
    """
    _simplify(program)
    dft = any("fft" in str(node.target) for node in program.graph.nodes)
    try:
        with _quiet():
            made = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=[*names], output_names=[OUTPUT],
                opset_version=_OPSET_WITH_DFT if dft else _OPSET, optimize=False,
            )  # fmt: skip
            assert made is not None
            # (The exporter's own optimizer tries its rewriting rules for minutes on an ErA.)
            onnxscript.optimizer.fold_constants(made.model)
            onnxscript.optimizer.remove_unused_nodes(made.model)
    except Exception as error:  # (which wraps the reason in others)
        reason = error
        while reason.__cause__ is not None:
            reason = reason.__cause__
        raise ExportError(f"ONNX cannot express it ({_first_line(reason)})") from error
    model = made.model_proto
    model.producer_name = PRODUCER
    onnx.checker.check_model(model)
    return model


def describe(model: onnx.ModelProto, facts: Mapping[str, str]) -> None:
    """Write facts into a model's metadata, and its description."""
    onnx.helper.set_model_props(model, dict(facts))
    model.doc_string = facts["description"]


def save_program(program: ExportedProgram, facts: str) -> bytes:
    """The bytes of a ``.pt2`` file, with the facts, JSON, in its extra file ``unfold.json``."""
    data = io.BytesIO()
    torch.export.save(program, data, extra_files={FACTS: facts})
    return data.getvalue()


FACTS = "unfold.json"


def _simplify(program: ExportedProgram) -> None:
    """Remove what does not reach the output, and write bounds as the exporter takes them."""
    aten = torch.ops.aten
    for node in [*program.graph.nodes]:
        if node.target is aten._assert_tensor_metadata.default:  # (keeps alive what is not used)
            program.graph.erase_node(node)
        elif node.target is aten.clamp.default:  # (one bound float, one int: the exporter fails)
            node.args = tuple(float(a) if isinstance(a, int) else a for a in node.args)
    program.graph.eliminate_dead_code()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters log, warn, and print graphs; what fails is told by the error that they raise."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
