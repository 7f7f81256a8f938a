"""What tests of artifacts share."""

import hashlib
import io
import os
import tarfile
import threading
import time
from pathlib import Path

import zstandard

from podium.api.artifact_rules import ArtifactType
from podium.artifacts.manifest import Artifact, Entry, Format, Manifest
from podium.artifacts.pack import Source, store_artifact
from podium.artifacts.settings import DirectorySettings
from podium.artifacts.store import ArtifactStore
from podium.artifacts.unpack import Unpacking


def directory_store(path, **more):
    return ArtifactStore(DirectorySettings(path), **more)


def store_directory(store, name, path, root, shown):
    return store_artifact(store, name, path, Source(root, "", shown), ArtifactType.DIRECTORY)


def store_file(store, name, path, root, shown):
    return store_artifact(store, name, path, Source(root, path, shown), ArtifactType.FILE)


def make(root: Path, files):
    """Make files by their paths; None: a directory."""
    root.mkdir(exist_ok=True)
    for path, contents in files.items():
        place = root / path
        if contents is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(contents)
    return root


def tree(root: Path):
    """Return what there is below a directory: modes, and contents of files."""
    found = {}
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        contents = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(root))] = (state.st_mode, contents)
    return found


def there_and_back(store, source, target, name="a", **more):
    artifact = store_directory(store, name, name, source, "source")
    manifest = Manifest.load(Manifest("u", "n", "n-1", {name: artifact}).dump(), "here")
    target.mkdir(exist_ok=True)
    with Unpacking(target, **more) as unpacking:
        unpacking.add(store, manifest.artifacts[name], name)
    return manifest.artifacts[name], target / name


def file_there_and_back(store, source, target, path="f"):
    artifact = store_file(store, "f", path, source, "source/f")
    target.mkdir(exist_ok=True)
    with Unpacking(target) as unpacking:
        unpacking.add(store, artifact, path)
    return artifact, target / path


def archive(*members, compress=True):
    """Make an archive of (TarInfo or path, contents), as someone else might have."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, contents in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if contents is not None:
                info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents or b""))
    data = made.getvalue()
    return zstandard.ZstdCompressor().compress(data) if compress else data


def link(path, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info


def directory(path):
    info = tarfile.TarInfo(path)
    info.type = tarfile.DIRTYPE
    return info


def as_artifact(store, data, *entries, kind=Format.TAR_ZSTD):
    """Store an archive, with a manifest that lists whatever the test says."""
    listed = [
        Entry(path, 0o644, len(contents), hashlib.sha256(contents).hexdigest())
        if contents is not None
        else Entry(path, 0o755)
        for path, contents in entries
    ]
    blob = store.put([data])
    return Artifact("a", "a", ArtifactType.DIRECTORY, kind, blob, (Entry("", 0o755), *listed))


def running_as_root():
    return os.geteuid() == 0


def upload_while(store, away, seconds):
    """Upload while the server is away: `away` begins that and returns what ends it."""
    data = os.urandom(24 << 20)
    begun, gone, found = threading.Event(), threading.Event(), []

    def slowly():
        for start in range(0, len(data), 1 << 20):
            yield data[start : start + (1 << 20)]
            if start == 4 << 20:
                begun.set()
                gone.wait(60)

    upload = threading.Thread(target=lambda: found.append(store.put(slowly())))
    upload.start()
    assert begun.wait(60)
    back = away()
    gone.set()
    time.sleep(seconds)
    assert upload.is_alive()
    back()
    upload.join(280)
    (blob,) = found
    assert hashlib.sha256(b"".join(store.read(blob))).digest() == hashlib.sha256(data).digest()
