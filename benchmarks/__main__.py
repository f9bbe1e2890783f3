"""Run the benchmarks named on the command line, all of them without names."""

import sys

from benchmarks import (
    corruption,
    direct,
    dispatch,
    fairness,
    fleet,
    latency,
    loss,
    memory,
    memory_flow,
    overlap,
    resume,
    startup,
    stream,
    transfer,
    waiting,
)

BENCHMARKS = {
    "stream": stream.run,
    "memory": memory.run,
    "memory-flow": memory_flow.run,
    "latency": latency.run,
    "startup": startup.run,
    "dispatch": dispatch.run,
    "queue": waiting.run,
    "fleet": fleet.run,
    "fairness": fairness.run,
    "loss": loss.run,
    "transfer": transfer.run,
    "resume": resume.run,
    "corruption": corruption.run,
    "overlap": overlap.run,
    "direct": direct.run,
}


def main(names: list[str]) -> int:
    """Run them; the exit code is 1 when a bar was missed, 2 for an unknown name."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark '{unknown[0]}'; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    passed = True
    for name in names or BENCHMARKS:
        for result in BENCHMARKS[name]():
            result.report()
            passed = passed and result.passes
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
