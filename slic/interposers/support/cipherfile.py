"""The encrypted file of `crypt`: random access to a text in authenticated blocks.

    header   `cipherheader`: length and holes of the text, authenticated
    block i  nonce 12 · AES-256-GCM of at most 4096 bytes · tag 16      (the last may be shorter)

The block's number is authenticated with it, the length and the list of holes with the header. So a
block moved, changed, zeroed or taken away, from the end too, is an error (EIO). Holes are where a
program made the file longer: there nothing is stored, which keeps sparse files sparse; when there
are more than the header can list, the smallest is filled.

What the header says counts, not the length of the file, and every change is in such an order that
the text is whole after each step: new blocks first, the header then. What stands behind the last
block is a change that was not finished; it is not read. A write that cannot be finished (ENOSPC,
EDQUOT, EFBIG, EIO) leaves what has been taken, in the room that there is.

Why GCM by block and not XTS or CTR: XTS does not notice changes, CTR must never see a key stream
twice and so needs a nonce for every rewrite anyway; a nonce and a tag are 28 bytes for 4096
(0.7 %). Nonces are random: 2^32 written blocks (16 TiB) a file are within the usual bound.

Not protected: names, lengths, times; a block, a header or a file put back to an older state of its
own; a file emptied (0 bytes are an empty text) or removed. A crash in the middle of a write (of
the machine, or of the supervisor by SIGKILL) can tear a block, which then reads as an error (EIO):
there is no journal.

Files of the first format (magic slicAES1) had no authenticated length and took any zeroed block for
a hole. They can be read and emptied, not changed (EROFS): a copy is of the new format.
"""

import errno
import os

from cryptography.exceptions import InvalidTag

from slic.interposers.support.cipherheader import (
    FIRST_HEADER,
    FIRST_MAGIC,
    HEADER,
    ID,
    LENGTH_AT,
    MAGIC,
    MOST_HOLES,
    NONCE,
    TAG,
    Holes,
    Secret,
    Shape,
    packed,
    parsed,
    secret,
    with_hole,
    without,
)

BLOCK = 4096
EXTRA = NONCE + TAG
STORED = BLOCK + EXTRA
FILLED_AT_ONCE = 64  # blocks
_ZEROED = bytes(STORED)
EMPTY = Shape(0)


class FirstFormat(OSError):
    """The file is of the first format, which is not written any more: EROFS."""


def plain_size(stored: int, header: int = HEADER) -> int:
    """Bytes of plain text in a file of `stored` bytes (at most: it may have been cut)."""
    blocks, rest = divmod(max(0, stored - header), STORED)
    return blocks * BLOCK + max(0, rest - EXTRA)


def stored_size(plain: int) -> int:
    """Bytes of the file for `plain` bytes of text."""
    blocks, rest = divmod(plain, BLOCK)
    return HEADER + blocks * STORED + (rest + EXTRA if rest else 0)


