"""The report: one HTML page that needs nothing else, and the same as JSON.

Belongs here: words and looks of the page. Does not belong here: figures and plots. Names of icons and LoRAs
come from strangers: every one is escaped. The same evaluation gives the same bytes.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from bioicons_pipeline.evaluation import plots
from bioicons_pipeline.evaluation.intervals import Estimate
from bioicons_pipeline.evaluation.measure import BASE, REAL, Measure
from bioicons_pipeline.evaluation.records import Evaluation, Row

FORMAT = 1
_QUESTIONS = ("heldout_loss", "caption_use", "style", "embedding", "words", "retrieval", "copies",
              "vector_paths", "vector_size", "vector_difference")  # fmt: skip
_SIGNS = {"good": "✓", "unsure": "?", "bad": "✗"}


@dataclass(frozen=True)
class Report:
    """The files of a report: `page`, `data` (JSON) and `plots` by name."""

    page: bytes
    data: bytes
    plots: Mapping[str, bytes]


def make_report(found: Evaluation, title: str, more: Sequence[tuple[str, bytes]] = ()) -> Report:
    """The report of an evaluation. more: further pictures (PNG) with their headings."""
    drawn = {"loss": plots.loss_plot(found.losses)}
    drawn |= {
        one.key: plots.bounds_plot(one)
        for one in found.measures
        if one.reported and one.key != "heldout_loss"
    }
    if found.measure("style").reported:
        drawn["features"] = plots.feature_plot(found.features, found.models)
    return Report(_page(found, title, drawn, more).encode(), _json(found, title), drawn)


def summary(found: Evaluation) -> dict[str, Any]:
    """The figures without pictures, JSON-able: what checks and the UI read."""
    return {
        "format": FORMAT,
        "facts": dict(found.facts),
        "models": list(found.models),
        "measures": {one.key: _measure_json(one) for one in found.measures},
    }


def _measure_json(one: Measure) -> dict[str, Any]:
    # what a figure says that did not prove itself is kept out of the data as well
    shown = one.reported
    return {
        "title": one.title,
        "better": one.better,
        "reported": shown,
        "why_not": one.why_not,
        "proofs": [asdict(proof) for proof in one.proofs],
        "lines": {name: asdict(line) for name, line in one.lines.items()} if shown else {},
        "changes": {name: asdict(line) for name, line in one.changes.items()} if shown else {},
        "verdicts": {name: asdict(said) for name, said in one.verdicts.items()} if shown else {},
    }


def markdown_table(data: Mapping[str, Any]) -> str:
    """The figures of a report's JSON as a table in Markdown, for the Dagster UI."""
    columns = [REAL, *data["models"]]
    rows = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for one in data["measures"].values():
        cells = []
        for name in columns:
            line = one["lines"].get(name)
            estimate = Estimate(**line) if line else None
            cells.append(f"{_number(estimate.value)} ({_interval(estimate)})" if estimate else "–")
        rows.append(f"| {one['title']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _json(found: Evaluation, title: str) -> bytes:
    data = summary(found) | {
        "title": title,
        "losses": {name: asdict(one) for name, one in found.losses.items()},
        "features": list(found.features) if found.measure("style").reported else [],
        "copies": {name: [asdict(one) for one in rows] for name, rows in found.copies.items()},
    }
    text = json.dumps(_rounded(data), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _rounded(value: Any) -> Any:
    """Floats with six significant digits: more are rounding noise of the machine."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value


def _page(
    found: Evaluation, title: str, drawn: Mapping[str, bytes], more: Sequence[tuple[str, bytes]]
) -> str:
    ordered = sorted(found.measures, key=lambda one: _QUESTIONS.index(one.key))
    body = [
        f"<h1>{_e(title)}</h1>",
        f'<p class="faint">{_e(_subject(found))}</p>',
        *(_verdicts(found, name) for name in found.models if name != BASE),
        "<h2>At a glance</h2>",
        _glance(found, ordered),
        "<h2>Side by side</h2>",
        "<p>Captions of icons that were held out of training. In each row all models start from the same "
        "noise.</p>",
        _grid(found.rows, found.models),
        *(_section(found, one, drawn) for one in ordered),
        *(f'<h2>{_e(heading)}</h2><img class="plot" alt="{_e(heading)}" src="{_uri(png)}">'
          for heading, png in more),
        "<h2>What this was computed on</h2>",
        _facts(found.facts),
        "<p class='faint'>Intervals hold 95 % and count families of look-alike icons, not single icons. A "
        "figure is reported only if it proves itself on these very icons: what must hold is below it.</p>",
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{_e(title)}</title><style>{_style()}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _style() -> str:
    return files("bioicons_pipeline.evaluation").joinpath("report.css").read_text("utf-8")


def _subject(found: Evaluation) -> str:
    facts = found.facts
    return (
        f"{', '.join(name for name in found.models if name != BASE)} on {facts['base']} · "
        f"{facts['heldout_icons']} held-out icons of {facts['heldout_families']} families, "
        f"{facts['training_icons']} training icons, {facts['pictures_of_each_model']} pictures of each model"
    )


def _verdicts(found: Evaluation, name: str) -> str:
    """What was found out of one LoRA, sentence by sentence."""
    lines = [
        f'<li class="{said.state}"><b>{_SIGNS[said.state]}</b>{_e(said.sentence)}</li>'
        for one in found.measures
        if one.reported and (said := one.verdicts.get(name))
    ]
    return f'<h2>{_e(name)}</h2><ul class="verdicts">{"".join(lines)}</ul>'


def _glance(found: Evaluation, measures: Sequence[Measure]) -> str:
    columns = [REAL, *found.models]
    head = "".join(f"<th>{_e(name)}</th>" for name in columns)
    rows = []
    for one in measures:
        if not one.reported:
            cells = f'<td colspan="{len(columns)}" class="faint">not reported</td>'
        else:
            cells = "".join(_cell(one.lines.get(name), _state(one, name)) for name in columns)
        goal = {"lower": "lower is better", "higher": "higher is better"}.get(
            one.better, "near real is better"
        )
        rows.append(f"<tr><td>{_e(one.title)}<small class='faint'>{goal}</small></td>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr><th>Question</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _state(one: Measure, name: str) -> str:
    said = one.verdicts.get(name)
    return said.state if said else ""


def _cell(found: Estimate | None, state: str = "") -> str:
    if found is None:
        return '<td class="faint">–</td>'
    sign = f" {_SIGNS[state]}" if state else ""
    interval = f'<small class="faint">{_interval(found)}</small>'
    return f'<td class="{state}">{_number(found.value)}{sign}{interval}</td>'


def _interval(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"{_number(found.low)} to {_number(found.high)}"


def _number(value: float) -> str:
    """Three significant digits, without exponents."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    digits = max(0, min(6, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:.{digits}f}".replace("-", "−")


def _grid(rows: Sequence[Row], models: Sequence[str]) -> str:
    columns = "minmax(150px,1.4fr) " + " ".join(["minmax(90px,180px)"] * (len(models) + 1))
    heads = "".join(f'<div class="head">{_e(name)}</div>' for name in ("caption", REAL, *models))
    cells = []
    for row in rows:
        by = f"{row.icon.name} by {row.icon.author}, {row.icon.spdx}"
        cells.append(
            f'<div class="said">{_e(row.prompt)}<br><small>real icon: {_e(by)}</small></div>'
            f'<img alt="real icon" src="{_uri(row.real)}">'
        )
        cells += [f'<img class="small" alt="{_e(name)}" src="{_uri(row.drawn[name])}">' for name in models]
    inside = f'<div class="grid" style="grid-template-columns:{columns}">{heads}{"".join(cells)}</div>'
    return f'<div class="wide">{inside}</div>'


def _chosen(facts: Mapping[str, Any]) -> list[str]:
    """Which LoRAs were picked by their loss on some of the very icons that they are measured on here."""
    return [
        f"<p>Up to {number} of these {facts['heldout_icons']} icons also helped to choose which step of "
        f"{_e(one['name'])} was kept (the one with the lowest loss on them), so on those it looks a little "
        "better than on icons that nothing was chosen by.</p>"
        for one in facts["adapters"]
        if (number := one.get("choosing_icons"))
    ]


def _section(found: Evaluation, one: Measure, drawn: Mapping[str, bytes]) -> str:
    parts = [f"<h2>{_e(one.title)}</h2><p>{_e(one.explained)}</p>"]
    if not one.reported:
        return "".join([*parts, f'<p class="unsure">{_e(one.why_not)}</p>'])
    for key in ("loss",) if one.key == "heldout_loss" else (one.key,):
        parts.append(f'<img class="plot" alt="{_e(one.title)}" src="{_uri(drawn[key])}">')
    if one.changes:
        of = "real icons" if one.key == "copies" else "the base"
        parts.append(_table(("LoRA", f"difference to {of}", "95 % interval"), one.changes))
    if one.key == "heldout_loss":
        parts += _chosen(found.facts)
        parts += [_categories(name, figures.change_by_category) for name, figures in found.losses.items()]
    if one.key == "style" and "features" in drawn:
        parts.append(f'<img class="plot" alt="style features" src="{_uri(drawn["features"])}">')
    if one.key == "copies":
        parts += [_prompts(name, rows) for name, rows in found.copies.items()]
    if one.proofs:
        claims = "; ".join(proof.claim for proof in one.proofs)
        parts.append(f'<p class="faint">It was verified here that {_e(claims)}.</p>')
    return "".join(parts)


def _table(head: Sequence[str], rows: Mapping[str, Estimate]) -> str:
    cells = "".join(
        f"<tr><td>{_e(name)}</td><td>{_number(one.value)}</td><td>{_interval(one)}</td></tr>"
        for name, one in rows.items()
    )
    heads = "".join(f"<th>{_e(name)}</th>" for name in head)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table></div>'


def _categories(name: str, rows: Mapping[str, Estimate]) -> str:
    if not rows:
        return ""
    named = {category.replace("_", " "): one for category, one in rows.items()}
    return f"<h3>{_e(name)}, by category</h3>" + _table(("category", "change", "95 % interval"), named)


def _prompts(name: str, rows: Sequence[Any]) -> str:
    """Prompts of which a picture is likely a copy."""
    found = [row for row in rows if row.copies]
    if not found:
        return f"<p>{_e(name)}: none of {sum(row.pictures for row in rows)} pictures is likely a copy.</p>"
    cells = "".join(
        f"<tr><td>{_e(row.prompt)}</td><td>{row.copies} of {row.pictures}</td><td>{row.score:.2f}</td>"
        f"<td><code>{_e(row.nearest)}</code></td></tr>"
        for row in found
    )
    head = "<tr><th>prompt</th><th>likely copies</th><th>likeness</th><th>training icon</th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{cells}</tbody></table>"
    return f'<h3>{_e(name)}</h3><div class="wide">{table}</div>'


def _facts(facts: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in facts.items() if key not in ("adapters", "heldout_ids")}
    items = [(key.replace("_", " "), value) for key, value in plain.items() if value is not None]
    for adapter in facts["adapters"]:
        said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in adapter.items() if value != "")
        items.append(("LoRA", said))
    return "<dl>" + "".join(f"<dt>{_e(key)}</dt><dd>{_e(value)}</dd>" for key, value in items) + "</dl>"


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)
