"""Runs a program in a terminal of its own and prints what it shows there; an interrupt is typed as Ctrl-C.

Ends with the program's exit code.
"""

import os
import pty
import signal
import sys

CTRL_C = b"\x03"

child, terminal = pty.fork()
if child == 0:
    # A shell that starts something beside itself has it ignore interrupts; a terminal does not.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGINT, lambda *_: os.write(terminal, CTRL_C))
while True:
    try:
        shown = os.read(terminal, 4096)
    except OSError:
        # The program has closed its side.
        break
    if not shown:
        break
    os.write(sys.stdout.fileno(), shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
