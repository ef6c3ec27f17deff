"""A script of weeks: what is rebuilt and what is trained when upstream moves, by the real conditions."""

import random
from dataclasses import replace

import pytest
from PIL import Image

from bioicons_pipeline.evaluation.records import png_of
from bioicons_pipeline.orchestration.durations import measured
from bioicons_pipeline.orchestration.stages import images, training_plan
from bioicons_pipeline.orchestration.stages.base import DATASET, MANIFEST, WEIGHTS
from bioicons_pipeline.orchestration.stages.gone import WITHDRAWN
from bioicons_pipeline_tests.library.repositories import commit_files, git
from bioicons_pipeline_tests.orchestration.living import Living, broken, trainings

pytestmark = [pytest.mark.git, pytest.mark.timeout(900)]

COUNT = 13
"""Icons of a category: one is under the 10 % that these tests train from, two are over."""
CHEAP = {"icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset", "training_plan"}
NOUNS = [
    *("mouse", "rat", "fish", "bird", "frog", "worm", "snail", "crab", "bee", "ant", "fly", "moth"),
    *(
        "oak",
        "fern",
        "moss",
        "rose",
        "tulip",
        "pine",
        "palm",
        "mortar",
        "flask",
        "beaker",
        "funnel",
        "pipette",
    ),
]


def drawing(name: str) -> bytes:
    """A shape of its own for every name, like no other."""
    chance = random.Random(name)
    corners = " ".join(f"{chance.randint(4, 96)} {chance.randint(4, 96)}" for _ in range(6))
    x, y, side = chance.randint(4, 60), chance.randint(4, 60), chance.randint(8, 30)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
        f'<path d="M50 50 L{corners} Z" fill="#{chance.randrange(0x1000000):06x}"/>'
        f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="#36c"/></svg>'
    ).encode()


def path(category: str, name: str, licence: str = "cc-0") -> str:
    return f"static/icons/{licence}/{category}/Ann/{name}.svg"


DROPPED = """
version: 1
decisions:
  - {icon: cc-0/Animals/Ann/rat_a.svg, action: drop, reason: not a rat, reviewer: test}
"""


class Upstream:
    """A bare repository whose newest commit is `files`."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.files = {}
        for category in ("Animals", "Plants"):
            for noun in NOUNS[:COUNT]:
                name = f"{noun}_{category[0].lower()}"
                self.files[path(category, name)] = drawing(name)
        self.commit()

    def commit(self) -> None:
        commit_files(self.folder, self.files)

    def add(self, category: str, *names: str, licence: str = "cc-0") -> None:
        for name in names:
            self.files[path(category, name, licence)] = drawing(name)
        self.commit()

    def move(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)
        self.commit()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Upstream and pipeline after the first week, in one folder; each test goes on from there in turn."""
    root = tmp_path_factory.mktemp("living")
    upstream = Upstream(root / "upstream.git")
    living = Living(root / "data", upstream.folder, share=0.1)
    ran = week(living)
    return upstream, living, ran, list(trainings)


def trained(living: Living) -> list[str]:
    return sorted(partition for partition, _ in trainings)


def week(living: Living) -> dict[str, set[str | None]]:
    """A week that turns out as `bioicons plan` said before it began."""
    rebuilt, due = living.foretold()
    ran = living.week()
    assert ran.get("rasterized_icons", set()) == rebuilt
    assert trained(living) == due
    return ran


