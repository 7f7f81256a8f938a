"""What the artifact store takes for a large file: `python -m benchmarks.artifacts`.

The same file up and down by Podium's store, with a digest of each piece on both ways, and by its
library alone, without: over a directory, and over an S3 server of this machine with TLS. Each in a
process of its own, in turn; seconds of wall clock and of processor time, memory at most, and the
ratio of the medians. Contents are random and new for each pair: nothing of it is there already.
With `--shapes` what artifacts add to a Pod, on the test cluster, instead.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.unit.artifacts.s3 import KEYS, S3Server

MUST = 1.15
CHUNK = 8 << 20
AT_A_TIME = 4
SETTINGS = """
import json, resource, sys, time
from pathlib import Path
from podium.artifacts.backend import Backend
from podium.artifacts.settings import DirectorySettings, S3Settings, StaticKeys

place, file, key = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if "bucket" in place:
    place["credentials"] = StaticKeys(*place["credentials"])
    settings = S3Settings(**place)
else:
    settings = DirectorySettings(Path(place["path"]))
began = time.monotonic()
"""
END = """
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024]))
"""
PROGRAMS = {
    ("alone", "up"): f"""
from podium.artifacts.backend import Backend
store = Backend(settings)._store
store.put(key, file, use_multipart=True, chunk_size={CHUNK}, max_concurrency={AT_A_TIME})
""",
    ("alone", "down"): f"""
store = Backend(settings)._store
with file.with_suffix(".alone").open("wb") as target:
    for chunk in store.get(key).stream(min_chunk_size={CHUNK}):
        target.write(chunk)
""",
    ("podium", "up"): """
from podium.artifacts.manifest import Manifest
from podium.artifacts.pack import Source, store_artifact
from podium.artifacts.store import ArtifactStore
with ArtifactStore(settings) as store:
    made = store_artifact(store, "f", "f", Source(file.parent, file.name, file.name))
    store.commit(Manifest(key, "n", "n-1", {"f": made}))
""",
    ("podium", "down"): """
from podium.artifacts.store import ArtifactStore
from podium.artifacts.unpack import Unpacking
target = file.with_suffix(".podium")
target.mkdir()
with ArtifactStore(settings) as store, Unpacking(target) as unpacking:
    unpacking.add(store, store.manifest(key, "n", "n-1").artifacts["f"], "f")
""",
}


def say(text: str) -> None:
    """Print progress to standard error."""
    print(f"[{time.monotonic() - START:6.1f}s] {text}", file=sys.stderr, flush=True)


START = time.monotonic()


def make(path: Path, megabytes: int) -> None:
    """Write a file of random bytes, all the way to the disk."""
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())


def measure(side: str, way: str, place: dict[str, object], file: Path, key: str) -> list[float]:
    """Return seconds, seconds of processor time, and MB of one transfer."""
    code = SETTINGS + PROGRAMS[side, way] + END
    command = [sys.executable, "-c", code, json.dumps(place), str(file), key]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
    os.sync()  # what one writes must not wait for what another wrote
    found: list[float] = json.loads(done.stdout)
    return found


def compare(name: str, place: dict[str, object], base: Path, megabytes: int, pairs: int) -> bool:
    """Measure one store; return whether it is as fast as it must be."""
    times: dict[tuple[str, str], list[list[float]]] = {each: [] for each in PROGRAMS}
    for number in range(pairs):
        sides = ["alone", "podium"] if number % 2 else ["podium", "alone"]
        for side in sides:  # each a file of its own: what was read is in the page cache
            file = base / f"{side}{number}"
            make(file, megabytes)
            key = f"{side}{number}"
            for way in ("up", "down"):
                times[side, way].append(measure(side, way, place, file, key))
                say(f"{name}: {side} {way} {times[side, way][-1][0]:.1f} s")
            for path in base.glob(f"{file.name}*"):
                subprocess.run(["rm", "-rf", path], check=True)
    is_good = True
    for way in ("up", "down"):
        alone, ours = (
            [median(each[i] for each in times[side, way]) for i in range(3)]
            for side in ("alone", "podium")
        )
        ratio = ours[0] / alone[0]
        is_good &= ratio <= MUST
        print(
            f"{name:9} {way:4}  alone {alone[0]:5.1f} s (CPU {alone[1]:4.1f} s, {alone[2]:3.0f} MB)"
            f"  podium {ours[0]:5.1f} s (CPU {ours[1]:4.1f} s, {ours[2]:3.0f} MB)"
            f"  {ratio:.2f} {'' if ratio <= MUST else f'MISS: over {MUST}'}",
            flush=True,
        )
    return is_good


def main() -> int:
    """Measure each store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024, help="of the file")
    parser.add_argument("--pairs", type=int, default=3, help="of transfers, in turn")
    parser.add_argument("--shapes", type=int, nargs="?", const=5, help="measure Pods, so often")
    given = parser.parse_args()
    if given.shapes is not None:
        from benchmarks.artifact_shapes import measure as measure_shapes  # noqa: PLC0415

        measure_shapes(given.shapes)
        return 0
    with tempfile.TemporaryDirectory() as made:
        base = Path(made)
        files = base / "files"
        files.mkdir()
        good = compare(
            "directory", {"path": str(base / "store")}, files, given.megabytes, given.pairs
        )
        server = S3Server(base / "buckets", tls=True)
        server.start()
        try:
            server.bucket("artifacts")
            assert server.certificate is not None
            place = {
                "bucket": "artifacts",
                "credentials": [KEYS.access_key_id, KEYS.secret_access_key],
                "endpoint": server.endpoint,
                "certificate_authority": server.certificate.read_text(),
            }
            good &= compare("s3", place, files, given.megabytes, given.pairs)
        finally:
            server.kill()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
