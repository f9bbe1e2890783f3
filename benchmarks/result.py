"""What a benchmark found, printed as one line and kept as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One figure beside its reference; lower is better.

    `bar` bounds `ratio` when `bar_on_ratio`, else `value`.
    """

    name: str
    value: float
    unit: str
    reference: float
    bar: float
    bar_on_ratio: bool
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Return the value over its reference."""
        return self.value / self.reference if self.reference else float("inf")

    @property
    def passes(self) -> bool:
        """Tell whether the bar was met."""
        return (self.ratio if self.bar_on_ratio else self.value) <= self.bar

    def report(self) -> None:
        """Print the line and write benchmarks/out/NAME.json."""
        OUT.mkdir(parents=True, exist_ok=True)
        content = {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "reference": round(self.reference, 4),
            "ratio": round(self.ratio, 4),
            "bar": self.bar,
            "bar_on": "ratio" if self.bar_on_ratio else "value",
            "passes": self.passes,
            **self.details,
        }
        (OUT / f"{self.name}.json").write_text(json.dumps(content, indent=2) + "\n")
        print(
            f"{self.name}: {self.value:.3f} {self.unit} "
            f"(reference {self.reference:.3f}, ratio {self.ratio:.3f})",
            flush=True,
        )
