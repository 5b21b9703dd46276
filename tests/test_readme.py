"""The commands in README.md work as they stand there.

Every fenced bash block below the comment `<!-- test -->` is run, all in order and in one empty folder, with options
added that make the jobs tiny. Nothing may reach the network.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTED_BLOCK = re.compile(r"<!-- test -->\n```bash\n(.*?)```", re.DOTALL)

# What is added to a command that begins so; options given twice count as given last.
TINY = {
    "vec2face generate": "--identities 3 --images-per-identity 2",
    "vec2face identities sample": "--count 5",
    "vec2face bench": "--rounds 1 --batch-size 1",
}


def marked_blocks(text: str) -> list[str]:
    return TESTED_BLOCK.findall(text)


def shrink(block: str) -> str:
    """Join continued lines, drop comments, and add the options of `TINY`."""
    lines = []
    for line in block.replace("\\\n", " ").splitlines():
        command = line.split("#", 1)[0].strip()
        extra = next((options for start, options in TINY.items() if command.startswith(start)), "")
        lines.append(f"{command} {extra}".strip())
    return "\n".join(lines)


def test_shrink_joins_lines_drops_comments_and_adds_options() -> None:
    block = "vec2face bench \\\n  --json  # fast\n# only a comment\nvec2face verify demo\n"
    assert shrink(block) == "vec2face bench    --json --rounds 1 --batch-size 1\n\nvec2face verify demo"


def test_only_marked_blocks_are_taken() -> None:
    assert marked_blocks("```bash\nno\n```\n<!-- test -->\n```bash\nyes\n```\n") == ["yes\n"]


@pytest.mark.integration
def test_readme_commands_run(repo_root: Path, tmp_path: Path) -> None:
    blocks = marked_blocks((repo_root / "README.md").read_text(encoding="utf-8"))
    assert blocks, "README.md has no tested block"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }
    script = "\n".join(shrink(block) for block in blocks)
    finished = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
