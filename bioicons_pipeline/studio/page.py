"""The studio's page: words, buttons, galleries.

Belongs here: what stands where on the page, and which call of the `desk` a button makes. Does not belong
here: what these calls do. Gradio's documentation: https://www.gradio.app/docs.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from bioicons_pipeline.generation.adapters import MAX_SCALE
from bioicons_pipeline.generation.make import Wish
from bioicons_pipeline.studio.desk import (
    MOST_AT_ONCE,
    NO_LORA,
    SUITABLE,
    Answer,
    Choice,
    Services,
    Shown,
    StoppedError,
    draw,
    look,
)

ALL = "all categories"
TITLE = "bioicons studio"
INTRO = (
    "# bioicons studio\nLook first: often the icon that you need has been drawn by a person, under an open "
    "licence. What nobody has drawn, a model can, in the same style; such icons are marked as AI-generated."
)
CSS = """
.gradio-container { max-width: 1100px !important; margin: 0 auto !important }
.gallery-icons .grid-container { grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)) !important }
.gallery-icons .grid-wrap { max-height: 520px; height: auto !important }
.gallery-icons .thumbnail-item { aspect-ratio: auto; display: flex; flex-direction: column; height: auto }
.gallery-icons .thumbnail-item img { background: #fff; padding: 6px; aspect-ratio: 1; height: auto }
.gallery-icons .caption-label { position: static; max-width: 100%; width: 100%; opacity: 1 !important;
  border: 0; text-align: center }
footer { display: none !important }
"""
_KINDS = ("PNG", "SVG", "Card")


def build_page(services: Services) -> gr.Blocks:
    """The page as Gradio blocks, not started yet."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(INTRO)
        with gr.Row(equal_height=True):
            words = gr.Textbox(
                label="What do you need?",
                placeholder="mast cell",
                scale=4,
                autofocus=True,
                elem_id="words",
                max_length=1000,
            )
            category = gr.Dropdown([ALL, *services.categories], value=ALL, label="Category", scale=2)
            search = gr.Button("Look in the library", variant="primary", scale=1, elem_id="search")
        _found_part(services, words, category, search)
        gr.Markdown(f"### Not there? Have it drawn\n{services.model}")
        _drawn_part(services, words, category)
        page.queue(default_concurrency_limit=1, max_size=32)
    return page


def _found_part(services: Services, words: Any, category: Any, search: Any) -> None:
    part = _Part("found", kinds=("PNG", "SVG"))

    def looked(query: str, chosen: str) -> tuple:
        return part.filled(look(services, query, None if chosen == ALL else chosen))

    gr.on(
        [search.click, words.submit],
        looked,
        [words, category],
        part.outputs,
        api_visibility="private",
        show_progress_on=part.words,
        concurrency_id="library",
    )


def _drawn_part(services: Services, words: Any, category: Any) -> None:
    loras = [SUITABLE, *services.loras, NO_LORA]
    with gr.Row(equal_height=True):
        count = gr.Slider(1, MOST_AT_ONCE, value=4, step=1, label="How many", scale=2)
        seed = gr.Number(value=0, precision=0, minimum=0, label="Seed", scale=1, elem_id="seed")
        dice = gr.Button("Another seed", scale=1)
        go = gr.Button("Draw", variant="primary", scale=1, elem_id="draw")
        stop = gr.Button("Stop", scale=1, elem_id="stop")
    with gr.Accordion("How it is drawn", open=False), gr.Row():
        lora = gr.Dropdown(loras, value=loras[0], label="Style (LoRA)")
        scale = gr.Slider(0, MAX_SCALE, value=1.0, step=0.05, label="Strength of the style")
        steps = gr.Slider(1, 100, value=services.steps, step=1, label="Denoising steps")
        guidance = gr.Slider(0, 15, value=services.guidance, step=0.5, label="Guidance")
    part = _Part("drawn", kinds=_KINDS)
    tracked = gr.Progress()
    running_draws: dict[str | None, threading.Event] = {}

    def drawn(
        request: gr.Request,
        prompt: str,
        chosen: str,
        many: int,
        first: int,
        *how: Any,
        progress: Any = tracked,
    ) -> Iterator[tuple]:
        name, strength, denoising, guide = how
        where = None if chosen == ALL else chosen
        stopped = running_draws[request.session_hash] = threading.Event()
        progress(0.0, desc="Loading the model")

        def shown(done: int, total: int) -> None:
            if stopped.is_set():
                raise StoppedError
            progress((done, total), desc="Drawing", unit="steps")

        try:
            for answer in draw(
                services,
                lambda: Wish(prompt, where, int(many), int(first or 0)),
                Choice(name, where, float(strength), int(denoising), float(guide)),
                progress=shown,
            ):
                yield part.filled(answer)
        finally:
            if running_draws.get(request.session_hash) is stopped:
                del running_draws[request.session_hash]

    def halt(request: gr.Request) -> None:
        # Gradio forgets the draw, but its thread would go on to the end, and the next draw wait for it
        if event := running_draws.pop(request.session_hash, None):
            event.set()

    running = go.click(
        drawn,
        [words, category, count, seed, lora, scale, steps, guidance],
        part.outputs,
        api_visibility="private",
        show_progress_on=part.words,
        concurrency_id="model",
    )
    stop.click(halt, cancels=[running], queue=False, api_visibility="private")
    dice.click(lambda: random.randrange(2**31), None, seed, api_visibility="private")


class _Part:
    """A gallery with a sentence above it, and what is said and given of the icon chosen in it."""

    def __init__(self, name: str, kinds: Sequence[str]) -> None:
        self.kinds = kinds
        self.words = gr.Markdown(elem_id=f"{name}-words", min_height=48)
        self.icons = gr.State([])
        with gr.Row():
            self.gallery = gr.Gallery(
                show_label=False, columns=5, height="auto", object_fit="contain", allow_preview=False,
                visible=False, buttons=[], elem_id=f"{name}-icons", elem_classes="gallery-icons", scale=3,
            )  # fmt: skip
            with gr.Column(scale=2, visible=False, elem_id=f"{name}-choice") as self.choice:
                self.facts = gr.Markdown()
                self.credit = gr.Textbox(
                    label="Citation", lines=2, buttons=["copy"], interactive=False, elem_id=f"{name}-credit"
                )
                with gr.Row():
                    self.buttons = [
                        gr.DownloadButton(kind, size="sm", elem_id=f"{name}-{kind.lower()}") for kind in kinds
                    ]
        self.outputs = [self.words, self.gallery, self.icons, self.choice]
        self.gallery.select(
            self._chosen,
            [self.icons],
            [self.choice, self.facts, self.credit, *self.buttons],
            api_visibility="private",
            queue=False,
        )

    def filled(self, answer: Answer) -> tuple:
        """Values of `outputs` for an answer; nothing is chosen yet."""
        pictures = [(str(icon.picture), icon.label) for icon in answer.icons]
        gallery = gr.Gallery(pictures, visible=bool(pictures), selected_index=None)
        return answer.words, gallery, list(answer.icons), gr.Column(visible=False)

    def _chosen(self, icons: list[Shown], event: gr.SelectData) -> tuple:
        icon = icons[event.index]
        buttons = [
            gr.DownloadButton(kind, value=str(icon.files[kind]), visible=True)
            if kind in icon.files
            else gr.DownloadButton(kind, visible=False)
            for kind in self.kinds
        ]
        return gr.Column(visible=True), icon.facts, icon.credit, *buttons
