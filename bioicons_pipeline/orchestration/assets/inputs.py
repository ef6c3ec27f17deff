"""What the pipeline starts from, as observed assets: upstream, and the inputs that people edit.

An observation reports a version and builds nothing; what depends on the input follows when its version moved.
Upstream is observed by the clock, the others by a sensor that sees an edit within a minute (automation).
"""

from collections.abc import Callable

import dagster as dg

from bioicons_pipeline.orchestration.looks import DATASET, LIBRARY, MODEL, input_spec, upstream_link
from bioicons_pipeline.orchestration.reporting import user_errors
from bioicons_pipeline.orchestration.resources import ArtifactStore, Base, UpstreamLibrary


def _observed(
    name: str, kind: str, first_used_in: str, description: str
) -> Callable[[Callable[..., dg.ObserveResult]], dg.AssetsDefinition]:
    """An observed asset. By the decorator for several, since the one for one takes no owners."""
    return dg.multi_observable_source_asset(specs=[input_spec(name, kind, first_used_in, description)])


@_observed(
    "bioicons_upstream",
    "git",
    LIBRARY,
    "The upstream library as it is now; its version is git's hash of the tree static/icons.",
)
def bioicons_upstream(
    context: dg.OpExecutionContext, artifacts: ArtifactStore, upstream: UpstreamLibrary
) -> dg.ObserveResult:
    """The upstream library as it is now: its version is git's hash of the tree `static/icons`.

    A remote that does not answer is asked again after growing pauses; then the observation fails, and changes
    nothing.
    """
    from bioicons_pipeline.orchestration.stages import inputs

    with user_errors():
        seen = inputs.upstream_version(
            upstream.source, upstream.ref or None, artifacts.cache, report=context.log.warning
        )
    return dg.ObserveResult(
        data_version=dg.DataVersion(seen.version),
        metadata={"upstream commit": upstream_link(seen.commit, seen.source_url), "source": seen.source_url},
    )


@_observed("curation_rules", "yaml", LIBRARY, "What a curator decided icon by icon: the curation file.")
def curation_rules(upstream: UpstreamLibrary) -> dg.ObserveResult:
    """What a curator decided icon by icon: the curation file."""
    from bioicons_pipeline.orchestration.stages import inputs

    with user_errors():
        version = inputs.curation_version(upstream.curation)
    return dg.ObserveResult(
        data_version=dg.DataVersion(version), metadata={"file": upstream.curation or "the packaged one"}
    )


@_observed("licence_preset", "spdx", LIBRARY, "Which licences may be trained on.")
def licence_preset(upstream: UpstreamLibrary) -> dg.ObserveResult:
    """Which licences may be trained on."""
    from bioicons_pipeline.orchestration.stages import inputs

    with user_errors():
        version = inputs.licence_version(upstream.licence_preset)
    return dg.ObserveResult(
        data_version=dg.DataVersion(version), metadata={"preset": upstream.licence_preset}
    )


@_observed("render_size", "png", DATASET, "The size that pictures are drawn at.")
def render_size(upstream: UpstreamLibrary) -> dg.ObserveResult:
    """The size that pictures are drawn at."""
    from bioicons_pipeline.orchestration.stages import inputs

    return dg.ObserveResult(
        data_version=dg.DataVersion(inputs.render_size_version(upstream.render_size)),
        metadata={"size (px)": upstream.render_size},
    )


@_observed(
    "caption_tables",
    "csv",
    DATASET,
    "The hand tables that captions are made with, and the grammar that reads them.",
)
def caption_tables() -> dg.ObserveResult:
    """The hand tables that captions are made with, and the grammar that reads them."""
    from bioicons_pipeline.orchestration.stages import inputs

    return dg.ObserveResult(data_version=dg.DataVersion(inputs.tables_version()))


@_observed("base_model", "pytorch", MODEL, "The base model that LoRAs are trained on.")
def base_model(base: Base) -> dg.ObserveResult:
    """The base model that LoRAs are trained on."""
    from bioicons_pipeline.orchestration.stages import inputs

    return dg.ObserveResult(
        data_version=dg.DataVersion(inputs.base_version(base.name)), metadata={"base": base.name}
    )


def edited_versions(upstream: UpstreamLibrary, base: Base) -> dict[str, str]:
    """Asset → version, of the inputs that people edit, read from files alone.

    Raises:
        BioiconsError: one of them cannot be read; says which and why.
    """
    from bioicons_pipeline.orchestration.stages import inputs

    return {
        "curation_rules": inputs.curation_version(upstream.curation),
        "licence_preset": inputs.licence_version(upstream.licence_preset),
        "render_size": inputs.render_size_version(upstream.render_size),
        "caption_tables": inputs.tables_version(),
        "base_model": inputs.base_version(base.name),
    }


OBSERVED = [bioicons_upstream, curation_rules, licence_preset, render_size, caption_tables, base_model]
