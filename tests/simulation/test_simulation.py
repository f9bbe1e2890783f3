"""Hundreds of worlds of a hundred jobs each: whatever goes wrong in them, the invariants hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.runner import describe, run_seeds, summarise
from tests.simulation.world import Shape

ROOT = Path(__file__).parents[2]
SEED_COUNT = int(os.environ.get("DISTCONV_SIM_SEEDS", "300"))
MIN_JOBS = 100


# Minutes where the processors are an engineer's own; they are often shared.
@pytest.mark.timeout(2400)
def test_no_world_breaks_an_invariant():
    summary = summarise(run_seeds(range(SEED_COUNT), Shape(job_count=MIN_JOBS)))

    assert not summary.failed, describe(summary.failed[0])
    assert summary.seed_count == SEED_COUNT
    assert summary.job_count >= MIN_JOBS * SEED_COUNT
    assert len(summary.faults) > 15, summary.table()


@pytest.mark.timeout(300)
def test_a_seed_replays_whatever_the_hashes_are():
    traces = {
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "29", "--jobs", "30"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()[-1]
        for hash_seed in ("1", "2")
    }

    assert len(traces) == 1
