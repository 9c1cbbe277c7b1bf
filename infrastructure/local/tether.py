"""Replaces itself by a command that the kernel ends when the process which started it dies.

Run as a file with the parent's pid and the command: ``python -I -S tether.py PID COMMAND...``. It is a
program of its own because code between fork and exec is not safe in a process that has threads.
The tie holds to the thread that starts it (prctl(2), PR_SET_PDEATHSIG), so that must be the main one.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent where the system can, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent has gone")
    try:
        os.execvp(command[0], command)
    except OSError as exc:
        sys.exit(f"{command[0]}: {exc.strerror}")


if __name__ == "__main__":
    main()
