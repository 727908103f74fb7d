"""The page: its inputs and their handlers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

import unfold
from unfold.imaging import ImageError
from unfold.registry import ComponentError, find
from unfold.registry.spec import spec_type

from . import view
from .options import chosen, drawn, widget
from .restoring import Restoring
from .samples import SAMPLES
from .visit import Visit


def build(restoring: Restoring, models: Sequence[str], *, max_upload: int) -> gr.Blocks:
    """The page as Gradio's blocks.

    Args:
        restoring: processing of the photos.
        models: models that can be chosen; the first is selected.
        max_upload: largest upload in MB, for the label.
    """

    def visit(request: gr.Request) -> Visit:
        return restoring.visits.of(request.session_hash)

    def handled(work: Callable[[], tuple[str, ...]], here: Visit, outputs: int) -> tuple[str, ...]:
        """Return the result of the work, with its message first, or the message of its failure."""
        try:
            text, *rest = work()
            return view.message(text), *rest
        except (ComponentError, ImageError, OSError) as error:
            text = str(error).replace(f"{here.folder}/", "")
            return view.message(text, bad=True), *[""] * (outputs - 1)

    def upload(file: str, request: gr.Request):
        here = visit(request)
        return *handled(lambda: restoring.upload(here, file), here, 2), "", None, None, None

    def pick(name: str, request: gr.Request):
        here = visit(request)
        return *handled(lambda: restoring.pick(here, name), here, 2), "", None

    def use_kernel(file: str | None, request: gr.Request):
        here = visit(request)
        return handled(lambda: (restoring.use_kernel(here, file),), here, 1)[0]

    def leave(request: gr.Request) -> None:
        restoring.visits.end(request.session_hash)

    with gr.Blocks(
        title="unfold", analytics_enabled=False, delete_cache=(30, 60), fill_width=True
    ) as page:
        gr.Markdown("# unfold\nRestore a photo, and look inside.")
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                photo = gr.File(label=f"PNG, JPEG or TIFF, up to {max_upload} MB", height=140)
                names = gr.Radio(list(SAMPLES), label="or a sample")
                model = gr.Dropdown(list(models), value=models[0], label="Model")
                about = gr.Column()
                with gr.Accordion("Blur kernel, if it is known", open=False):
                    kernel = gr.File(label=".npy, .txt, .csv, or a gray image", height=110)
                    known = gr.Checkbox(True, label="use the kernel that is known")
                untrained = gr.Checkbox(False, label="run a model without trained weights")
                trust = gr.Checkbox(
                    False, label="show how far the result can be trusted (twice the time)"
                )
            with gr.Column(scale=5):
                message = gr.HTML(view.message("Upload a photo or pick a sample."))
                result = gr.HTML()
                looked = gr.HTML()

        free = {"concurrency_limit": None, "api_visibility": "private"}
        shown = [message, result, looked]
        photo.upload(upload, photo, [*shown, photo, names, kernel], **free)
        names.input(pick, names, [*shown, kernel], **free)
        kernel.upload(use_kernel, kernel, message, **free)
        kernel.clear(use_kernel, kernel, message, **free)
        page.unload(leave)

        with about:

            @gr.render(inputs=model, concurrency_limit=4)
            def draw(name: str) -> None:
                # Drawn with the options, so that the button never sends those of another model.
                fields, widgets = {}, []
                try:
                    if name in unfold.list("models"):  # not a trained folder or a cascade
                        fields = drawn(spec_type("models", name))
                        gr.Markdown(find("models", name).summary)
                except ComponentError as error:
                    gr.HTML(view.message(str(error), bad=True))
                if fields:
                    with gr.Accordion("Options of the model", open=False):
                        widgets = [widget(option, field) for option, field in fields.items()]
                go = gr.Button("Restore", variant="primary")

                def restore(
                    request: gr.Request, known: bool, untrained: bool, trust: bool, *values: Any
                ):
                    here, chose = visit(request), chosen(fields, values)
                    return handled(
                        lambda: restoring.restore(
                            here, name, chose, known=known, untrained=untrained, trust=trust
                        ),
                        here,
                        3,
                    )

                go.click(
                    restore,
                    [known, untrained, trust, *widgets],
                    shown,
                    concurrency_limit=1,  # one at a time; the others wait
                    concurrency_id="restore",
                    api_visibility="private",
                )

    return page.queue(max_size=32)
