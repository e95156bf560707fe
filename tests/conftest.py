"""For every test: signal dispositions that do not depend on who started pytest.

A shell that runs `pytest &` without job control leaves SIGINT and SIGQUIT ignored in it, and so in
every program it starts: ^C would then end nothing, natively or otherwise.
"""

import signal

for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        _default = signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL
        signal.signal(_number, _default)
