"""The whole of `rapport up` as a process of its own, on a port and a data directory of its own, as a user has it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
from typer.testing import CliRunner

from infra import cli, cli_models
from infra.embedded import free_port
from infra.settings import Settings

RAPPORT = str(Path(sys.executable).with_name("rapport"))
ADMIN, WRITE = "rk_admin_of_the_tests", "rw_writer_of_the_tests"
WIDTH = 200
READY_S, STOP_S, PATIENCE_S = 120.0, 120.0, 30.0
T = TypeVar("T")


@dataclass
class Stack:
    """One installation: started, asked over HTTP and by its command line, stopped with Ctrl-C."""

    home: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    more: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / "up.log"

    @property
    def environment(self) -> dict[str, str]:
        ours = {
            "RAPPORT_PORT": str(self.port),
            "RAPPORT_DATA_DIR": str(self.home / "data"),
            "RAPPORT_ADMIN_KEY": ADMIN,
            "RAPPORT_WRITE_KEY": WRITE,
            "COLUMNS": str(WIDTH),
        }
        return {**{k: v for k, v in os.environ.items() if not k.startswith("RAPPORT_")}, **ours, **self.more}

    @property
    def running(self) -> dict[str, Any]:
        """What the running installation says of itself: where its servers are."""
        said: dict[str, Any] = json.loads((self.home / "data" / "run.json").read_text())
        return said

    @property
    def settings(self) -> Settings:
        """The settings its processes have."""
        where = self.running
        return Settings(
            port=self.port, data_dir=self.home / "data", kafka_url=where["kafka_url"], redis_url=where["redis_url"]
        )

    def start(self) -> None:
        """Start and wait until it says that it is ready."""
        with self.log.open("ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(
                [RAPPORT, "up"],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while b"Rapport is ready" not in self.log.read_bytes()[start:]:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, as a terminal would send it, and the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
        return self.process.wait(STOP_S)

    def cli(self, *arguments: str, code: int = 0) -> str:
        """Run a command of the command line beside the running installation; returns what it printed.

        In this process: the start of another one would cost more than what most commands do.
        """
        for console in (cli.console, cli_models.console):
            console.width = WIDTH
        unset = {name: None for name in os.environ if name.startswith("RAPPORT_")}
        done = CliRunner().invoke(cli.app, arguments, env={**unset, **self.environment})
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    def client(self, key: str = ADMIN) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-API-Key": key}, timeout=30)

    def send(self, *events: dict[str, Any]) -> dict[str, Any]:
        """Events through the front door; returns the answer."""
        answer = httpx.post(f"{self.url}/v1/batch", json={"batch": events}, auth=(WRITE, ""), timeout=30)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """One request of the admin's; the JSON answer of a success."""
        with self.client() as client:
            answer = client.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def decide(self, profile: str, placement: str = "agent_desktop", **more: Any) -> dict[str, Any]:
        asked = {"profile": profile, "placement": placement, **more}
        said: dict[str, Any] = self.ask("POST", "/v1/decisions", json=asked)
        return said

    def report(self, decision: dict[str, Any], *outcomes: str) -> None:
        """What became of a decision's first action."""
        about = {"decision_id": decision["decision_id"], "action_id": decision["actions"][0]["action_id"]}
        self.ask("POST", "/v1/outcomes", json={"outcomes": [{**about, "outcome": outcome} for outcome in outcomes]})

    def profile(self, reference: str, enough: Callable[[dict[str, Any]], Any] = bool) -> dict[str, Any]:
        """The profile, once it is there and `enough` of it is."""

        def look() -> dict[str, Any] | None:
            with self.client() as client:
                answer = client.get(f"/v1/profiles/{reference}")
            found = answer.json() if answer.is_success else None
            return found if found and enough(found) else None

        return until(look)


def until(look: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return found


@contextmanager
def rapport_up(home: Path, more: Mapping[str, str] = MappingProxyType({})) -> Iterator[Stack]:
    """A started installation, with `more` in its environment; whatever happens, nothing of it is left."""
    stack = Stack(home, more=dict(more))
    try:
        stack.start()
        yield stack
    finally:
        if stack.process is not None and stack.process.poll() is None:
            try:
                stack.stop()
            except subprocess.TimeoutExpired:
                stack.process.kill()
                stack.process.wait()