def test_the_weeks(first):
    upstream, living, ran, done = first
    both = {"Animals", "Plants"}

    # The first week makes everything, and trains each LoRA once.
    assert {name: ran[name] for name in CHEAP} == dict.fromkeys(CHEAP, both)
    assert ran["svg_snapshot"] == ran["library/lora_weights"] == {None}
    assert ran["lora_weights"] == ran["sample_grid"] == ran["evaluation_report"] == both
    assert sorted(name for name, _ in done) == ["Animals", "Plants", "library"]

    # No change: nothing runs.
    assert week(living) == {}

    # A commit that touches no icon is seen, and changes nothing.
    commit_files(upstream.folder, upstream.files | {"README.md": b"hello"})
    assert week(living) == {}
    upstream.commit()

    # One icon added: the cheap stages follow in that category, and nothing is trained.
    upstream.add("Animals", "otter")
    ran = week(living)
    assert ran["icon_manifest"] == both
    assert ran["rasterized_icons"] == ran["icon_dataset"] == ran["training_plan"] == {"Animals"}
    assert ran.keys().isdisjoint({"lora_weights", "library/lora_weights", "sample_grid"})
    assert trained(living) == []

    # One renamed: of 13 icons two differ from those trained on, which is enough.
    upstream.move(path("Animals", "mouse_a"), path("Animals", "vole_a"))
    ran = week(living)
    assert ran["lora_weights"] == ran["sample_grid"] == {"Animals"}
    assert trained(living) == ["Animals"]

    # One recoloured, in the other category: too little there; the small drifts of three weeks add up to three
    # of the library's 26 icons, which is enough.
    worm = path("Plants", "worm_p")
    upstream.files[worm] = upstream.files[worm].replace(b"#36c", b"#fc0")
    upstream.commit()
    ran = week(living)
    assert ran["rasterized_icons"] == ran["icon_dataset"] == {"Plants"}
    assert trained(living) == ["library"]

    # A category added, of twelve icons: registered, built, trained; the library follows.
    upstream.add("Minerals", *(f"{noun}_stone" for noun in NOUNS[:12]))
    ran = week(living)
    assert ran["rasterized_icons"] == ran["lora_weights"] == {"Minerals"}
    assert trained(living) == ["Minerals", "library"]

    # A category removed: what was made of it stays, marked; nothing of it runs. The library has been trained
    # this week, and waits for the next.
    before = {asset: living.store.get_ref(asset, partition="Minerals") for asset in (MANIFEST, DATASET)}
    upstream.files = {name: data for name, data in upstream.files.items() if "/Minerals/" not in name}
    upstream.commit()
    ran = living.week(days=2)
    assert ran.keys().isdisjoint({"rasterized_icons", "lora_weights"}) and trained(living) == []
    ran = living.week()
    assert {name.partition("/")[0] for name in ran} == {"library"} and trained(living) == ["library"]
    for asset, ref in before.items():
        assert living.store.get_ref(asset, partition="Minerals").version_id == ref.version_id
    commit = git(upstream.folder, "rev-parse", "main")
    assert living.store.get_ref(MANIFEST, partition="Minerals").info[WITHDRAWN] == commit
    assert living.materialize("lora_weights", {"dagster/partition": "Minerals"})  # and trains nothing
    assert trained(living) == ["library"]

    # An edit of the curation file: noticed without a run, and only what it changes is built again.
    assert "curation_rules" in living.watch() and living.settle() == {}
    assert living.watch() == []
    living.curation.write_text(DROPPED)
    assert living.watch() == ["curation_rules"]
    ran = living.settle()
    assert ran["icon_manifest"] == both | {"Minerals"}
    assert ran["rasterized_icons"] == ran["icon_dataset"] == {"Animals"} and "lora_weights" not in ran
    living.curation.write_text("version: [")  # half written: the last version stays
    assert living.watch() == [] and living.settle() == {}
    living.curation.write_text(DROPPED)

    # A licence withdrawn: one icon is enough, at once.
    upstream.move(path("Plants", "bird_p"), path("Plants", "bird_p", licence="None"))
    ran = week(living)
    assert ran["lora_weights"] == {"Plants"} and trained(living) == ["Plants", "library"]
    plan = living.store.get_ref(training_plan.PLAN, partition="Plants", base="flux-nano")
    assert plan.info["reason"] == "withdrawn: bird_p (left out now (unlicensed))"

    # An icon deleted, and no word why: it may have been for its licence, so one is enough.
    del upstream.files[path("Animals", "fish_a")]
    upstream.commit()
    ran = week(living)
    assert ran["lora_weights"] == {"Animals"} and trained(living) == ["Animals", "library"]
    plan = living.store.get_ref(training_plan.PLAN, partition="Animals", base="flux-nano")
    assert plan.info["reason"] == "withdrawn: fish_a (deleted upstream)"

    # Upstream force-pushed, with the same icons: the tree is the same, and nothing runs.
    tree = git(upstream.folder, "rev-parse", "main^{tree}")
    orphan = git(upstream.folder, "commit-tree", tree, "-m", "history rewritten")
    git(upstream.folder, "update-ref", "refs/heads/main", orphan)
    assert week(living) == {}

    # A training fails: the LoRA before stays, and it is tried again the week after, once.
    lora = living.store.get_ref(WEIGHTS, partition="Plants", base="flux-nano")
    upstream.add("Plants", "daisy", "lily")
    broken.add("Plants")
    ran = week(living)
    assert ran["lora_weights"] == {"Plants"} and "sample_grid" not in ran
    assert trained(living) == ["Plants"]
    assert living.store.get_ref(WEIGHTS, partition="Plants", base="flux-nano") == lora
    broken.clear()
    ran = week(living)
    assert set(ran) == {"lora_weights", "sample_grid", "evaluation_report"} and trained(living) == ["Plants"]
    assert week(living) == {} and trained(living) == []

    # Upstream cannot be read: said, and nothing changes.
    upstream.folder.rename(upstream.folder.with_suffix(".away"))
    assert not living.observe() and living.settle() == {}

    upstream.folder.with_suffix(".away").rename(upstream.folder)

    # What ran has left its times for `bioicons plan`.
    times = measured(living.instance, "flux-nano")
    assert times.manifest > 0 and times.rebuild(10) > 0
    assert set(times.training) == {"Animals", "Plants", "Minerals", "library", ""}


def datasets(living: Living) -> dict[str, str]:
    return {
        name: ref.version_id for name, ref in living.store.list_refs(DATASET).items() if name != "__all__"
    }


