"""The report for upstream: each kind of finding planted in a small library, and the script run on a clone."""

import csv
import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from bioicons_pipeline.library.records import COLUMNS, icon_id, path_facts
from bioicons_pipeline.library.upstream import Spelling, upstream_report
from bioicons_pipeline.library.upstream_files import FILES, UpstreamReportError, counts, write_report

GOOD = "cc-0/Animals/Ann_Author/mouse.svg"


def row(path: str, **facts) -> dict:
    """One row of a manifest."""
    read = path_facts(path)
    made = {
        "icon_id": icon_id(path), "sha256": icon_id(path) * 4, "name": read.name, "category": read.category,
        "author": read.author_folder and read.author_folder.replace("_", " "), "author_url": "https://a.example",
        "spdx": "CC0-1.0", "folder_spdx": "CC0-1.0", "source_path": path, "byte_size": 10, "included": True,
        "family_id": icon_id(path), "author_folder": read.author_folder, "all_reasons": "",
    }  # fmt: skip
    return {**dict.fromkeys(COLUMNS), **made, **facts}


def report_on(*rows: dict, spell=lambda stem: None):
    frame = pd.DataFrame(list(rows)).astype(
        {"name": "string", "author": "string", "licence_origin": "string"}
    )
    return upstream_report(frame, spell, lambda name, category: (name, category))


def mended(stem: str) -> Spelling | None:
    return Spelling(stem.replace("muose", "mouse"), "misspelling") if "muose" in stem else None


def test_a_sound_library_has_nothing_to_mend():
    found = counts(report_on(*(row(f"cc-0/Animals/Ann/mouse{n}.svg") for n in range(3))))
    assert found == {**dict.fromkeys(found, 0), "icons": 3, "tags": 3}


def test_a_misspelt_name_is_moved_unless_the_place_is_taken():
    wrong, other = "cc-0/Animals/Ann/muose.svg", "cc-0/Animals/Bob/muose.svg"
    report = report_on(row(wrong), row("cc-0/Animals/Ann/Mouse.svg"), row(other), spell=mended)
    assert report.moves == [(other, "cc-0/Animals/Bob/mouse.svg")], "Mouse.svg is mouse.svg on some disks"
    said = {item["path"]: item["in_script"] for item in report.names}
    assert said == {wrong: "no: the place is that of cc-0/Animals/Ann/Mouse.svg", other: "yes"}


def test_two_icons_that_want_one_place_both_stay():
    both = ("cc-0/A/Ann/muose.svg", "cc-0/A/ann/muose.svg")
    report = report_on(*(row(path, author="Ann") for path in both), spell=mended)
    assert report.moves == [] and all("place" in item["in_script"] for item in report.names)


def test_a_place_that_becomes_free_is_not_taken():
    """a -> b while b -> c: the script would depend on its order."""
    better = {"a": "b", "b": "c"}
    paths = ("cc-0/A/Ann/a.svg", "cc-0/A/Ann/b.svg")
    report = report_on(*map(row, paths), spell=lambda stem: Spelling(better[stem], "w"))
    assert report.moves == [("cc-0/A/Ann/b.svg", "cc-0/A/Ann/c.svg")]


def test_the_curators_better_name_and_category_win():
    wrong = "cc-0/Animals/Ann/muose.svg"
    report = report_on(row(wrong, name="rat", category="Pets", curation="rename: it is a rat"), spell=mended)
    assert report.moves == [(wrong, "cc-0/Pets/Ann/rat.svg")]
    assert report.names[0]["why"] == "rename: it is a rat"


def test_one_author_in_several_folders():
    folders = {"ewaoz": 3, "EwaOz": 1, "Ewa-Oz": 1}
    paths = [
        f"cc-0/A/{folder}/x{ord(folder[0])}{len(folder)}{n}.svg"
        for folder, many in folders.items()
        for n in range(many)
    ]
    report = report_on(*(row(path, author="Ewa Oz") for path in paths))
    (found,) = [item for item in report.authors if item["what"] == "several folders"]
    assert found["better"] == "Ewa-Oz" and found["icons"] == 5
    assert {target.split("/")[2] for _, target in report.moves} == {"Ewa-Oz"} and len(report.moves) == 4


def test_authors_without_folder_or_page():
    report = report_on(row("cc-0/A/x.svg"), row("cc-0/A/Ann/y.svg", author_url=None))
    assert [(item["what"], item["where"]) for item in report.authors] == [
        ("no author folder", "cc-0/A/x.svg"),
        ("no page in authors.json", "Ann"),
    ]
    assert [icon["name"] for icon in report.icons] == ["y"]


