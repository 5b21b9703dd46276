"""The benchmark of memory counts what a command and its children hold, and compares the first shards with the rest."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def benchmark(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("memory")


def test_growth_is_that_of_rendering_alone(benchmark: ModuleType) -> None:
    mib = 1024
    seen = [
        benchmark.Sample(0, 0, False, 80 * mib, 70 * mib),
        benchmark.Sample(1, 1, False, 100 * mib, 90 * mib),
        benchmark.Sample(2, 2, False, 104 * mib, 91 * mib),
        benchmark.Sample(3, 20, False, 105 * mib, 90 * mib),
        benchmark.Sample(4, 20, True, 500 * mib, 500 * mib),
    ]
    facts = benchmark.summarise(seen, 0.1)
    assert (facts["shards"], facts["first"]) == (20, 2)
    assert facts["peak_mib"]["other_shards"] == {"rss": 105, "pss": 91}
    assert facts["peak_mib"]["afterwards"] == {"rss": 500, "pss": 500}
    assert facts["growth"] == {"rss": 1.05, "pss": 1.011}
    assert "growth" not in benchmark.summarise(seen[:1], 0.1)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps_rollup")
def test_children_count(benchmark: ModuleType, tmp_path: Path) -> None:
    program = "import sys; held = b'x' * 30_000_000; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        own, both = benchmark.held(child.pid), benchmark.held(os.getpid())
        assert child.pid in set(benchmark.descendants(os.getpid()))
        child.communicate()
    assert own["rss"] > 29_000
    assert both["rss"] > own["rss"]
