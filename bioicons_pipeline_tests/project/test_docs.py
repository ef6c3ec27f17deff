"""The documentation takes its numbers from the measured files, and so does the README."""

import json
import re
import sys
from statistics import mean

import pytest

from bioicons_pipeline_tests.conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs"))
import flow
import hooks
import house

PAGES = sorted((REPOSITORY / "docs").rglob("*.md"))
OWN = [run for run in hooks.results("nano_lora")["runs"] if run["captions"] == "own captions"]
SECONDS = [run["seconds"] for run in hooks.results("nano_lora")["runs"]]


def apart(name: str) -> list[float]:
    """By how much shuffled captions are worse, a seed each."""
    losses = [run["lora_loss"] for run in hooks.results(name)["runs"]]
    return [shuffled - own for own, shuffled in zip(losses[::2], losses[1::2], strict=True)]


KNOWN = "nano_lora_general_items"
START = sum(float(hooks.value("flux_nano", f"speed.{part}")) for part in ("imports_s", "load_s"))
NUMBERS = (
    *("none", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)


def words_matter(name: str) -> str:
    """What the README says of a LoRA with shuffled captions."""
    changes = apart(name)
    higher, seeds = NUMBERS[sum(change > 0 for change in changes)], NUMBERS[len(changes)]
    error = hooks.value(name, "gain_over_shuffled.standard_error", ".4f")
    changed = f"{mean(changes):+.4f} in the mean (standard error {error})"
    return f"{changed}, higher with {higher} of the {seeds} seeds"


PUBLISHED = (
    f"LoRA of {hooks.value('nano_lora', 'category')} lowers the loss on held-out icons "
    f"from {mean(run['base_loss'] for run in OWN):.3f} to {mean(run['lora_loss'] for run in OWN):.3f} "
    f"({NUMBERS[len(OWN)]} seeds, each holding out another quarter",
    *(words_matter(name) for name in ("nano_lora", KNOWN, "nano_lora_library")),
    f"lowers the loss by {hooks.value(KNOWN, 'gain_over_base.mean', '.3f')} "
    f"(at least {hooks.value(KNOWN, 'gain_over_base.worst', '.3f')})",
    f"{hooks.value('nano_words', 'own_caption', '.3f')} with an icon's own caption and "
    f"{hooks.value('nano_words', 'without_caption', '.3f')} without one",
    f"Of {hooks.value('flux_nano', 'binding.prompts')} trained words it draws "
    f"{hooks.value('flux_nano', 'binding.mean_bound', '.0f')}",
    f"from nothing in {hooks.value('flux_nano_cpu', 'training.minutes', '.0f')} minutes on two quiet cores; "
    f"that one draws {hooks.value('flux_nano_cpu', 'binding.mean_bound', '.0f')}",
    f"manifest of {hooks.value('manifest', 'icons', ',')} icons, the first time "
    f"| {hooks.value('manifest', 'cold_seconds.total', '.0f')} s",
    f"an upstream update of {hooks.value('manifest', 'replay.4.touched')} icons "
    f"| {hooks.value('manifest', 'replay.4.seconds.total', '.0f')} s",
    f"{hooks.value('rendering', 'throughput.ms_per_icon.ours_cold', '.0f')} ms an icon "
    f"| {hooks.value('rendering', 'memory.peak_mib')} MiB",
    f"LoRA of flux-nano, {OWN[0]['icons']['train']} icons, "
    f"{hooks.value('nano_lora', 'config.steps')} steps | {min(SECONDS):.0f} to {max(SECONDS):.0f} s",
    f"{hooks.value('flux_nano', 'speed.steps')} steps "
    f"| {hooks.value('flux_nano', 'speed.sixteen_icons_s', '.1f')} s and {START:.0f} s to start",
)
"""What the README says of measured figures; it is not built, so its numbers are compared."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_marker_resolves(page):
    shown = hooks.on_page_markdown(page.read_text("utf-8"))
    assert "{{ " not in shown and " }}" not in shown


def test_a_marker_that_does_not_resolve_stops_the_build():
    with pytest.raises(KeyError):
        hooks.on_page_markdown("{{ value nano_lora gain_over_base.median }}")
    with pytest.raises(FileNotFoundError):
        hooks.on_page_markdown("{{ source bioicons_pipeline/nowhere.py }}")
    with pytest.raises(KeyError):
        hooks.on_page_markdown("{{ nothing }}")


def test_the_how_to_of_captioners_adds_to_the_packaged_decisions(tmp_path, monkeypatch):
    """Its `python` blocks as they stand, on an exported dataset of two icons in two splits."""
    from bioicons_pipeline.dataset.schema import dataset_schema
    from bioicons_pipeline.library.curation import load_curation

    assert {"icon_id", "name", "category", "author"} <= set(dataset_schema().names)
    for split, icon in (("train", "aaaa"), ("heldout", "bbbb")):
        folder = tmp_path / "dataset" / split
        folder.mkdir(parents=True)
        (folder / f"{icon}.png").write_bytes(b"png")
        row = {"file_name": f"{icon}.png", "icon_id": icon, "name": "zebra_fish"}
        row |= {"category": "Animals", "author": "J"}
        (folder / "metadata.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    page = (REPOSITORY / "docs" / "how-to" / "captioner.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, re.S)), {})
    packaged, made = load_curation(None), load_curation(tmp_path / "my.yaml")
    assert made.decisions[: len(packaged.decisions)] == packaged.decisions
    added = made.decisions[len(packaged.decisions) :]
    assert [(one.icon, one.action) for one in added] == [("bbbb", "caption"), ("aaaa", "caption")]
    assert added[0].value == "bioicons style, a zebra fish, isolated on a white background"


def test_the_commands_are_all_there():
    shown = hooks.commands()
    for heading in ("bioicons run", "bioicons publish lora", "bioicons export dataset", "bioicons doctor"):
        assert f"## {heading}\n" in shown
    assert "`--licence" not in shown and "| `--category` |" in shown


def test_tables_of_the_code_are_whole():
    from bioicons_pipeline.library.records import COLUMNS, ExclusionReason

    assert all(f"| `{name}` |" in hooks.columns() for name in COLUMNS)
    assert all(f"| `{reason}` |" in hooks.reasons() for reason in ExclusionReason)
    assert "| `library/lora_weights` | 4_library_wide |  | `library/icon_dataset`," in hooks.assets()
    assert "| `icon_dataset` | `nothing_leaks` |" in hooks.checks()


def test_settings_are_shown_as_variables_with_their_limits():
    shown = hooks.fields("bioicons_pipeline.settings.Settings", "env")
    assert "| `BIOICONS_RENDER_SIZE` | int (≥ 16 ≤ 4096) | `1024` |" in shown
    training = hooks.fields("bioicons_pipeline.training.config.TrainingConfig")
    assert "| `optimizer` | `adamw`, `adamw8bit`, `prodigy` | `adamw` |" in training


@pytest.mark.parametrize("sentence", PUBLISHED)
def test_published_numbers_are_the_measured_ones(sentence):
    assert sentence in " ".join((REPOSITORY / "README.md").read_text("utf-8").split())


def test_links_of_the_readme_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (REPOSITORY / name).read_text("utf-8")):
            assert (REPOSITORY / target).exists(), f"{name}: {target}"


def test_the_drawing_is_the_one_that_the_script_draws():
    assert (REPOSITORY / "docs" / "explanation" / "flow.svg").read_text("utf-8") == flow.flow_svg()


def test_the_drawing_of_the_house_is_that_of_the_code():
    drawn = (REPOSITORY / "docs" / "explanation" / "house.svg").read_text("utf-8")
    assert drawn == house.house_svg(), "an import is new or gone: python docs/make_pictures.py house"


def test_no_room_imports_one_above_it():
    """Also where a contract of setup.cfg forgets a module: imports inside functions count here."""
    order = [room for row in house.ROWS for room in row]
    for room, others in house.imports().items():
        assert all(order.index(other) > order.index(room) for other in others), (room, others)


def test_the_map_of_the_house_says_what_each_room_imports():
    rows = re.findall(
        r"^\| `(\w+)/` \|.*\| (.*?) \|$", (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8"), re.M
    )
    told = {room: set(re.findall(r"\w+", said.split("(")[0])) for room, said in rows}
    found = {
        room: {other for other, aside in others.items() if not aside}
        for room, others in house.imports().items()
    }
    assert told.pop("orchestration") == {"all", "rooms", "but", "studio"}
    assert told == {room: found.get(room, set()) for room in told} and len(told) == 9


def test_the_drawing_names_the_assets():
    from bioicons_pipeline.orchestration.stages import base

    known = {base.SNAPSHOT, base.MANIFEST, base.IMAGES, base.CAPTIONS, base.DATASET}
    known |= {base.WEIGHTS, base.GRID, base.EVALUATION}
    assert {name for name, *_ in flow.STAGES} == known
