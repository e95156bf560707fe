"""Commands on the lab's machines: one ssh connection for each machine and user, many commands.

Owns the connections' control sockets. A connection costs an emulated machine half a second, a
command over one that is there costs little. Only the connection itself is made inside the lab's
namespace; a client speaks to its control socket, and must not dial by itself when that is gone:
outside, the same address could be somebody else's.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vagrant.network import Space
from vagrant.steps import LabError, Tool, step, until

TOOLS = (Tool("ssh", "openssh-client"),)
CONNECT_LIMIT = 180.0
OPTIONS = (
    "-F/dev/null",
    "-oBatchMode=yes",
    "-oStrictHostKeyChecking=no",
    "-oUserKnownHostsFile=/dev/null",
    "-oLogLevel=ERROR",
    "-oIdentitiesOnly=yes",
    "-oIdentityAgent=none",
)


@dataclass
class Remote:
    """One machine as ssh sees it."""

    name: str
    address: str
    key: Path
    space: Space
    users: set[str] = field(default_factory=set)

    def _socket(self, user: str) -> Path:
        return self.space.folder / f"ssh-{self.name}-{user}"

    def connect(self, user: str) -> None:
        """Have a connection for that user."""
        if user in self.users:
            return
        words = ["ssh", *OPTIONS, "-fMN", f"-i{self.key}", f"-S{self._socket(user)}"]
        words += [f"-oConnectTimeout={CONNECT_LIMIT:.0f}", f"{user}@{self.address}"]
        log = self.space.folder / f"ssh-{self.name}.log"
        step(f"ssh to {self.name}", self.space.words(*words), CONNECT_LIMIT, log=log)
        self.users.add(user)

    def dial(self, user: str, limit: float) -> None:
        """`connect` to a machine that is just starting: again and again for `limit` seconds."""
        failure = ""

        def answers() -> bool:
            nonlocal failure
            try:
                self.connect(user)
            except LabError as error:
                failure = str(error)
            return user in self.users

        until(answers, f"{self.name} answers ssh", limit, lambda: failure)

    def forget(self) -> None:
        """Give up all connections: the machine is gone."""
        for user in sorted(self.users):
            words = ["ssh", *OPTIONS, f"-S{self._socket(user)}", "-Oexit", self.name]
            subprocess.run(words, capture_output=True, check=False, timeout=CONNECT_LIMIT)
            self._socket(user).unlink(missing_ok=True)
        self.users.clear()

    def words(
        self,
        argv: Sequence[str],
        user: str = "root",
        env: Mapping[str, str] | None = None,
        terminal: bool = False,
    ) -> list[str]:
        """The command line, to be run here, that runs `argv` there.

        `exit $?` makes the shell there stay, and say 128+N for a signal, where ssh would say 255.
        """
        self.connect(user)
        there = [*(f"{name}={value}" for name, value in (env or {}).items()), *argv]
        line = shlex.join(["env", *there] if env else there)
        words = ["ssh", *OPTIONS, f"-S{self._socket(user)}", "-oProxyCommand=false"]
        words += ["-tt"] if terminal else ["-T"]
        return [*words, f"{user}@{self.name}", line if terminal else f"{line}; exit $?"]
