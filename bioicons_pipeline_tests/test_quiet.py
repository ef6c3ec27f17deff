"""Notices of libraries about kernels for other machines stay off the terminal; their errors do not."""

import subprocess
import sys

PROGRAM = """
import contextlib, logging
from bioicons_pipeline.quiet import quieten_libraries
quieten_libraries()
with contextlib.suppress(ImportError):  # warns on a CPU with AVX512-BF16
    import bitsandbytes.backends.cpu.ops
log = logging.getLogger("bitsandbytes.backends.cpu.ops")
log.warning("Failed to load CPU gemm_4bit_forward: pip install kernels")
log.error("this is a fault")
"""


def test_bitsandbytes_advertises_no_kernels_and_may_still_fail_aloud():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "kernels" not in done.stderr and "this is a fault" in done.stderr
