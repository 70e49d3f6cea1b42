"""What the command's exit codes mean."""

from typing import Final

__all__ = ["BACKEND_FAILURE", "INTERRUPTED", "PROBLEM", "USAGE"]

PROBLEM: Final = 1
USAGE: Final = 2
BACKEND_FAILURE: Final = 3
INTERRUPTED: Final = 130  # as shells have it: 128 and the number of the signal
