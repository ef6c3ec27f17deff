"""What the documentation takes from the code and from the measured figures, so that it cannot drift.

Belongs here: the markers that pages may use, replaced while mkdocs builds:

    {{ commands }}                          every verb with its options, from the command line itself
    {{ fields package.module.Class }}       a table of a typed model's fields; with ` env` as variables
    {{ licences }}                          the table of licences and presets
    {{ columns }}, {{ reasons }}            the manifest's columns; why icons are left out
    {{ assets }}, {{ checks }}              assets with what they come from; checks with what they hold
    {{ value file dotted.path format }}     a number of benchmarks/results/<file>.json
    {{ source path }}                       nothing but a link text to a file of the repository

A marker that does not resolve stops the build.
"""

import importlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

ROOT = Path(__file__).resolve().parent.parent
MARKER = re.compile(r"\{\{\s*(\w+)([^}]*)\}\}")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page (https://www.mkdocs.org/user-guide/plugins/#events)."""
    return MARKER.sub(lambda found: MACROS[found[1]](*found[2].split()), markdown)


@cache
def results(name: str) -> Any:
    """A file of measured figures."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))


def value(name: str, path: str, form: str = "") -> str:
    """One measured number, e.g. `{{ value cutout ours.iou.mean .3f }}`; `/` instead of dots where a key
    has dots or blanks (written as `_`)."""
    found = results(name)
    for key in path.split("/" if "/" in path else "."):
        if isinstance(found, list):
            found = found[int(key)]
        else:
            found = found[key if key in found else key.replace("_", " ")]
    return format(found, form)


def commands() -> str:
    """Every verb as Markdown: what it does, its arguments and options."""
    import typer

    from bioicons_pipeline.cli import app

    parts: list[str] = []

    def walk(command: Any, name: str) -> None:
        children = getattr(command, "commands", None)
        if children is not None:
            for child in children.values():
                walk(child, f"{name} {child.name}")
            return
        parts.append(f"## {name}\n\n{_paragraphs(command.help)}\n")
        rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
        parts.append("\n".join(["| | |", "|---|---|", *rows]) + "\n")

    walk(typer.main.get_command(app), "bioicons")
    return "\n".join(parts)


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def _row(parameter: Any) -> str:
    options = [*parameter.opts, *parameter.secondary_opts]
    name = (
        ", ".join(f"`{text}`" for text in options if text.startswith("--")) or f"`{parameter.name.upper()}`"
    )
    said = " ".join((getattr(parameter, "help", None) or "").split())
    default = parameter.default
    if default not in (None, False, "", [], ()) and "efault" not in said and not callable(default):
        said += f" Default: `{default}`."
    return f"| {name} | {_cell(said)} |"


def fields(path: str, how: str = "") -> str:
    """The fields of a pydantic model; `env` names them as environment variables."""
    module, _, name = path.rpartition(".")
    model = getattr(importlib.import_module(module), name)
    prefix = model.model_config.get("env_prefix", "") if how == "env" else ""
    lines = ["| name | type | default | |", "|---|---|---|---|"]
    for key, field in model.model_fields.items():
        shown = f"{prefix}{key}".upper() if prefix else key
        unset = field.is_required() or field.default is None
        default = "" if unset else f"`{field.get_default(call_default_factory=True)}`"
        limits = " ".join(text for one in field.metadata if (text := _limit(one)))
        kind = f"{_kind(field.annotation)}{f' ({limits})' if limits else ''}"
        lines.append(f"| `{shown}` | {_cell(kind)} | {default} | {_cell(field.description or '')} |")
    return "\n".join(lines)


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is not None and (choices := get_args(annotation)):
        if all(isinstance(choice, str) for choice in choices):
            return ", ".join(f"`{choice}`" for choice in choices)
        return " or ".join(
            _kind(choice) for choice in choices if choice is not type(None) and choice is not ...
        )
    return getattr(annotation, "__name__", str(annotation))


def _limit(constraint: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return " ".join(
        f"{sign} {getattr(constraint, key)}" for key, sign in signs.items() if hasattr(constraint, key)
    )


def licences() -> str:
    """The licences that are known, what they ask, and which presets let them in."""
    from bioicons_pipeline.library.licences import PRESETS, TABLE

    lines = ["| licence | upstream folder | asks | allowed by |", "|---|---|---|---|"]
    for licence in TABLE:
        presets = ", ".join(f"`{name}`" for name, allowed in PRESETS.items() if licence.spdx in allowed)
        asks = "; ".join(licence.obligations) or "nothing"
        lines.append(f"| [{licence.spdx}]({licence.url}) | `{licence.folder}` | {asks} | {presets} |")
    return "\n".join(lines)


def columns() -> str:
    """The manifest's columns."""
    from bioicons_pipeline.library.records import COLUMNS

    lines = ["| column | type | may be missing | |", "|---|---|---|---|"]
    for name, column in COLUMNS.items():
        missing = "yes" if column.nullable else ""
        lines.append(f"| `{name}` | {column.dtype} | {missing} | {_cell(column.description)} |")
    return "\n".join(lines)


def reasons() -> str:
    """Why icons are left out, the first that applies first."""
    from bioicons_pipeline.library.records import MEANINGS, ExclusionReason

    lines = ["| reason | |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{reason}` | {MEANINGS[reason]} |" for reason in ExclusionReason)])


def assets() -> str:
    """The assets group by group, what each is made from and what it holds."""
    from bioicons_pipeline.definitions import defs

    lines = ["| asset | group | partitions | made from | |", "|---|---|---|---|---|"]
    for spec in sorted(defs.resolve_all_asset_specs(), key=lambda spec: (spec.group_name, spec.key)):
        parents = ", ".join(f"`{dep.asset_key.to_user_string()}`" for dep in spec.deps)
        split = "category" if spec.partitions_def else ""
        said = _cell(_paragraphs(spec.description).split("\n")[0])
        lines.append(f"| `{spec.key.to_user_string()}` | {spec.group_name} | {split} | {parents} | {said} |")
    return "\n".join(lines)


def checks() -> str:
    """The checks of the assets."""
    from bioicons_pipeline.orchestration.checks import ALL_CHECKS

    lines = ["| asset | check | holds that |", "|---|---|---|"]
    for spec in (spec for check in ALL_CHECKS for spec in check.check_specs):
        said = _cell(_paragraphs(spec.description).split("\n")[0])
        lines.append(f"| `{spec.asset_key.to_user_string()}` | `{spec.name}` | {said} |")
    return "\n".join(lines)


def source(path: str) -> str:
    """The name of a file of this repository, which must be there."""
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"a page names {path}, which is not in the repository")
    return f"`{path}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


MACROS = {
    "value": value,
    "commands": commands,
    "fields": fields,
    "licences": licences,
    "columns": columns,
    "reasons": reasons,
    "assets": assets,
    "checks": checks,
    "source": source,
}
