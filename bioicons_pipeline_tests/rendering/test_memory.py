"""Peak memory stays under 1 GiB, however many icons and however large they are drawn."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MANY = """
import json, sys, threading, time
from pathlib import Path
from bioicons_pipeline.rendering import RenderSettings, render_many
from bioicons_pipeline_tests.rendering.hostile import svg

def used(process):
    pages = Path(f"/proc/{process}/smaps_rollup").read_text().split("Pss:")[1].split()[0]
    return int(pages)

def family(process):
    children = Path(f"/proc/{process}/task").glob("*/children")
    found = [child for file in children for child in file.read_text().split()]
    return [process, *(kin for child in found for kin in family(child))]

def watch():
    while not stop.is_set():
        try:
            peak.append(sum(used(process) for process in family("self")))
        except (OSError, IndexError):
            pass  # one of them just ended
        time.sleep(0.2)

def icons(count):
    for n in range(count):
        circles = (f'<circle cx="{(n * 7 + k) % 97}" cy="{k}" r="9" fill="#{k:02x}4080"/>' for k in range(80))
        yield str(n), svg(f"<desc>{n}{'x' * 20_000}</desc>{''.join(circles)}").encode()

peak, stop = [], threading.Event()
thread = threading.Thread(target=watch)
thread.start()
drawn = sum(r.png is not None for r in render_many(icons(COUNT), RenderSettings(size=SIZE), workers=2))
stop.set()
thread.join()
print(json.dumps({"drawn": drawn, "peak_mib": max(peak) / 1024, "looks": len(peak)}))
"""


def peak(count: int, size: int) -> dict:
    """Proportional set size (MiB) of the caller and its workers together, at its highest."""
    code = MANY.replace("COUNT", str(count)).replace("SIZE", str(size))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=580,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_stream_of_icons_needs_no_more_memory_than_a_few():
    few, many = peak(60, 1024), peak(900, 1024)
    print(few, many)
    assert (few["drawn"], many["drawn"]) == (60, 900)
    assert many["looks"] > 20
    assert many["peak_mib"] < 1024
    assert many["peak_mib"] < few["peak_mib"] + 120
