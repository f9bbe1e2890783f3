import os
import socket
from typing import Literal

import pytest
from pydantic import Field

import settingsdoc
from distconv.process.settings import ProcessSettings, TextList


class Model(ProcessSettings):
    delay_s: float = Field(1.5, gt=0, description="how long to wait, s, 0..9. Default 1.5")
    room_bytes: int = Field(2 << 20, ge=1024, le=1 << 30, description="room kept, bytes")
    word: str = Field("a", pattern="^(a|b)$", description="a word; unset: another")
    name: str = Field("x", min_length=1, max_length=9, description="s of waiting")
    choice: Literal["fast", "slow"] = Field("fast", description="ffmpeg's pace")
    on: bool = Field(default=False, description="on or off")
    many: tuple[str, ...] = Field((), description="several")
    pairs: TextList = Field((), description="several, NAME=VALUE")
    url: str = Field("", pattern=r"^(?:https?://[^/]+)?$", description="a URL")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("delay_s", "more than 0"),
        ("room_bytes", "1,024 to 1,073,741,824"),
        ("word", "a, b"),
        ("name", "1 to 9 characters"),
        ("choice", "fast, slow"),
        ("on", "true, false"),
        ("many", ""),
        ("url", ""),
    ],
)
def test_what_is_allowed(name: str, text: str):
    assert settingsdoc.allowed(Model.model_fields[name]) == text


def test_a_description_does_not_repeat_the_columns_beside_it():
    meanings = {n: settingsdoc._meaning(f) for n, f in Model.model_fields.items()}
    assert meanings["delay_s"] == "How long to wait"
    assert meanings["room_bytes"] == "Room kept"
    assert meanings["word"] == "A word"
    assert meanings["name"] == "Seconds of waiting"
    assert meanings["choice"] == "ffmpeg's pace"


def test_a_list_has_a_variable_when_it_may_be_text():
    process = settingsdoc.PROCESSES[0]
    variables = {
        n: settingsdoc._variable(process, n, Model.model_fields[n]) for n in ("many", "pairs")
    }
    assert variables["many"] == "— (a list)"
    assert variables["pairs"].endswith("_PAIRS`")


def test_sizes_are_shown_in_their_unit_too():
    assert settingsdoc._default("t", "room_bytes", Model.model_fields["room_bytes"]) == (
        "2,097,152 (2 MiB)"
    )


def test_every_setting_of_every_process_has_its_row():
    page = settingsdoc.settings()
    for process in settingsdoc.PROCESSES:
        section = page.split(f"## {process.command}")[1].split("\n## ")[0]
        for name in process.model.model_fields:
            assert f"| `{name}` |" in section


def test_a_flag_stands_beside_the_setting_that_it_sets():
    page = settingsdoc.settings()
    assert "| `dispatch_addresses` | `--dispatch` |" in page
    assert "| `bind` | `--bind` | `DISTCONV_STORAGE_BIND` |" in page


def test_nothing_of_this_machine_is_in_it(monkeypatch: pytest.MonkeyPatch):
    before = settingsdoc.settings()
    monkeypatch.setattr(socket, "gethostname", lambda: "some-host")
    monkeypatch.setattr(os, "cpu_count", lambda: 512)
    monkeypatch.setenv("XDG_DATA_HOME", "/some/where")
    monkeypatch.setenv("DISTCONV_ENGINE_SLOTS", "77")
    assert settingsdoc.settings() == before


def test_a_default_that_is_made_at_run_time_has_to_be_described():
    class Made(ProcessSettings):
        host: str = Field(default_factory=socket.gethostname)

    with pytest.raises(ValueError, match=r"describe the default of t\.host"):
        settingsdoc._default("t", "host", Made.model_fields["host"])


def test_described_defaults_are_of_settings_that_exist():
    known = {(p.table, name) for p in settingsdoc.PROCESSES for name in p.model.model_fields}
    assert settingsdoc.DESCRIBED.keys() <= known
