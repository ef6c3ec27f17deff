"""The page for scientists: look for icons that exist, draw new ones, take them home with their provenance.

Belongs here: the page (`page`), what its buttons do (`desk`), opening it safely (`serve`). Does not belong
here: search, generation, cards (generation/), which models there are (orchestration/workshop, handed in by
the command). Gradio is an extra: only `page` imports it, and `serve` imports `page` when it is asked to open.
"""
