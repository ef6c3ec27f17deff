"""Which prompts the sample grid shows.

The fifteen subjects that the project's earlier attempt was looked at with, so that grids stay
comparable, after captions of held-out icons, whose real drawing can stand beside the generated one.
"""

DEFAULT_SUBJECTS = (
    "a jellyfish",
    "a dinosaur skull",
    "a neuron",
    "a virus particle",
    "a leaf cross section",
    "a snail",
    "a bat",
    "a deep sea fish",
    "a frog",
    "a crab",
    "a beetle",
    "a bird",
    "a lion",
    "a turtle",
    "a butterfly",
)
