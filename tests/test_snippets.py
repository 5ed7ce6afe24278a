"""Every Python block of the documents runs as it stands.

A block that needs data files says so behind its language, ```` ```python needs-data ````; it is
compiled, and run where ``$NORMBENCH_DATA`` is set. A block that begins with a command line,
``# normbench ...``, is a plugin file: the command runs with it, for one epoch of one seed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(
    r"^```python(?P<needs> needs-data)?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_SHORT = ("--seeds", "1", "--no-track", "protocol.epochs=1")

# One process for all, as importing torch takes longer than most blocks; and one core, for then
# each of their launches starts one worker.
_DRIVER = """
import json, os, random, sys, traceback
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {random.choice(sorted(os.sched_getaffinity(0)))})
errors = {}
for name, code in json.load(sys.stdin).items():
    try:
        exec(compile(code, name, "exec"), {"__name__": "__main__"})
    except BaseException:
        errors[name] = traceback.format_exc()
print("\\n" + json.dumps(errors))
"""


def blocks() -> dict[str, tuple[str, bool]]:
    """Return each block and whether it needs data, by the line it begins at."""
    found = {}
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for block in _BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 2
            found[f"{path.name}:{line}"] = (block["code"], bool(block["needs"]))
    return found


BLOCKS = blocks()
PLUGINS = {name: code for name, (code, _) in BLOCKS.items() if code.startswith("# normbench ")}


@pytest.fixture(scope="module")
def errors(tmp_path_factory) -> dict[str, str]:
    """Run all blocks, each in a namespace of its own, and return the tracebacks of those failed."""
    has_data = "NORMBENCH_DATA" in os.environ
    runnable = {name: code for name, (code, needs) in BLOCKS.items() if has_data or not needs}
    folder = tmp_path_factory.mktemp("snippets")
    environment = {**os.environ, "NORMBENCH_STORE": str(folder / "store")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _DRIVER],
        input=json.dumps(runnable),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_documents_have_blocks():
    """The pattern finds the blocks of the README and of the other documents."""
    with_code = {path.name for path in DOCUMENTS} - {"clusters.md", "statistics.md", "training.md"}
    assert with_code == {name.partition(":")[0] for name in BLOCKS}
    assert len(BLOCKS) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_block_runs(name, errors):
    """A block compiles, and does what it says without an error."""
    compile(BLOCKS[name][0], name, "exec")

    assert "" == errors.get(name, "")


@pytest.mark.slow
@pytest.mark.parametrize("name", PLUGINS)
def test_plugin_file_runs_by_its_command(name, tmp_path):
    """The command above a plugin file trains with it."""
    words = shlex.split(PLUGINS[name].splitlines()[0].removeprefix("# normbench "))
    Path(tmp_path / words[words.index("--plugin") + 1]).write_text(PLUGINS[name], encoding="utf-8")
    command = [sys.executable, "-m", "normbench", *words, *_SHORT, "--store", str(tmp_path / "s")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stderr
    assert "1 finished" in done.stdout
