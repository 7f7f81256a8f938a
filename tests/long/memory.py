"""What a process took at most, as it says itself at its end."""

PEAK_MB = """
import re
from pathlib import Path
def peak_mb():
    # Not ru_maxrss: a process inherits that of the one that started it, here of all tests so far.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
"""
"""The beginning of a program; `peak_mb()` returns megabytes."""
