"""The master's journal: its jobs in one SQLite file, so that a restarted master knows them.

Owns the tables: jobs (npid -> msgpack of JobRow), the queue of batch jobs with what each runs, and
what users have used. Decides nothing: what to save and forget comes from state.master. Writes are
collected until `commit()`, so that a job that comes and goes within one turn of the loop never
touches the disk.

With WAL and synchronous=NORMAL a crash of the master loses nothing that was committed; a crash of
the machine may lose the last commits, but then the jobs are gone as well
(https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from glunix.errors import GlunixError
from glunix.msg.batch import QueueRow
from glunix.msg.job import JobRow
from glunix.state import events

APPLICATION = 0x474C5558
"""`PRAGMA application_id`: "GLUX", so that a foreign file is not taken for a journal."""

VERSION = 2
ROWS_MAX = 100_000
"""Jobs in one journal; more is a bug of the caller, not a reason to fill the disk."""

TABLES = (
    "jobs (npid INTEGER PRIMARY KEY, row BLOB NOT NULL)",
    "queue (npid INTEGER PRIMARY KEY, row BLOB NOT NULL, task BLOB NOT NULL, seal BLOB NOT NULL)",
    "surroundings (number INTEGER PRIMARY KEY, blob BLOB NOT NULL, seal BLOB NOT NULL)",
    "usage (uid INTEGER PRIMARY KEY, used REAL NOT NULL)",
)

NO_SEAL = b"\0" * 16
"""What no key makes."""

BUSY_SECONDS = 2.0
"""How long another process (an sqlite3 shell) may hold the file before we give up."""


class JournalError(GlunixError):
    """The journal cannot be read or written; the text names the file and the cause."""


class Journal:
    """An open journal. Not for two masters: the second one gets a JournalError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: dict[int, JobRow | None] = {}
        self._entries: dict[int, tuple[QueueRow | None, bytes, bytes]] = {}
        self._around: dict[int, tuple[bytes, bytes] | None] = {}
        self._used: dict[int, float] | None = None
        self._encoder = msgspec.msgpack.Encoder()
        with self._explained("open"):
            self._database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            with self._explained("open"):
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self) -> list[JobRow]:
        """Every job in the file, by NPID; JournalError when one is not a job."""
        self.commit()
        decoder = msgspec.msgpack.Decoder(JobRow)
        rows = []
        with self._explained("read"):
            stored = self._database.execute("SELECT npid, row FROM jobs ORDER BY npid").fetchall()
        for npid, body in stored:
            try:
                row = decoder.decode(body)
            except (msgspec.MsgspecError, TypeError, UnicodeDecodeError) as error:
                raise JournalError(f"{self.path}: job {npid} is damaged: {error}") from None
            if row.npid != npid:
                raise JournalError(f"{self.path}: job {npid} is damaged: it says {row.npid}")
            rows.append(row)
        return rows

    def save(self, row: JobRow) -> None:
        """Put a job in place of what is there under its NPID, at the next commit."""
        self._pending[row.npid] = row

    def forget(self, npid: int) -> None:
        """Remove a job at the next commit; one that is not there is no error."""
        self._pending[npid] = None

    # -- the queue of batch jobs ---------------------------------------------------------------

    def take(self, effect: events.JournalEffect) -> None:
        """Save or forget what state.master says, at the next commit."""
        match effect:
            case events.SaveJob(row):
                self.save(row)
            case events.ForgetJob(npid):
                self.forget(npid)
            case events.SaveQueued(row, task, seal):
                old = self._entries.get(row.npid)
                if not task and old is not None and old[1]:
                    task, seal = old[1], old[2]
                self._entries[row.npid] = (row, task, seal)
            case events.ForgetQueued(npid):
                self._entries[npid] = (None, b"", b"")
            case events.SaveSurroundings(number, blob, seal):
                self._around[number] = (blob, seal)
            case events.ForgetSurroundings(number):
                self._around[number] = None
            case events.SaveUsage(used):
                self._used = used

    def queue(self) -> list[QueueRow]:
        """Every entry of the queue; JournalError when one is damaged."""
        self.commit()
        decoder = msgspec.msgpack.Decoder(QueueRow)
        rows = []
        with self._explained("read"):
            stored = self._database.execute("SELECT npid, row FROM queue ORDER BY npid").fetchall()
        for npid, body in stored:
            try:
                rows.append(decoder.decode(body))
            except (msgspec.MsgspecError, TypeError, UnicodeDecodeError) as error:
                raise JournalError(f"{self.path}: queued job {npid} is damaged: {error}") from None
        return rows

    def task(self, npid: int) -> tuple[bytes, bytes]:
        """The task of an entry and its seal; empty when it is not there."""
        found = self._entries.get(npid)
        if found is not None and (found[1] or found[0] is None):
            return found[1], found[2]
        return self._blob("SELECT task, seal FROM queue WHERE npid = ?", npid)

    def surroundings(self, number: int) -> tuple[bytes, bytes]:
        """Surroundings of batch jobs and their seal; empty when they are not there."""
        if number in self._around:
            return self._around[number] or (b"", NO_SEAL)
        return self._blob("SELECT blob, seal FROM surroundings WHERE number = ?", number)

    def usage(self) -> dict[int, float]:
        """uid -> processor-seconds."""
        with self._explained("read"):
            return dict(self._database.execute("SELECT uid, used FROM usage").fetchall())

    def _blob(self, query: str, key: int) -> tuple[bytes, bytes]:
        with self._explained("read"):
            found = self._database.execute(query, (key,)).fetchone()
        return found if found is not None else (b"", NO_SEAL)

    def _write_queue(self) -> None:
        """Within a transaction: what was collected of the queue."""
        write, encode = self._database.executemany, self._encoder.encode
        entries = self._entries.items()
        write("DELETE FROM queue WHERE npid = ?", [(n,) for n, (row, _, _) in entries if not row])
        fresh = [(n, encode(row), task, seal) for n, (row, task, seal) in entries if row and task]
        write("INSERT OR REPLACE INTO queue VALUES (?, ?, ?, ?)", fresh)
        changed = [(encode(row), n) for n, (row, task, _) in entries if row and not task]
        write("UPDATE queue SET row = ? WHERE npid = ?", changed)
        around = self._around.items()
        write("DELETE FROM surroundings WHERE number = ?", [(n,) for n, one in around if not one])
        write(
            "INSERT OR REPLACE INTO surroundings VALUES (?, ?, ?)",
            [(n, *one) for n, one in around if one],
        )
        if self._used is not None:
            self._database.execute("DELETE FROM usage")
            write("INSERT INTO usage VALUES (?, ?)", list(self._used.items()))

    # -- both ----------------------------------------------------------------------------------

    def commit(self) -> None:
        """Write what was collected, all or nothing; it is kept for the next try when that fails."""
        if not self._pending and not self._entries and not self._around and self._used is None:
            return
        save, forget = [], []
        for npid, row in self._pending.items():
            if row is not None:
                save.append((npid, self._encoder.encode(row)))
            elif npid in self._stored:
                forget.append((npid,))
        fresh = [npid for npid, _ in save if npid not in self._stored]
        if save and len(self._stored) + len(fresh) - len(forget) > ROWS_MAX:
            raise JournalError(f"{self.path}: more than {ROWS_MAX} jobs")
        with self._explained("write"), self._transaction():
            self._database.executemany("DELETE FROM jobs WHERE npid = ?", forget)
            self._database.executemany("INSERT OR REPLACE INTO jobs VALUES (?, ?)", save)
            self._write_queue()
        self._entries.clear()
        self._around.clear()
        self._used = None
        self._stored.update(fresh)
        self._stored.difference_update(npid for (npid,) in forget)
        self._pending.clear()

    def close(self) -> None:
        """Commit and close."""
        try:
            self.commit()
        finally:
            self._database.close()

    def _prepare(self) -> None:
        ask = self._database.execute
        (application,) = ask("PRAGMA application_id").fetchone()
        (version,) = ask("PRAGMA user_version").fetchone()
        (tables,) = ask("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION:
            raise JournalError(f"{self.path}: not a journal of GLUnix")
        if tables and version not in (1, VERSION):
            raise JournalError(f"{self.path}: journal version {version}, not {VERSION}")
        (fault,) = ask("PRAGMA quick_check(1)").fetchone()
        if fault != "ok":
            raise JournalError(f"{self.path}: damaged: {fault}")
        ask("PRAGMA locking_mode = EXCLUSIVE")
        ask("PRAGMA journal_mode = WAL")
        ask("PRAGMA synchronous = NORMAL")
        with self._transaction():
            ask(f"PRAGMA application_id = {APPLICATION}")
            ask(f"PRAGMA user_version = {VERSION}")
            for table in TABLES:
                ask(f"CREATE TABLE IF NOT EXISTS {table}")
            ask(f"PRAGMA user_version = {VERSION}")
        self._stored = {npid for (npid,) in ask("SELECT npid FROM jobs")}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            # After some errors (disk full) SQLite has already rolled back:
            # https://www.sqlite.org/lang_transaction.html
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            text = f"cannot {doing} the journal {self.path}: {error}"
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(
                error, sqlite3.OperationalError
            ):
                text += " (without it the master starts, and knows no earlier jobs)"
            raise JournalError(text) from None
