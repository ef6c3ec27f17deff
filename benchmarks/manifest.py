"""The manifest of a whole library: seconds cold and warm, agreement with people, and what a replay touches.

Usage: python benchmarks/manifest.py SOURCE [REF ...] [--out benchmarks/results/manifest.json]

SOURCE is a git URL, folder or bundle; REFS are replayed in order, the last is measured cold and warm. Cold
starts with empty caches; warm is the same call again. `touched` are icons whose bytes were not in any state
before: fetched, probed and measured; `pairs_compared` are pairs of drawings with a new one among them;
`rows_changed` are manifest rows that differ apart from their permalink.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

from bioicons_pipeline.library.authors import read_authors
from bioicons_pipeline.library.curation import CurationRules, load_curation
from bioicons_pipeline.library.licences import policy_for
from bioicons_pipeline.library.manifest import build_manifest
from bioicons_pipeline.library.measures import measure_all
from bioicons_pipeline.library.pairs import Pairs
from bioicons_pipeline.library.records import IconSource, Probe
from bioicons_pipeline.library.schema import validate_manifest
from bioicons_pipeline.library.source import fetch
from bioicons_pipeline.rendering import RenderCache, probe_many


class CountingCache(RenderCache):
    """The renderer's cache, counting what it did not have."""

    misses = 0

    def get(self, key: str):
        """What is stored under `key`, or None."""
        found = super().get(key)
        type(self).misses += found is None
        return found


def run(source: str, ref: str | None, cache: Path, previous: dict | None = None):
    """One manifest from source to table; returns it, the seconds of each stage, and the pairs compared."""
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal started
        seconds[stage] = round(time.perf_counter() - started, 3)
        started = time.perf_counter()

    tree = fetch(source, ref, cache / "git")
    lap("fetch")
    data = {path: svg for path, svg in tree.read_all() if path.lower().endswith(".svg")}
    icons = [IconSource(path, hashlib.sha256(svg).hexdigest(), len(svg)) for path, svg in data.items()]
    lap("read")
    svgs = {icon.svg_sha256: data[icon.path] for icon in icons}
    probes = {
        result.key: Probe(result.key, result.png, result.svg, result.refusal, result.report)
        for result in probe_many(svgs.items(), cache=CountingCache(cache / "renderings"))
    }
    lap("probe")
    measures = measure_all(icons, probes, cache / "measures")
    lap("measure")
    pairs = Pairs(cache / "pairs")
    df = build_manifest(
        icons,
        probes,
        policy=policy_for("attribution"),
        rules=CurationRules(),
        curation=load_curation(None),
        authors=read_authors(
            tree.read("authors.json") if "authors.json" in {e.path for e in tree.entries} else None
        ),
        permalink=tree.permalink,
        measures=measures,
        pairs=pairs,
        previous=previous,
    )
    validate_manifest(df, policy_for("attribution"))
    lap("build")
    seconds["total"] = round(sum(seconds.values()), 3)
    return df, seconds, pairs


def replay(source: str, refs: list[str], cache: Path) -> list[dict]:
    """Manifests of `refs` in order over one cache; what each touched."""
    seen: set[str] = set()
    before, pinned, steps = None, {}, []
    for ref in refs:
        CountingCache.misses = 0
        df, seconds, pairs = run(source, ref, cache, pinned)
        hashes = set(df["sha256"])
        rows = {
            r["icon_id"]: json.dumps(r, default=str) for r in df.drop(columns="source_url").to_dict("records")
        }
        steps.append(
            {
                "ref": ref,
                "icons": len(df),
                "included": int(df["included"].sum()),
                "families": int(df["family_id"].nunique()),
                "touched": len(hashes - seen),
                "probed": CountingCache.misses,
                "pairs_compared": pairs.measured,
                "pairs_possible": pairs.possible,
                "rows_new": len(rows.keys() - (before or {}).keys()),
                "rows_gone": len((before or {}).keys() - rows.keys()),
                "rows_changed": sum(rows[k] != before[k] for k in rows.keys() & before.keys())
                if before
                else 0,
                "categories_changed": _categories_changed(df, before, rows),
                "seconds": seconds,
            }
        )
        print(json.dumps(steps[-1]), flush=True)
        seen |= hashes
        before = rows
        pinned |= {r["icon_id"]: (r["family_id"], r["split"]) for r in df.to_dict("records")}
    return steps


def _categories_changed(df, before: dict | None, rows: dict) -> int:
    category = dict(zip(df["icon_id"], df["category"], strict=True))
    changed = {category[key] for key in rows if (before or {}).get(key) != rows[key]}
    gone = (
        {json.loads(before[key])["category"] for key in (before or {}).keys() - rows.keys()}
        if before
        else set()
    )
    return len(changed | gone)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("refs", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/manifest.json"))
    arguments = parser.parse_args()
    refs = arguments.refs or [None]
    with tempfile.TemporaryDirectory(prefix="bioicons-benchmark-") as scratch:
        df, cold, _ = run(arguments.source, refs[-1], Path(scratch) / "cold")
        again, warm, _ = run(arguments.source, refs[-1], Path(scratch) / "cold")
        assert df.equals(again), "the same input gave another manifest"
        reasons = {str(k): int(v) for k, v in df["exclusion_reason"].value_counts().items()}
        results = {
            "icons": len(df),
            "included": int(df["included"].sum()),
            "families": int(df["family_id"].nunique()),
            "excluded": reasons,
            "cores": os.cpu_count(),
            "load_1min": round(os.getloadavg()[0], 1),
            "cold_seconds": cold,
            "warm_seconds": warm,
            "replay": replay(arguments.source, refs, Path(scratch) / "replay"),
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({key: value for key, value in results.items() if key != "replay"}, indent=1))


if __name__ == "__main__":
    main()
