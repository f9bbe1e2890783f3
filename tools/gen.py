"""Generate gen/ and the references in docs/; with --check, prove that they are current."""

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from protodoc import reference
from settingsdoc import settings
from statedoc import state_machine
from statusdoc import status

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GEN = ROOT / "gen"
DOCS = ROOT / "docs"
REFERENCE = DOCS / "protocol-reference.md"
# Not generated, but needed beside what is: PEP 561, and the package itself.
KEPT = {"py.typed", "__init__.py"}


def generate(out: Path) -> dict[Path, str]:
    """Run protoc into `out` and return the texts of the pages that are made."""
    sources = sorted(str(p) for p in PROTO.rglob("*.proto"))
    descriptors = out / "descriptors.bin"
    command = [
        sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}",
        f"--python_out={out}", f"--grpc_python_out={out}",
        f"--mypy_out={out}", f"--mypy_grpc_out={out}",
        f"--descriptor_set_out={descriptors}", "--include_source_info", "--include_imports",
        *sources,
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # The mypy plugins name themselves on stderr; protoc's own errors come with its exit code.
    done = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    pages = {
        REFERENCE: reference(descriptors.read_bytes()),
        DOCS / "state-machine.md": state_machine(),
        DOCS / "status.md": status(descriptors.read_bytes()),
        DOCS / "settings.md": settings(),
    }
    descriptors.unlink()
    return pages


def differences(fresh: Path, pages: dict[Path, str]) -> list[str]:
    """Name every generated file that is missing, stale or too many."""
    new = {p.relative_to(fresh) for p in fresh.rglob("*") if p.is_file()}
    old = {
        p.relative_to(GEN)
        for p in GEN.rglob("*")
        if p.is_file() and p.name not in KEPT and "__pycache__" not in p.parts
    }
    found = [f"gen/{p}" for p in sorted(new ^ old)]
    found += [
        f"gen/{p}" for p in sorted(new & old) if not filecmp.cmp(fresh / p, GEN / p, shallow=False)
    ]
    found += [
        str(page.relative_to(ROOT))
        for page, text in pages.items()
        if not page.exists() or page.read_text() != text
    ]
    return found


def main() -> int:
    """Write, or with --check compare; exit 1 when something is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when stale")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        pages = generate(fresh)
        if check:
            stale = differences(fresh, pages)
            for name in stale:
                print(f"stale: {name}")
            if stale:
                print("Run `make gen` and commit what it changes.")
            return 1 if stale else 0
        for path in fresh.rglob("*"):
            if path.is_file():
                target = GEN / path.relative_to(fresh)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        for page, text in pages.items():
            page.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
