"""What a benchmark found, printed as one line and kept as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One figure beside its reference; lower is better unless `higher_is_better`.

    `bar` bounds `ratio` when `bar_on_ratio`, else `value`.
    """

    name: str
    value: float
    unit: str
    reference: float
    bar: float
    bar_on_ratio: bool
    higher_is_better: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Return the value over its reference."""
        return self.value / self.reference if self.reference else float("inf")

    @property
    def passes(self) -> bool:
        """Tell whether the bar was met."""
        judged = self.ratio if self.bar_on_ratio else self.value
        return judged >= self.bar if self.higher_is_better else judged <= self.bar

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
            "better": "higher" if self.higher_is_better else "lower",
            "passes": self.passes,
            **self.details,
        }
        (OUT / f"{self.name}.json").write_text(json.dumps(content, indent=2) + "\n")
        bound = "at least" if self.higher_is_better else "at most"
        what = "ratio" if self.bar_on_ratio else self.unit
        print(
            f"{self.name}: {self.value:.3f} {self.unit} "
            f"(reference {self.reference:.3f}, ratio {self.ratio:.3f}; "
            f"bar: {bound} {self.bar:g} {what}: {'met' if self.passes else 'MISSED'})",
            flush=True,
        )
