"""Conversion of a module to a graph: a torch.export program, and then an ONNX model."""

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
# 20 has the DFT operator with its axis as an input; 18 has all others and is more widely supported.
_OPSET, _OPSET_WITH_DFT = 18, 20


def trace(module: nn.Module, inputs: tuple[Tensor, ...], *, matrices: bool) -> ExportedProgram:
    """The graph of a module for inputs of these shapes.

    Args:
        module: in eval mode, a function of tensors.
        inputs: its arguments.
        matrices: whether Fourier transforms become matrix products (`MatrixFourier`).

    Raises:
        ExportError: if it cannot be traced, for example because its steps depend on values.
    """
    with torch.no_grad(), MatrixFourier() if matrices else contextlib.nullcontext():
        module(*inputs)  # caches, such as the matrices, are filled outside of the trace
        try:
            with _quiet():
                return torch.export.export(module, inputs, strict=False)
        except Exception as error:  # PyTorch raises many kinds of exceptions
            raise ExportError(
                f"torch.export cannot trace it ({_first_line(error)}): its steps must not depend "
                "on values"
            ) from error


def to_onnx(program: ExportedProgram, names: Sequence[str]) -> onnx.ModelProto:
    """Convert a program to an ONNX model; its inputs have these names, its output is ``output``.

    Raises:
        ExportError: if ONNX lacks one of its operators.
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
            # (For ErA the exporter's own optimizer takes minutes.)
            onnxscript.optimizer.fold_constants(made.model)
            onnxscript.optimizer.remove_unused_nodes(made.model)
    except Exception as error:  # (an exporter's exception, with the reason as its cause)
        reason = error
        while reason.__cause__ is not None:
            reason = reason.__cause__
        raise ExportError(f"ONNX cannot express it ({_first_line(reason)})") from error
    model = made.model_proto
    model.producer_name = PRODUCER
    onnx.checker.check_model(model)
    return model


def describe(model: onnx.ModelProto, facts: Mapping[str, str]) -> None:
    """Write facts to a model's metadata and its description."""
    onnx.helper.set_model_props(model, dict(facts))
    model.doc_string = facts["description"]


def save_program(program: ExportedProgram, facts: str) -> bytes:
    """The bytes of a ``.pt2`` file, with the facts as JSON in its extra file ``unfold.json``."""
    data = io.BytesIO()
    torch.export.save(program, data, extra_files={FACTS: facts})
    return data.getvalue()


FACTS = "unfold.json"


def _simplify(program: ExportedProgram) -> None:
    """Remove nodes that do not affect the output, and write bounds in the form for the exporter."""
    aten = torch.ops.aten
    for node in [*program.graph.nodes]:
        if node.target is aten._assert_tensor_metadata.default:  # (it keeps unused nodes alive)
            program.graph.erase_node(node)
        elif node.target is aten.clamp.default:  # (the exporter fails for a float and an int bound)
            node.args = tuple(float(a) if isinstance(a, int) else a for a in node.args)
    program.graph.eliminate_dead_code()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress logs, warnings and printed graphs of exporters; failures raise exceptions."""
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
