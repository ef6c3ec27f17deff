"""Keeping other libraries' bars and notices off the user's terminal.

Belongs here: that, for the libraries that models are loaded with. Errors still show.
"""

import warnings


def quieten_libraries() -> None:
    """Call after importing torch is wanted anyway: it imports diffusers' and transformers' logging."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    # `torch_dtype` is `dtype` in the newest diffusers and unknown under that name in older ones
    warnings.filterwarnings("ignore", category=FutureWarning)
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
