"""The command line: finds the verb, and says what went wrong in a line."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from diswm.contract import DiswmError, plain
from diswm.data.disk import FULL
from diswm.verbs import INTERRUPTED, VERBS, run

_FULL_WARNING = warnings.formatwarning
MENDABLE = (
    *(*FULL, errno.EFBIG, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
)
"""What the system refuses for reasons that lie in the disk or in a path; anything else would be a bug of ours."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb. Returns the exit code: 0; 1 where `doctor` or `data info` finds damage, or `gallery` cannot draw a world that was named;
    2 for what the user can mend; 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if args[0] in ("-V", "--version"):
        from diswm import __version__

        print(f"diswm {__version__}")
        return 0
    warnings.formatwarning = _in_a_line
    if argv is None:
        atexit.register(gc.freeze)  # else Python looks for garbage in all that it drops: seconds, where a simulator and PyTorch are loaded
    try:
        return run(args[0], args[1:])
    except DiswmError as error:
        print(f"diswm: error: {plain(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `diswm ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        print(f"diswm: error: {error.filename or 'a file'}: {error.strerror}. Nothing that was there before is lost.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("diswm: broken off; what was saved before is whole, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED


def _in_a_line(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """A warning of ours without the place in the code that says it; those of others as ever."""
    ours = Path(filename).is_relative_to(Path(__file__).parent)
    return f"diswm: {message}\n" if ours else _FULL_WARNING(message, category, filename, lineno, line)


def _overview() -> str:
    rows = "\n".join(f"  {verb:<17} {about}" for verb, about in VERBS.items())
    about = "Learn what can vary from distracting videos, and act."
    return f"usage: diswm VERB [options]\n\n{about}\n\n{rows}\n\n`diswm VERB --help` shows every option."


if __name__ == "__main__":
    sys.exit(main())