class CipherFile:
    """Plain text at any offset of an encrypted file. `fd` belongs to the caller of this class.

    An empty file is an empty text. OSError EIO: damaged, or not one of ours. What the header says
    is remembered: `check` looks again.
    """

    def __init__(self, fd: int, master: bytes) -> None:
        self.fd = fd
        self._master = master
        self._secret: Secret | None = None
        self._shape = EMPTY
        self._header = HEADER
        self._checked = False

    def size(self) -> int:
        """Bytes of plain text, as stored, unchecked. A file that is not ours: its own length."""
        stored = os.fstat(self.fd).st_size
        start = os.pread(self.fd, LENGTH_AT + 8, 0)
        if start.startswith(FIRST_MAGIC):
            return plain_size(stored, FIRST_HEADER)
        if not start.startswith(MAGIC):
            return stored
        return int.from_bytes(start[LENGTH_AT:], "little")

    def length(self) -> int:
        """Bytes of plain text, as authenticated."""
        self._known()
        return self._shape.length

    def check(self) -> None:
        """EIO or WrongKey if the file cannot be read with this key; an empty one can."""
        self._checked = False
        self._secret, self._shape, self._header = None, EMPTY, HEADER
        if header := os.pread(self.fd, HEADER, 0):
            own, shape = parsed(header, self._master)
            if shape is None:
                self._header = FIRST_HEADER
                shape = Shape(plain_size(self._stored(), FIRST_HEADER))
            self._secret, self._shape = own, shape
        self._checked = True

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`: fewer at the end."""
        self._known()
        size = min(size, self._shape.length - offset)
        if size <= 0:
            return b""
        first, last = offset // BLOCK, (offset + size - 1) // BLOCK
        stored = os.pread(self.fd, (last - first + 1) * STORED, self._at(first))
        parts = [
            self._opened(first + n, stored[n * STORED : (n + 1) * STORED])
            for n in range(last - first + 1)
        ]
        return b"".join(parts)[offset - first * BLOCK :][:size]

    def write(self, offset: int, data: bytes) -> int:
        """Write, lengthening the file if need be; the gap reads as zeros. Bytes taken.

        They are fewer only if there is no room (or right, or a disk's fault) for more, and OSError
        says why there is none for any.
        """
        if not data:
            return 0
        if offset > (before := self._changeable().length):
            self.truncate(offset)
        size, end = self._shape.length, offset + len(data)
        start, stop = offset // BLOCK * BLOCK, -(-end // BLOCK) * BLOCK
        head = self.read(start, offset - start)
        tail = self.read(end, min(stop, size) - end)
        first, after = start // BLOCK, stop // BLOCK
        self._make_room(without(self._shape.holes, first, after))
        taken, why = self._store(first, head + data + tail)
        taken = min(taken - len(head), len(data))
        if taken > 0:
            held = -(-(offset + taken) // BLOCK)
            holes = without(self._shape.holes, first, held)
            if len(holes) <= MOST_HOLES:
                self._reshape(Shape(max(size, offset + taken), holes))
                return taken
        if self._shape.length > before:
            self.truncate(before)
        assert why is not None  # also where a part of what was given would be one hole too many
        raise why

    def truncate(self, size: int) -> None:
        """Cut or lengthen (with zeros) to `size` bytes."""
        self._known()
        if not size:
            os.ftruncate(self.fd, 0)
            self.check()
            return
        before = self._changeable()
        held = -(-min(size, before.length) // BLOCK)
        if size <= before.length:
            ends = -(-size // BLOCK)
            holes = tuple(h._replace(end=min(h.end, ends)) for h in before.holes if h.first < ends)
            self._reshape(Shape(size, holes))
            self._cut_after(held)
            return
        self._cut_after(held)
        last, rest = divmod(before.length, BLOCK)
        if rest and not before.is_hole(last):  # what the block may hold behind the end goes
            text = self.read(last * BLOCK, rest).ljust(min(size - last * BLOCK, BLOCK), b"\0")
            _, why = self._store(last, text)
            if why is not None:
                raise why
        ends = -(-size // BLOCK)
        holes = with_hole(before.holes, held, ends)
        self._make_room(holes)
        if self._stored() < stored_size(size):
            os.ftruncate(self.fd, stored_size(size))
        self._reshape(Shape(size, self._listed(holes)))

    # -- the header --------------------------------------------------------------------------
    def _known(self) -> None:
        if not self._checked:
            self.check()

    def _changeable(self) -> Shape:
        """The shape of a file that can be written; an empty one gets its header now."""
        self._known()
        if self._header != HEADER:
            raise FirstFormat(errno.EROFS, "a file of the first format")
        if self._secret is None:
            self._secret = secret(self._master, os.urandom(ID))
            try:
                self._reshape(EMPTY)
            except OSError:
                self._secret = None
                os.ftruncate(self.fd, 0)
                raise
        return self._shape

    def _reshape(self, shape: Shape) -> None:
        if shape == self._shape and shape != EMPTY:
            return
        assert self._secret is not None
        try:
            _write_all(self.fd, packed(self._secret, shape), 0)
        except _Unfinished as unfinished:
            if unfinished.done and self._shape != EMPTY:
                _write_all(self.fd, packed(self._secret, self._shape), 0)
            raise
        self._shape = shape

    # -- holes -------------------------------------------------------------------------------
    def _listed(self, holes: Holes) -> Holes:
        """Those that the header can list: the largest."""
        largest = sorted(holes, key=lambda hole: hole.first - hole.end)
        return tuple(sorted(largest[: MOST_HOLES - 1]))  # one more for a write that ends early

    def _make_room(self, holes: Holes) -> None:
        """Fill holes of now that are too many for the header. OSError: nothing has changed."""
        for hole in set(holes) - set(self._listed(holes)):
            for first in range(hole.first, hole.end, FILLED_AT_ONCE):
                blocks = min(FILLED_AT_ONCE, hole.end - first)
                _, why = self._store(first, bytes(blocks * BLOCK))
                if why is not None:
                    raise why
            left = without(self._shape.holes, hole.first, hole.end)
            self._reshape(self._shape._replace(holes=left))

    # -- blocks ------------------------------------------------------------------------------
    def _at(self, block: int) -> int:
        return self._header + block * STORED

    def _stored(self) -> int:
        return os.fstat(self.fd).st_size

    def _cut_after(self, block: int) -> None:
        """Take away what no change of before has finished (a part of a block may stay)."""
        if self._stored() > self._at(block):
            os.ftruncate(self.fd, self._at(block))

    def _opened(self, number: int, stored: bytes) -> bytes:
        """The text of a block, as long as the file's length makes it."""
        assert self._secret is not None
        length = min(BLOCK, self._shape.length - number * BLOCK)
        if self._shape.is_hole(number):
            return bytes(length)
        if len(stored) < length + EXTRA:
            raise OSError(errno.EIO, f"block {number} is cut")
        if self._header != HEADER and stored == _ZEROED[: len(stored)]:
            return bytes(length)
        try:
            text = self._secret.cipher.decrypt(stored[:NONCE], stored[NONCE:], _number(number))
        except InvalidTag:
            raise OSError(errno.EIO, f"block {number} was changed") from None
        return text[:length]

    def _store(self, first: int, text: bytes) -> tuple[int, OSError | None]:
        """Encrypt blocks from `first` on, in one write: bytes of `text` stored, why not more.

        The last block is made as long as what stands in its place, so that none is ever followed
        by bytes of another.
        """
        there = plain_size(self._stored()) - first * BLOCK
        padded = text.ljust(min(there, -(-len(text) // BLOCK) * BLOCK), b"\0")
        try:
            _write_all(self.fd, self._sealed(first, padded), self._at(first))
        except _Unfinished as unfinished:
            whole, torn = divmod(unfinished.done, STORED)
            kept = self._mended(first + whole, padded[whole * BLOCK :][:BLOCK]) if torn else 0
            return min(len(text), whole * BLOCK + kept), unfinished.why
        return len(text), None

    def _sealed(self, first: int, text: bytes) -> bytes:
        assert self._secret is not None
        nonces = os.urandom(NONCE * -(-len(text) // BLOCK))
        stored = []
        for n, at in enumerate(range(0, len(text), BLOCK)):
            nonce = nonces[n * NONCE : (n + 1) * NONCE]
            sealed = self._secret.cipher.encrypt(nonce, text[at : at + BLOCK], _number(first + n))
            stored += [nonce, sealed]
        return b"".join(stored)

    def _mended(self, block: int, text: bytes) -> int:
        """A block was written in part: what of `text` there is room for. Bytes of it stored."""
        if self._shape.is_hole(block):
            return 0  # it is not read
        room = min(self._stored() - self._at(block) - EXTRA, BLOCK)
        was = min(self._shape.length - block * BLOCK, BLOCK)  # of the text of before
        if room > 0:
            try:
                _write_all(
                    self.fd, self._sealed(block, text[:room].ljust(room, b"\0")), self._at(block)
                )
            except _Unfinished:
                room = 0
        if room <= 0 and was <= 0:
            os.ftruncate(self.fd, self._at(block))
        elif room <= 0 and block * BLOCK + was >= self._shape.length:  # the last: up to it
            self._reshape(self._shape._replace(length=block * BLOCK))
        return max(0, min(room, len(text)))


class _Unfinished(OSError):
    """`done` bytes were written, the rest was not: `why`."""

    def __init__(self, done: int, why: OSError) -> None:
        super().__init__(why.errno, why.strerror)
        self.done = done
        self.why = why


def _number(block: int) -> bytes:
    return block.to_bytes(8, "little")


def _write_all(fd: int, data: bytes, at: int) -> None:
    """Write at an offset; _Unfinished."""
    done = 0
    while done < len(data):
        try:
            done += os.pwrite(fd, memoryview(data)[done:], at + done)
        except OSError as why:
            raise _Unfinished(done, why) from why
