"""2 GB and 100,000 files through each store: they come back whole, and memory stays flat."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from podium.artifacts.errors import ArtifactError
from podium.artifacts.manifest import Manifest
from podium.artifacts.settings import DirectorySettings
from podium.artifacts.store import ArtifactStore
from tests.long.memory import PEAK_MB
from tests.unit.artifacts.s3 import S3Server

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

LIMIT_MB = 300
"""Of one process: 40 are Python and obstore, 64 the pieces under way, and 50 an index of 100,000."""

PROGRAM = """
import json, sys
from pathlib import Path
from podium.artifacts.manifest import Manifest
from podium.artifacts.pack import Source, store_artifact
from podium.artifacts.settings import DirectorySettings, S3Settings, StaticKeys
from podium.artifacts.store import ArtifactStore
from podium.artifacts.unpack import Unpacking

way, kind, place, base = sys.argv[1:]
base = Path(base)
if kind == "s3":
    given = json.loads(place)
    settings = S3Settings(given["bucket"], StaticKeys(*given["keys"]), endpoint=given["endpoint"])
else:
    settings = DirectorySettings(Path(place))
with ArtifactStore(settings) as store:
    if way == "up":
        source = base / "source"
        path = "large" if (source / "large").exists() else ""
        made = store_artifact(store, "f", "f", Source(source, path, "source"))
        store.commit(Manifest("u", "n", "n-1", {"f": made}))
    else:
        (base / "target").mkdir()
        artifact = store.manifest("u", "n", "n-1").artifacts["f"]
        with Unpacking(base / "target") as unpacking:
            unpacking.add(store, artifact, "f")
print(peak_mb())
"""


def large(source):
    with (source / "large").open("wb") as file:
        for number in range(2000):
            part = hashlib.shake_128(str(number).encode()).digest(1 << 10)
            file.write(part * 1000)


def many(source):
    for number in range(100_000):
        if number % 1000 == 0:
            directory = source / str(number)
            directory.mkdir()
        (directory / str(number)).write_bytes(b"%d " % number * (number % 50))


def digest(path):
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    count = 0
    for each in sorted(path.rglob("*")):
        if each.is_file():
            count += 1
            whole.update(f"{each.relative_to(path)} {each.stat().st_mode}\n".encode())
            whole.update(each.read_bytes())
    return count, whole.hexdigest()


@pytest.mark.parametrize("kind", ["directory", "s3"])
@pytest.mark.parametrize("make", [large, many])
def test_much_comes_back_and_memory_stays_flat(tmp_path, kind, make):
    (tmp_path / "source").mkdir()
    make(tmp_path / "source")
    place = str(tmp_path / "store")
    server = None
    if kind == "s3":
        server = S3Server(tmp_path / "buckets")
        server.start()
        settings = server.bucket("artifacts")
        keys = settings.credentials
        place = json.dumps(
            {
                "bucket": settings.bucket,
                "endpoint": settings.endpoint,
                "keys": [keys.access_key_id, keys.secret_access_key],
            }
        )
    try:
        for way in ("up", "down"):
            peak = run(way, kind, place, tmp_path)
            print(f"{make.__name__}, {kind}, {way}: {peak} MB")
            assert peak < LIMIT_MB
    finally:
        if server is not None:
            server.kill()
    source, target = tmp_path / "source", tmp_path / "target/f"
    if make is large:
        assert target.stat().st_size == 2000 * 1024 * 1000
        assert digest(source / "large") == digest(target)
    else:
        assert digest(source) == digest(target)
        assert digest(target)[0] == 100_000


def run(way, kind, place, base: Path):
    done = subprocess.run(
        [sys.executable, "-c", PEAK_MB + PROGRAM, way, kind, place, str(base)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_full_disk_is_said_and_keeps_what_is_there(tmp_path):
    """A small one of its own: needs root, as the rest of `make test-long` does."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "podium-test", place], check=True)
    try:
        with ArtifactStore(DirectorySettings(place / "store", is_durable=True)) as store:
            kept = store.put([b"hello"])
            with pytest.raises(ArtifactError, match="it is full: make room") as caught:
                store.put([os.urandom(30 << 20)])
            assert caught.value.is_retryable
            assert b"".join(store.read(kept)) == b"hello"
            (found,) = (place / "store" / "blobs").rglob("?" * 64)
            assert found.name == kept.digest, "nothing of the other stays"
            assert store.commit(Manifest("u", "n", "n-1"))
    finally:
        subprocess.run(["umount", place], check=True)
