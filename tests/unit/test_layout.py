"""The package is spread over several roots (PEP 420): nothing may hide one behind another."""

from importlib.metadata import entry_points
from pathlib import Path

import distconv
from distconv.core.version import __version__

ROOT = Path(__file__).parents[2]


def test_no_folder_named_distconv_holds_an_init():
    folders = [p for p in ROOT.glob("*/**/distconv") if p.is_dir() and ".venv" not in p.parts]
    assert len(folders) >= 6
    assert not [p for p in folders if (p / "__init__.py").exists()]


def test_every_root_is_a_portion_of_the_package():
    portions = {Path(p).resolve() for p in distconv.__path__}
    expected = {ROOT / "gen/distconv"} | set(ROOT.glob("services/*/distconv"))
    assert expected <= portions


def test_no_module_of_a_service_is_longer_than_350_lines():
    lengths = {p: len(p.read_text().splitlines()) for p in ROOT.glob("services/**/*.py")}
    assert lengths
    assert [str(p) for p, length in lengths.items() if length > 350] == []


def test_generated_code_is_marked_as_typed():
    assert (ROOT / "gen/distconv/v1/py.typed").exists()


def test_console_scripts_and_plugins_load():
    for group, names in {
        "console_scripts": {"dcctl", "distconv-dispatch", "distconv-storage", "distconv-engine"},
        "distconv.embeddable": {"storage"},
        "distconv.transcoders": {"ffmpeg"},
        "distconv.monitors": {"psutil"},
    }.items():
        points = {p.name: p for p in entry_points(group=group) if p.value.startswith("distconv.")}
        assert names <= set(points)
        for name in names:
            assert callable(points[name].load())


def test_lock_file_has_hashes_and_no_index_address():
    text = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text


def test_version_is_one():
    assert __version__.count(".") == 2
