"""The dataset card: the README.md that the hub shows, with its YAML front matter.

Follows https://huggingface.co/docs/hub/datasets-cards. Every figure on the card comes from the facts
that `dataset.json` also holds; nothing is written here that is not measured or declared there.
"""

import re

import yaml

_HUB_LICENCES = {
    "CC0-1.0": "cc0-1.0",
    "CC-BY-3.0": "cc-by-3.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-3.0": "cc-by-sa-3.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "MIT": "mit",
    "BSD-3-Clause": "bsd-3-clause",
    "BSD-2-Clause": "bsd-2-clause",
}


def front_matter(facts: dict) -> str:
    """The YAML block between `---` lines: licences, tags, splits and their files."""
    licences = sorted({_HUB_LICENCES.get(spdx, "other") for spdx in facts["licence_mix"]})
    block = {
        "pretty_name": facts["title"],
        "license": licences or ["other"],
        "task_categories": ["text-to-image"],
        "tags": ["bioicons", "scientific-illustration", "icons", "svg"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"}
                    for split, count in facts["splits"].items()
                    if count
                ],
            }
        ],
    }
    return f"---\n{yaml.safe_dump(block, sort_keys=False, allow_unicode=True)}---\n"


def _table(title: str, counts: dict[str, int], limit: int = 20) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"| {title} | icons |", "|---|---:|", *(f"| {_cell(k)} | {v} |" for k, v in ordered[:limit])]
    if len(ordered) > limit:
        lines.append(f"| {len(ordered) - limit} more | {sum(v for _, v in ordered[limit:])} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """`text` as one cell of a Markdown table; names come from strangers."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", re.sub(r"\s+", " ", text))


def _obligations(phrases: list[str]) -> str:
    """What the licences ask of whoever passes the icons on, as a list."""
    if not phrases:
        return "The licences here ask nothing of whoever passes the icons on."
    return "Who passes these icons on must:\n\n" + "\n".join(f"- {phrase}" for phrase in phrases)


def _shares(shares: dict[str, float], limit: int = 5) -> str:
    """The authors with the largest shares of draws, as a list."""
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return "\n".join(f"- {_cell(name)}: {share:.1%}" for name, share in ordered) or "- no training icons"


def card_markdown(facts: dict) -> str:
    """The whole card, Markdown with front matter, from the facts of `dataset.json`."""
    date = f" of {facts['committed_at'][:10]}" if facts["committed_at"] else ""
    return f"""{front_matter(facts)}
# {facts["title"]}

{facts["icons"]} scientific icons in {facts["families"]} families of look-alikes,
{facts["splits"]["train"]} to train on and {facts["splits"]["heldout"]} held out,
each with captions, author, licence and a link to its source.
A family is never on both sides of the split.

| made from | |
|---|---|
| source | {facts["source_url"]} |
| upstream state | `{facts["commit"]}`{date} |
| licence preset | `{facts["licence_preset"]}` |
| pictures | PNG, {facts["render_size"]} px square, on white |
| captions | grammar version {facts["grammar_version"]}, trigger "{facts["trigger"]}" |
| made with | {facts["made_with"]} |

## Licences and credits

Each icon keeps the licence its author gave it: the column `spdx` and the file `ATTRIBUTION.md` (also
`.csv`) name it, with author, source and what was changed. Keep those files and `LICENSES/` with any copy.

{_obligations(facts["obligations"])}

{_table("licence", facts["licence_mix"])}

{_table("category", facts["categories"])}

{_table("author", facts["authors"])}

## Sampling

`sampling_weights.csv` says how often to draw each training icon, so that one author does not become the
style: a family of look-alikes counts once, and no author has more than
{facts["sampling"]["author_cap"]:.0%} of the draws. No family is drawn more than
{facts["sampling"]["family_limit"]:g} times as often as its even share, so that the few icons of the other
authors are not learnt by heart. The largest shares:

{_shares(facts["sampling"]["author_share"])}

## Known limits

Captions come from file names, corrected by hand tables, and can be poor or wrong. Authors are unevenly
represented: see the table.
Licences are those of the upstream folders; an author's mistake there is a mistake here.

## How to cite

Cite the authors in `ATTRIBUTION.md`, and the library: bioicons, {facts["source_url"]}, commit
`{facts["commit"]}`.
"""
