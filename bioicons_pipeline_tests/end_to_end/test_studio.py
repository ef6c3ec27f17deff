"""The studio in a real browser: look, draw with flux-nano, choose, take home; and a door that is shut."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from bioicons_pipeline.generation.carriers import read_card
from bioicons_pipeline.rendering import RenderSettings, render_one
from bioicons_pipeline_tests.end_to_end.conftest import bioicons
from bioicons_pipeline_tests.end_to_end.test_bad_input import refused

pytestmark = [pytest.mark.bundle, pytest.mark.git]
PATIENCE = 120_000


@contextmanager
def opened(data, out, *arguments, **environment):
    """The address of a running studio; Ctrl-C closes it at the end, and that must work."""
    command = [sys.executable, "-m", "bioicons_pipeline.cli", "studio", "--out", str(out), *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"BIOICONS_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"} | environment,
    )
    lines: queue.Queue[str] = queue.Queue()
    said: list[str] = []

    def read():
        for line in process.stdout:
            said.append(line)
            lines.put(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        line, ends = "", time.monotonic() + 120
        while "open at" not in line:
            assert process.poll() is None, "".join(said)
            line = lines.get(timeout=max(1, ends - time.monotonic()))
        yield line.split("open at ")[1].split()[0]
        process.send_signal(signal.SIGINT)
        process.wait(60)
        reader.join(10)
        assert "Traceback" not in "".join(said), "".join(said)
    finally:
        process.kill()


@pytest.mark.chromium
def test_look_draw_choose_download(finished, tmp_path, browser):
    data, _, _ = finished
    rows = json.loads(bioicons("manifest", "--category", "Animals", "--format", "json", data=data).stdout)
    name = next(row["name"] for row in rows if row["included"])
    out = tmp_path / "icons"
    with opened(data, out, "--base", "flux-nano") as address:
        page = browser.new_context(accept_downloads=True).new_page()
        asked: set[str] = set()
        errors: list[str] = []
        page.on("request", lambda request: asked.add(urlsplit(request.url).hostname or "inside"))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.locator("#words textarea, #words input").fill(name)
        page.locator("#search").click()
        icons = page.locator("#found-icons button.thumbnail-item")
        expect(icons.first).to_be_visible(timeout=PATIENCE)
        icons.first.click()
        credit = page.locator("#found-credit textarea")
        expect(credit).to_have_value(re.compile("licensed under"), timeout=PATIENCE)
        with page.expect_download(timeout=PATIENCE) as download:
            page.locator("#found-svg").click()
        assert render_one(download.value.path().read_bytes(), RenderSettings(size=64)).png

        page.locator("#words textarea, #words input").fill("a red apple")
        page.locator("#seed input").fill("5")
        page.locator("#draw").click()
        drawn = page.locator("#drawn-icons button.thumbnail-item")
        expect(drawn).to_have_count(4, timeout=PATIENCE)
        drawn.nth(1).click()
        expect(page.locator("#drawn-choice")).to_contain_text("AI-generated, not reviewed", timeout=PATIENCE)
        for kind in ("png", "svg", "card"):
            with page.expect_download(timeout=PATIENCE) as download:
                page.locator(f"#drawn-{kind}").click()
            suffix = ".json" if kind == "card" else f".{kind}"
            content = download.value.path().read_bytes()
            assert download.value.suggested_filename.endswith(suffix)
            assert read_card(content, suffix).seed == 6
            if kind == "svg":
                assert render_one(content, RenderSettings(size=64)).png
        assert len(list(out.glob("a-red-apple-*.json"))) == 4

        page.locator("#words textarea, #words input").fill("a green leaf")
        page.locator("#draw").click()
        expect(page.locator("#drawn-words")).to_contain_text("steps", timeout=PATIENCE)  # it samples
        page.locator("#stop").click()
        page.locator("#words textarea, #words input").fill("a blue fish")
        page.locator("#draw").click()
        ends = time.monotonic() + PATIENCE / 1000
        while len(list(out.glob("a-blue-fish-*.json"))) < 4:  # the page still says what was drawn before
            assert time.monotonic() < ends and "Error" not in page.locator("#drawn-words").inner_text()
            page.wait_for_timeout(100)
        expect(page.locator("#drawn-words")).to_contain_text("4 icons drawn", timeout=PATIENCE)
        assert not list(out.glob("a-green-leaf-*"))

        page.locator("#words textarea, #words input").fill("")
        page.locator("#draw").click()
        expect(page.locator("#drawn-words")).to_contain_text("prompt is empty", timeout=PATIENCE)
        assert asked <= {"127.0.0.1", "inside"}, asked
        assert not errors


@pytest.mark.chromium
def test_no_library_and_no_model_are_said_on_the_page(tmp_path, browser):
    with opened(tmp_path / "data", tmp_path / "icons", "--base", str(tmp_path / "none")) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("body")).to_contain_text("There is no model to draw with", timeout=PATIENCE)
        page.locator("#words textarea, #words input").fill("mast cell")
        page.locator("#search").click()
        expect(page.locator("#found-words")).to_contain_text("no library here yet", timeout=PATIENCE)
        page.locator("#draw").click()
        expect(page.locator("#drawn-words")).to_contain_text("⚠️", timeout=PATIENCE)


def test_other_machines_need_a_password(tmp_path):
    closed = bioicons("studio", "--host", "0.0.0.0", data=tmp_path)
    refused(closed, "needs a password", "BIOICONS_STUDIO_PASSWORD")
    with opened(tmp_path, tmp_path / "icons", BIOICONS_STUDIO_PASSWORD="correct horse") as address:
        with pytest.raises(urllib.error.HTTPError) as denied:
            urllib.request.urlopen(f"{address}config", timeout=30)
        assert denied.value.code == 401
        for password, status in (("wrong horse", 400), ("correct horse", 200)):
            form = f"username=ann&password={password.replace(' ', '+')}".encode()
            try:
                answer = urllib.request.urlopen(f"{address}login", data=form, timeout=30)
                assert json.load(answer)["success"] and status == 200
            except urllib.error.HTTPError as error:
                assert error.code == status
