"""The manifest of the real library: known cases, labelled pairs, and replay of its five states."""

import pytest

from bioicons_pipeline.library import audit, families
from bioicons_pipeline.library.authors import read_authors
from bioicons_pipeline.library.curation import CurationRules, load_curation
from bioicons_pipeline.library.licences import licence_of_folder, policy_for
from bioicons_pipeline.library.manifest import build_manifest
from bioicons_pipeline.library.records import icon_id, path_facts
from bioicons_pipeline.library.schema import validate_manifest
from bioicons_pipeline_tests.library.library_of import row
from bioicons_pipeline_tests.library.pairs import audit_pairs, family_pairs, read_labels, score

pytestmark = [pytest.mark.bundle, pytest.mark.git]

SOME = ("gut_bacteria", "/bacterium.svg", "syringe", "microscope.svg", "liver-", "spleen-", "green_bottle",
        "Veins_32", "cuvette", "jcl", "Fang", "Safety_symbols/UNECE", "scientific-article",
        "Mosquito_gender", "Tissues/Mariana_RuizVillareal/Human_heart", "toxicity_study", "radio-tag", "LN2",
        "ln2_tank", "mhc1.svg", "differential_gene", "Machine_Learning/Simon_Dürr")  # fmt: skip


def manifest(state, preset="attribution", **more):
    return build_manifest(
        state.icons,
        state.probes,
        policy=policy_for(preset),
        rules=CurationRules(),
        curation=load_curation(None),
        authors=read_authors(state.authors),
        permalink=state.tree.permalink,
        measures=state.measures,
        **more,
    )


def test_known_cases_of_upstream(real_library):
    df = manifest(real_library.state(only=SOME))
    for name in ("cc-0/Human_physiology/Fang-fang-yang/gut_bacteria.drawio.svg",
                 "cc-0/Human_physiology/fang-fangyang/gut_bacteria.svg"):  # fmt: skip
        found = row(df, name)
        assert found["licence_origin"] == "cc-by-3.0/Microbiology/Servier/bacterium.svg"
        assert found["spdx"] == "CC-BY-3.0"
        assert found["author"] == "Fang-fang Yang"
    found = row(df, "cc-0/Human_physiology/va/syringe_with_blood.svg")
    assert found["licence_origin"] == "cc-by-3.0/Human_physiology/Servier/syringe.svg"
    assert found["family_id"] == row(df, found["licence_origin"])["family_id"]
    found = row(df, "cc-0/Microbiology/Divakar-Badal/inverted_microscope.svg")
    assert found["licence_origin"] == "cc-by-3.0/Lab_apparatus/Servier/microscope.svg"
    assert row(df, "cc-by-3.0/Human_physiology/Servier/liver-2.svg")["name"] == "spleen-3"
    bottle = row(df, "cc-by-4.0/Lab_apparatus/Helicase_11/light_green_bottle.svg")
    assert bottle["name"] == "light_yellow_bottle"
    assert (
        row(df, "cc-by-3.0/Human_physiology/Servier/Veins_32_1.svg")["exclusion_reason"]
        == "dropped_by_curator"
    )
    assert row(df, "cc-by-4.0/General_items/scientific-article.svg")["exclusion_reason"] == "author_missing"
    assert set(df.loc[df["author"] == "UNECE", "exclusion_reason"]) == {"safety_symbol"}
    for name, reason in (
        ("cc-0/Human_physiology/Fang-fang-yang/gut_bacteria.drawio.svg", "contains_text"),  # an HTML label
        ("cc-0/Lab_apparatus/KeHan/ln2_tank.svg", "contains_text"),  # letters as outlines
        ("cc-by-4.0/Blood_Immunology/Helicase_11/mhc1.svg", "contains_text"),
        ("cc-0/Machine_Learning/Simon_Dürr/sigmoid.svg", "chart_or_diagram"),
        ("cc-by-3.0/Blood_Immunology/Servier/antibody-radio-tag-2.svg", "dropped_by_curator"),
    ):
        assert row(df, name)["exclusion_reason"] == reason, name
    cuvettes = df[df["name"].str.startswith("cuvette")]
    assert cuvettes["split"].nunique() == 1
    assert df.attrs["notes"] == []


def test_the_unlicensed_folder_came_and_went(real_library):
    only = (*SOME, "None/")
    before = manifest(real_library.state("e1fa0459", only), preset="share-alike")
    unlicensed = before[before["source_path"].str.startswith("None/")]
    assert list(unlicensed["exclusion_reason"]) == ["unlicensed", "unlicensed"]
    after = manifest(real_library.state("7d67472c", only), preset="share-alike")
    assert not after["source_path"].str.startswith("None/").any()


@pytest.fixture(scope="module")
def whole(real_library):
    state = real_library.state()
    return state, manifest(state)


