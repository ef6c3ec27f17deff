"""`python -m bioicons_pipeline.training.pretrain`: trains flux-nano from npm packages, writes its folder.

Belongs here: the command line. Run it again after an interruption: it goes on where it stopped. Its threads
spin while they wait for each other. `OMP_WAIT_POLICY=PASSIVE` in the environment keeps them from that: a step
of the autoencoder then takes 0.33 s, not 0.27, on two quiet cores, and 0.60, not 0.84, beside a busy process.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.training.pretrain.recipe import RECIPES


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write; returns the exit code (0 done, 2 the user can mend it, 130 interrupted)."""
    parser = argparse.ArgumentParser(
        prog="python -m bioicons_pipeline.training.pretrain",
        description="Train flux-nano, the small base, from scratch on openly licensed icon sets.",
    )
    parser.add_argument("--work", type=Path, default=Path("data/pretrain"), help="scratch folder; kept")
    parser.add_argument(
        "--out", type=Path, default=Path("data/pretrain/flux-nano"), help="folder of the model"
    )
    parser.add_argument(
        "--recipe",
        choices=sorted(RECIPES),
        default="cpu",
        help="cpu (default): about 100 minutes on two cores; long: twice that, what the package carries",
    )
    parser.add_argument(
        "--until",
        choices=("icons", "text", "autoencoder", "flow", "rewording", "widening"),
        help="stop after this stage",
    )
    parser.add_argument(
        "--on",
        type=Path,
        metavar="FOLDER",
        help="train only the last two stages, on a base that has the others",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    options = parser.parse_args(arguments)
    if options.on and options.until:
        parser.error("--on trains to the end: leave out --until")
    from bioicons_pipeline.training.pretrain.stages import train_all, train_on

    recipe, quiet = RECIPES[options.recipe], options.quiet
    try:
        trained = (
            train_on(recipe, options.work, options.on, quiet=quiet)
            if options.on
            else train_all(recipe, options.work, quiet=quiet, until=options.until)
        )
        if trained is not None:
            from bioicons_pipeline.training.pretrain.assemble import assemble

            print(assemble(trained, recipe, options.out))
    except BioiconsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
