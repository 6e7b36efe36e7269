"""The program in the package's README runs as it is written, but for the port."""

import re
import subprocess
import sys
from pathlib import Path

from tinkery_local.testing import running_server

README = Path(__file__).parents[3] / "packages" / "local" / "README.md"


def test_the_example_teaches_the_model_its_secret(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert example is not None
    with running_server("--store", str(tmp_path)) as server:
        program = example.group(1).replace("http://127.0.0.1:8000", server.url)
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
        )
    assert run.returncode == 0, run.stderr
    *losses, reply = run.stdout.splitlines()
    assert float(losses[-1]) < 0.1 * float(losses[0])
    assert reply == "Blue lemon."