@pytest.mark.slow
def test_the_whole_library(whole):
    _, df = whole
    validate_manifest(df, policy_for("attribution"))
    assert len(df) == 1581
    assert 1100 <= df["included"].sum() <= 1400
    assert 1000 <= df["family_id"].nunique() <= 1150
    held = df[df["included"]].drop_duplicates("family_id").groupby("category")["split"]
    for category, sides in held:
        if len(sides) >= 10:
            assert 0 < (sides == "heldout").sum() <= 0.3 * len(sides), category
    for category, sides in df[df["included"]].groupby("category")["split"]:
        assert (sides == "heldout").sum() < 0.2 * len(sides) + 1, category
    assert df["exclusion_reason"].value_counts()["contains_text"] > 80


def drawings_of(df, state):
    """Members and drawings as the manifest saw them, in its order."""
    members, drawings = [], []
    for record in df.to_dict("records"):
        measured = state.measures[record["sha256"]]
        outlines = frozenset(measured.geometry.outlines)
        facts = path_facts(record["source_path"])
        author = record["author"] if isinstance(record["author"], str) else None
        members.append(
            families.Member(record["icon_id"], record["sha256"], facts.name, author, facts.category,
                            measured.shape, outlines)
        )  # fmt: skip
        drawings.append(
            audit.Drawing(record["icon_id"], licence_of_folder(facts.licence_folder), outlines,
                          measured.shape, families.name_words(facts.name))
        )  # fmt: skip
    return members, drawings


@pytest.mark.slow
@pytest.mark.parametrize("held_back", [False, True])
def test_families_agree_with_people(whole, held_back):
    _, df = whole
    family = dict(zip(df["icon_id"], df["family_id"], strict=True))
    labels = read_labels("family_pairs_held_back" if held_back else "family_pairs")
    found = score(labels, lambda a, b: family[a] == family[b])
    print(f"families: {found}, precision {found.precision:.3f}, recall {found.recall:.3f}")
    assert found.precision >= (0.85 if held_back else 0.95)
    assert found.recall >= (0.80 if held_back else 0.90)


@pytest.mark.slow
@pytest.mark.parametrize("held_back", [False, True])
def test_the_audit_agrees_with_people(whole, held_back):
    state, df = whole
    _, drawings = drawings_of(df, state)
    copies = {
        frozenset((drawings[c.first].icon_id, drawings[c.second].icon_id))
        for c in audit.find_copies(drawings, across_only=False)
    }
    labels = read_labels("audit_pairs_held_back" if held_back else "audit_pairs")
    found = score(labels, lambda a, b: frozenset((a, b)) in copies)
    across = score(
        [one for one in labels if one.stratum.startswith("across")], lambda a, b: frozenset((a, b)) in copies
    )
    print(f"audit: {found}, precision {found.precision:.3f}, recall {found.recall:.3f}; across {across}")
    assert found.precision >= (0.85 if held_back else 0.90)
    assert found.recall >= (0.70 if held_back else 0.75)
    assert across.recall == 1 or held_back  # none of the pairs held back is a copy across licences


@pytest.mark.slow
def test_the_labelled_pairs_are_those_of_the_sampling_rule(whole):
    """The lists can be drawn again: same strata, and (nearly: thresholds of floats) the same pairs."""
    state, df = whole
    members, drawings = drawings_of(df, state)
    for name, strata in (("family_pairs", family_pairs(members)), ("audit_pairs", audit_pairs(drawings))):
        drawn = {
            frozenset((members[a].icon_id, members[b].icon_id)) for pairs in strata.values() for a, b in pairs
        }
        labels = read_labels(name)
        assert len(labels) >= 200
        assert sum(not one.verdict for one in labels) >= len(labels) / 2
        known = {frozenset((one.first, one.second)) for one in labels}
        assert len(drawn & known) >= 0.8 * len(known), name


@pytest.mark.slow
def test_replay_of_five_states_moves_no_family(real_library):
    previous, pinned = None, {}
    for tag in ("4c77cd4e", "3289853a", "e1fa0459", "7d67472c", "f3f18b86"):
        df = manifest(real_library.state(tag), previous=pinned)
        free = manifest(real_library.state(tag))
        now = {r["icon_id"]: (r["family_id"], r["split"]) for r in df.to_dict("records")}
        stateless = dict(zip(free["icon_id"], free["split"], strict=True))
        if previous is not None:
            both = now.keys() & pinned.keys()
            assert all(now[key][1] == pinned[key][1] for key in both)
            moved = [key for key in stateless.keys() & previous.keys() if stateless[key] != previous[key]]
            print(f"{tag}: {len(both)} icons stay, {len(moved)} change sides without the earlier manifest")
            # 15 of 1,307 are most: a family that a cap on held-out icons lets pass or not moves whole
            assert len(moved) <= 0.015 * len(both)
        previous, pinned = stateless, {**pinned, **now}
    assert icon_id("cc-by-3.0/Human_physiology/Servier/syringe.svg") in pinned
