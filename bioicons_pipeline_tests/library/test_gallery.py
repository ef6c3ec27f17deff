"""The gallery: every icon is shown, nothing of it runs, filters work in a real browser."""

import re
import subprocess

import pytest

from bioicons_pipeline.library.gallery import GalleryError, page_name, write_gallery
from bioicons_pipeline_tests.library.library_of import BEAKER, FISH, LEAF, STAR, drawing, manifest_of

EVIL = '"><img src=x onerror="document.title=`pwned`"><script>document.title=`pwned`<'
FILES = {
    "cc-0/Animals/Bo/fish-red.svg": drawing(FISH, "#c33"),
    "cc-0/Animals/Bo/fish-blue.svg": drawing(FISH, "#33c"),
    f"cc-by-4.0/Animals/{EVIL.replace('/', '')}/{EVIL.replace('/', '')}.svg": drawing(STAR),
    "None/Animals/Cy/leaf.svg": drawing(LEAF),
    "cc-0/Animals & Co_<b>/Bo/beaker.svg": drawing(BEAKER),
}


@pytest.fixture
def gallery(tmp_path):
    df = manifest_of(FILES, authors={"Bo": "https://bo.example/?a=1&b=2", "Cy": "javascript:alert(1)"})
    from bioicons_pipeline_tests.library.drawings import icon_of, probe_of

    pngs = {icon_of(path, data).svg_sha256: probe_of(data).png for path, data in FILES.items()}
    pngs[next(iter(df.loc[df["name"] == "beaker", "sha256"]))] = b"<svg onload=alert(1)>"  # no PNG: not shown
    index = write_gallery(df, pngs, tmp_path / "gallery", captions={df["icon_id"][0]: "a <i>caption</i>"})
    return index.parent


def test_the_folder_is_self_contained_and_escaped(gallery):
    pages = {page.name: page.read_text() for page in gallery.glob("*.html")}
    assert set(pages) == {"index.html", "families.html", page_name("Animals"), page_name("Animals & Co_<b>")}
    assert len(list((gallery / "png").iterdir())) == 4
    for name, page in pages.items():
        assert "<img src=x" not in page, name
        assert len(re.findall(r"<script", page)) == 1, name
        assert "<i>" not in page
        assert "<b>" not in page
        assert "<svg" not in page.lower()
        assert 'href="javascript' not in page.lower()
        loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', page)
        assert all((gallery / target).is_file() for target in loaded), name
        assert "default-src 'none'" in page
    animals = pages[page_name("Animals")]
    assert animals.count("<article") == 4
    assert "https://bo.example/?a=1&amp;b=2" in animals
    assert "unlicensed" in animals
    assert "a &lt;i&gt;caption&lt;/i&gt;" in animals
    assert "2 icons" in pages["families.html"]


def test_a_curators_caption_wins_over_the_one_of_the_last_run(tmp_path):
    from bioicons_pipeline.library.curation import Curation

    path = "cc-0/Animals/Bo/fish-red.svg"
    said = {
        "icon": path,
        "action": "caption",
        "value": "a curator's words",
        "reason": "better",
        "reviewer": "r",
    }
    df = manifest_of(FILES, curation=Curation.model_validate({"decisions": [said]}))
    write_gallery(df, {}, tmp_path / "gallery", captions=dict.fromkeys(df["icon_id"], "the grammar's words"))
    page = (tmp_path / "gallery" / page_name("Animals")).read_text()
    assert "curator&#x27;s words" in page and "the grammar&#x27;s words" in page  # of the others


def test_only_a_gallery_is_replaced(gallery, tmp_path):
    (gallery / "stale.html").write_text("old")
    write_gallery(manifest_of(FILES), {}, gallery)
    assert not (gallery / "stale.html").exists()
    assert not list(tmp_path.glob(".gallery-*"))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("!")
    with pytest.raises(GalleryError, match="is no gallery"):
        write_gallery(manifest_of(FILES), {}, precious)
    assert (precious / "thesis.txt").read_text() == "!"

    def fails(_sha256):
        raise OSError(28, "No space left on device")

    with pytest.raises(GalleryError, match="No space left"):
        write_gallery(manifest_of(FILES), fails, gallery)
    assert (gallery / "index.html").is_file()
    assert not list(tmp_path.glob(".gallery-*"))


def dom(chromium: str, address: str, profile) -> str:
    """The page after its script ran, as the browser holds it."""
    done = subprocess.run(
        [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
         "--virtual-time-budget=3000", "--dump-dom", address],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.decode()


def visible(page: str) -> list[str]:
    cards = re.findall(r"<article ([^>]*)>", page)
    return [
        re.search(r'data-text="([^"]*)"', card)[1].split(" ")[0] for card in cards if "hidden" not in card
    ]


@pytest.mark.chromium
def test_filters_work_and_nothing_foreign_runs_in_a_browser(gallery, chromium, tmp_path):
    page = (gallery / page_name("Animals")).as_uri()
    shown = dom(chromium, page, tmp_path / "profile")
    assert len(visible(shown)) == 4
    assert "4 of 4 icons" in shown
    assert "<title>Animals - bioicons gallery</title>" in shown
    assert "pwned" not in re.search(r"<title>(.*?)</title>", shown)[1]
    assert visible(dom(chromium, f"{page}#state=dropped", tmp_path / "profile")) == ["leaf"]
    assert visible(dom(chromium, f"{page}#state=unlicensed", tmp_path / "profile")) == ["leaf"]
    filtered = dom(chromium, f"{page}#text=FISH+blue&author=Bo", tmp_path / "profile")
    assert visible(filtered) == ["fish-blue"]
    assert "1 of 4 icons" in filtered
    families = dom(chromium, (gallery / "families.html").as_uri() + "#text=nothing", tmp_path / "profile")
    assert "0 of 2 icons" in families
    assert re.search(r"<section [^>]*hidden", families)
