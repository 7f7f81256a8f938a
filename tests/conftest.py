"""What holds for every test."""

import signal

from hypothesis import HealthCheck, settings

# How long anything takes says nothing on a machine that others use, too.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# A shell that starts a command in the background without job control has it ignore SIGINT, nohup
# SIGHUP, and both are inherited: the programs under test would be deaf to what the tests send them.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)


def pytest_make_parametrize_id(val, argname):
    """Name a long value by its length: workers hand each other the ids of all tests."""
    return f"{argname}-{len(val)}" if isinstance(val, str | bytes) and len(val) > 300 else None
