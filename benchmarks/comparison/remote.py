"""The other side of `worker`: processes that answer, fail, or are ended when they take too long."""

import json
import os
import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .environment import SINGLE_THREAD
from .peers import Variant

FOLDER = Path(__file__).parents[1]


class FailedError(Exception):
    """Why a worker gave no numbers, in one line."""


class Remote:
    """A worker process for one variant."""

    def __init__(self, problem: str, peer: str, variant: Variant) -> None:
        command = [sys.executable, "-m", "comparison.worker", problem, peer, *variant]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (not a pipe, which would fill up unread; `close` closes it)
        self._process = subprocess.Popen(
            command, cwd=FOLDER, env=os.environ | SINGLE_THREAD,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self._started = False

    def ask(self, limit: float, **question: float) -> dict[str, Any]:
        """The answer to one question.

        Raises
        ------
        FailedError
            The peer raised, died, or took longer than `limit` seconds; the process has ended.
        """
        if not self._started:  # imports have a limit of their own
            self._read(120.0)
            self._started = True
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._read(limit)
        if "failure" in answer:
            self.close()
            raise FailedError(one_line(answer["failure"]))
        return answer

    def _read(self, limit: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            ready = selector.select(limit)
        if not ready:
            self.close()
            raise FailedError(f"more than {limit:g} s")
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise FailedError(one_line(f"ended with status {status}: {' '.join(last)}"))
        return json.loads(line)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()


def one_line(text: str, width: int = 160) -> str:
    return " ".join(text.split())[:width]
