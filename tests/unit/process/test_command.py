import asyncio
import json
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from distconv.core.errors import InvalidArgumentError, UnavailableError
from distconv.process.command import daemon_command, run_daemon, tell_ready
from distconv.process.settings import ProcessSettings, TextList


class _Settings(ProcessSettings):
    peers: TextList = ("a",)


def _command(serve: Any) -> click.Command:
    @daemon_command("distconv-test")
    @click.option("--peer", "peers", multiple=True)
    def command(**options: Any) -> None:
        sys.exit(run_daemon(_Settings, table="test", options=options, serve=serve))

    return command


async def _ready(settings: _Settings, stop: asyncio.Event) -> int:
    tell_ready(peers=settings.peers, level=settings.log_level)
    return 0


def test_flags_become_settings() -> None:
    ended = CliRunner().invoke(_command(_ready), ["--peer", "x", "--log-level", "error"])
    assert ended.exit_code == 0
    ready = json.loads(ended.stdout)
    assert (ready["event"], ready["peers"], ready["level"]) == ("ready", ["x"], "error")


def test_a_repeatable_flag_that_is_not_given_leaves_the_other_sources() -> None:
    ended = CliRunner().invoke(_command(_ready), env={"DISTCONV_TEST_PEERS": "b, c"})
    assert json.loads(ended.stdout)["peers"] == ["b", "c"]


def test_the_settings_are_shown_instead_of_starting() -> None:
    ended = CliRunner().invoke(_command(_ready), ["--show-config"])
    assert ended.exit_code == 0
    assert "# default;" in ended.stdout
    assert "ready" not in ended.stdout


def test_what_a_daemon_has_of_its_own_stands_first_in_its_help() -> None:
    text = CliRunner().invoke(_command(_ready), ["--help"]).stdout
    assert text.index("--peer") < text.index("--config") < text.index("--version")
    assert "--exit-on-stdin-eof" not in text


@pytest.mark.parametrize(
    ("error", "code"), [(InvalidArgumentError("no"), 2), (UnavailableError("gone"), 1)]
)
def test_an_error_is_one_sentence_and_an_exit_code(error: Exception, code: int) -> None:
    async def serve(settings: _Settings, stop: asyncio.Event) -> int:
        raise error

    ended = CliRunner().invoke(_command(serve), [])
    assert ended.exit_code == code
    assert ended.stderr == f"error: {error}\n"


def test_a_parent_hears_the_error_in_its_place() -> None:
    async def serve(settings: _Settings, stop: asyncio.Event) -> int:
        raise UnavailableError("gone")

    ended = CliRunner().invoke(_command(serve), ["--exit-on-stdin-eof"])
    assert (ended.exit_code, ended.stderr) == (1, "")
    assert json.loads(ended.stdout) == {
        "event": "failed", "reason": "UNAVAILABLE", "message": "gone",
    }  # fmt: skip
