"""The node's half of --stage: a directory with the files that came along, gone after the job.

Made and filled as the daemon, given to the owner when it is complete; removed without following
what the job may have put there (shutil.rmtree is safe against symbolic links).
"""

import os
import shutil
import tempfile
import zlib
from pathlib import Path

import msgspec

from glunix.errors import Refused
from glunix.ids import Why
from glunix.msg.job import STAGED_MAX, StagedFile
from glunix.msg.stream import Start


class Stage:
    """One job's directory on this node."""

    def __init__(self, folder: Path, start: Start) -> None:
        self._files = start.spec.staged
        self._owner = start.owner
        try:
            folder.mkdir(mode=0o711, exist_ok=True)
            self.path = Path(tempfile.mkdtemp(prefix=f"{start.npid}-", dir=folder))
        except OSError as error:
            raise Refused(Why.INTERNAL, f"cannot stage files: {error.strerror}") from None
        try:
            self._fill()
        except OSError as error:
            self.remove()
            raise Refused(Why.INTERNAL, f"cannot stage files: {error.strerror}") from None
        except BaseException:
            self.remove()
            raise

    def _fill(self) -> None:
        left = STAGED_MAX
        made: list[Path] = [self.path]
        for file in self._files:
            left -= file.size
            if left < 0:
                raise Refused(Why.BAD_REQUEST, "the staged files are too large")
            target = self.path / _checked(file)
            for parent in reversed(target.relative_to(self.path).parents[:-1]):
                if not (self.path / parent).is_dir():
                    (self.path / parent).mkdir(mode=0o700)
                    made.append(self.path / parent)
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as out:
                out.write(_unpacked(file))
            target.chmod(file.mode)
            made.append(target)
        if os.geteuid() == 0:
            for path in reversed(made):  # the directory itself last: until then it is ours alone
                os.chown(path, self._owner.uid, self._owner.gid, follow_symlinks=False)

    def start(self, start: Start) -> Start:
        """The Start with this directory in place of the files."""
        spec = msgspec.structs.replace(start.spec, cwd=os.fsencode(self.path), staged=[])
        return msgspec.structs.replace(start, spec=spec)

    def remove(self) -> None:
        """The job is over."""
        shutil.rmtree(self.path, ignore_errors=True)


def _checked(file: StagedFile) -> str:
    parts = file.name.split(b"/")
    if b"\0" in file.name or any(part in (b"", b".", b"..") for part in parts):
        raise Refused(Why.BAD_REQUEST, "a staged file whose name leads elsewhere")
    return os.fsdecode(file.name)


def _unpacked(file: StagedFile) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(file.data, file.size + 1)
    except zlib.error as error:
        raise Refused(Why.BAD_REQUEST, f"a staged file is damaged: {error}") from None
    if len(data) != file.size or not unpacker.eof:
        raise Refused(Why.BAD_REQUEST, "a staged file is not of the size it says")
    return data