def test_duplicates_are_bytes_and_not_emptiness():
    one, two = "cc-0/A/Ann/cell.svg", "cc-0/A/Ann/cell_ok.svg"
    report = report_on(
        row(one, sha256="f" * 64), row(two, sha256="f" * 64),
        row("cc-0/A/Ann/e1.svg", sha256="0" * 64, byte_size=0, all_reasons="empty_file"),
        row("cc-0/A/Ann/e2.svg", sha256="0" * 64, byte_size=0, all_reasons="empty_file;blank"),
    )  # fmt: skip
    assert [(item["keep"], item["duplicate"]) for item in report.duplicates] == [(one, two)]
    assert [item["reason"] for item in report.broken] == ["empty_file", "empty_file", "blank"]


def test_lookalikes_are_of_several_authors_or_categories():
    same = {"family_id": "f"}
    report = report_on(
        row("cc-0/A/Ann/cell-red.svg", **same), row("cc-0/A/Ann/cell-blue.svg", **same),
        row("cc-0/A/Ann/x.svg", family_id="g"), row("cc-0/A/Bob/x.svg", family_id="g"),
        row("cc-0/A/Ann/y.svg", family_id="h"), row("cc-0/B/Ann/y.svg", family_id="h"),
    )  # fmt: skip
    assert [item["what"] for item in report.lookalikes] == ["several authors", "several categories"]


def test_doubtful_licences_are_told_and_not_moved():
    path = "cc-0/A/Ann/x.svg"
    evidence = {
        "spdx": "CC-BY-3.0",
        "licence_origin": "cc-by-3.0/A/Bob/y.svg",
        "licence_evidence": "geometry",
    }
    report = report_on(row(path, **evidence), row("None/A/Ann/z.svg", spdx=None, folder_spdx=None))
    assert [(item["folder_says"], item["stricter"]) for item in report.licences] == [
        ("CC0-1.0", "CC-BY-3.0"),
        ("None", ""),
    ]
    assert report.moves == []


def test_the_script_does_on_a_clone_what_icons_json_says(tmp_path):
    paths = [GOOD, "cc-0/Animals/Ann_Author/a 'muose' $(x).svg", "cc-0/Animals/Ann-Author/muose-2.svg",
             "cc-0/Animals/Ann_Author/Дü muose.svg"]  # fmt: skip
    clone = tmp_path / "clone"
    for path in paths:
        target = clone / "static" / "icons" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@x.example", "-C", str(clone))
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "icons")):
        subprocess.run([*git, *command], check=True)
    report = report_on(*(row(path, author="Ann Author") for path in paths), spell=mended)
    write_report(report, tmp_path / "out", "https://example.org", "f" * 40)
    assert (clone / "static" / "icons" / GOOD).is_file() and len(report.moves) == 3
    subprocess.run(["sh", str(tmp_path / "out" / "rename.sh")], cwd=clone, check=True)
    there = {path.relative_to(clone / "static/icons").as_posix() for path in clone.rglob("*.svg")}
    rows = json.loads((tmp_path / "out" / "icons.json").read_text())
    told = {
        f"{icon['license']}/{icon['category']}/{icon['author'].replace(' ', '_')}/{icon['name']}.svg"
        for icon in rows
    }
    assert told == there and set(rows[0]) == {"name", "category", "license", "author"}
    assert not any("muose" in path for path in there)
    names = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    assert all(line.startswith("R ") for line in names.splitlines())


def test_the_files_and_what_stands_in_their_way(tmp_path):
    out = tmp_path / "out"
    report = report_on(row("cc-0/A/Ann/muose|x.svg"), spell=mended)
    first = {path.name: path.read_bytes() for path in write_report(report, out, "a <b> | c", "f" * 40)}
    assert set(first) == set(FILES) == {path.name for path in out.iterdir()}
    assert first == {
        path.name: path.read_bytes() for path in write_report(report, out, "a <b> | c", "f" * 40)
    }
    page = first["README.md"].decode()
    assert r"muose\|x" in page and r"a \<b\> \| c" in page
    with (out / "names.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["better"] == "mouse|x"
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UpstreamReportError, match=r"mine\.txt"):
        write_report(report, out, "x", "y")
    with pytest.raises(UpstreamReportError, match="is a file"):
        write_report(report, Path(out / "mine.txt"), "x", "y")
