"""What holds for every test."""

import signal

# A shell that starts a command in the background without job control has it ignore SIGINT, nohup
# SIGHUP, and both are inherited: the programs under test would be deaf to what the tests send them.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)