@pytest.mark.slow
def test_a_plan_knows_what_the_datasets_were_made_from(first):
    """Not what the snapshot is, nor what was set then: each said before it runs, as it turns out."""
    upstream, living, *_ = first
    upstream.add("Plants", "heather", licence="cc-by-4.0")
    week(living)
    living.watch()
    living.settle()

    # The snapshot was taken, and nothing was built from it.
    snail = path("Plants", "snail_p")
    upstream.files[snail] = upstream.files[snail].replace(b"#36c", b"#0fc")
    upstream.commit()
    assert living.materialize("svg_snapshot", {})
    assert living.foretold()[0] == {"Plants"} and "1 redrawn" in living.told["Plants"]
    assert week(living)["rasterized_icons"] == {"Plants"}

    # A curator drops an icon.
    living.curation.write_text(
        DROPPED + DROPPED.splitlines()[-1].replace("Animals", "Plants").replace("rat_a", "crab_p")
    )
    rebuilt, _ = living.foretold()
    assert "Plants" in rebuilt and "1 edited in the curation file" in living.told["Plants"]
    assert living.watch() == ["curation_rules"]
    assert week(living)["rasterized_icons"] == rebuilt

    # Another preset leaves an icon out: every card says so, and what learnt from that icon is trained again.
    before = datasets(living)
    living.configure(licence_preset="public-domain")
    rebuilt, due = living.foretold()
    assert due == ["Plants", "library"]
    assert living.told["Plants"] == "1 withdrawn; the licence preset is another one"
    assert "the licence preset is another one" in living.told["Animals"]
    assert living.watch() == ["licence_preset"]
    living.week()
    assert {name for name, version in datasets(living).items() if before[name] != version} == rebuilt
    assert trained(living) == due and week(living) == {}


BLANK = png_of(Image.new("RGB", (64, 64), "white"))
LOST = b"#abcdef"


@pytest.fixture
def small(tmp_path):
    """Upstream and pipeline, of two icons in each of two categories, after the first week."""
    upstream = Upstream(tmp_path / "upstream.git")
    kept = [path(name, f"{noun}_{name[0].lower()}") for name in ("Animals", "Plants") for noun in NOUNS[:2]]
    upstream.files = {name: upstream.files[name] for name in kept}
    upstream.commit()
    living = Living(tmp_path / "data", upstream.folder)
    living.week()
    living.watch()
    living.settle()
    return upstream, living


@pytest.fixture
def _lost_pictures(monkeypatch):
    """The renderer draws nothing for icons of the colour LOST."""
    real = images.render_many

    def render_many(icons, *arguments, **how):
        lost = []

        def seen():
            for key, svg in icons:
                lost.append(LOST in svg)
                yield key, svg

        for place, result in enumerate(real(seen(), *arguments, **how)):
            yield replace(result, png=BLANK) if lost[place] else result

    monkeypatch.setattr(images, "render_many", render_many)


@pytest.mark.usefixtures("_lost_pictures")
def test_a_category_that_never_got_a_dataset_does_not_stop_the_library(small):
    upstream, living = small
    ill = {path("Gamma", name): drawing(name).replace(b"#36c", LOST) for name in ("flask_g", "funnel_g")}
    upstream.files |= ill
    upstream.commit()
    ran = living.week()
    assert ran["rasterized_icons"] == ran["icon_dataset"] == {"Gamma"}
    assert living.store.get_ref(DATASET, partition="Gamma") is None
    assert living.week() == living.week() == {}  # it waits for a person, and fails no more

    # Another category goes on, and what left it leaves the library's dataset.
    del upstream.files[path("Animals", "rat_a")]
    upstream.commit()
    assert living.week()["library/icon_dataset"] == {None}
    assert living.store.get_ref(DATASET).info["icons"] == 3

    # Upstream takes the ill one back before there was anything of it.
    upstream.files = {name: data for name, data in upstream.files.items() if name not in ill}
    upstream.add("Plants", "otter_p")
    assert living.week()["library/icon_dataset"] == {None}
    assert living.store.get_ref(DATASET).info["icons"] == 4
    assert living.week() == living.week() == {}

    # It comes again, mended.
    upstream.files |= {name: data.replace(LOST, b"#36c") for name, data in ill.items()}
    upstream.commit()
    assert living.week()["icon_dataset"] == {"Gamma"}
    assert living.store.get_ref(DATASET).info["icons"] == 6


def test_another_render_size_draws_all_pictures_again(small):
    _, living = small
    living.configure(render_size=96)
    rebuilt, _ = living.foretold()
    assert living.watch() == ["render_size"]
    ran = living.settle()
    assert ran["rasterized_icons"] == ran["icon_dataset"] == rebuilt == {"Animals", "Plants"}
    assert ran["library/icon_dataset"] == {None} and "icon_manifest" not in ran
    assert {ref.info["render_size"] for ref in living.store.list_refs(DATASET).values()} == {96}
    assert living.watch() == [] and living.week() == {}
