"""Keeping other libraries' bars and notices off the user's terminal.

Belongs here: that, for the libraries that models are loaded with. Errors still show.
"""

import logging
import warnings

TALKATIVE = ("torchao", "torch.utils._pytree", "bitsandbytes.backends.cpu.ops")
"""Loggers that warn, while they are imported, of kernels for other machines: nothing that a user can mend."""


def quieten_libraries() -> None:
    """Call when importing torch is wanted anyway, before transformers or diffusers are: it imports their
    logging."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    # `torch_dtype` is `dtype` in the newest diffusers and unknown under that name in older ones
    warnings.filterwarnings("ignore", category=FutureWarning)
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
