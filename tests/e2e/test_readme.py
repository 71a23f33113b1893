"""The tour in the README runs as it is written."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import ADMIN, WRITE, Stack

README = Path(__file__).parents[2] / "README.md"
# as written, except that an answer that is no success ends the tour
STRICT = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'


def tour() -> list[str]:
    text = README.read_text() if README.exists() else ""
    found = re.search(r"<!-- tour -->(.*?)<!-- /tour -->", text, re.DOTALL)
    return re.findall(r"```bash\n(.*?)```", found[1], re.DOTALL) if found else []


def test_the_tour_runs(stack: Stack, tmp_path: Path) -> None:
    blocks = tour()
    if not blocks:
        pytest.skip("README.md has no tour")
    environment = {**stack.environment, "RAPPORT": stack.url, "WRITE_KEY": WRITE, "ADMIN_KEY": ADMIN}
    script = STRICT + "\n".join(f"{block}\necho" for block in blocks)
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"decision_id"' in done.stdout
    assert '"profile_id"' in done.stdout
