"""How a command ends badly: one sentence on stderr, an object on stdout with --json, a code."""

import json
import os
import signal
import sys
import traceback
from dataclasses import dataclass

import click

from distconv.client.cli.exit_codes import ExitCode, of_error, of_failure
from distconv.client.cli.text import printable
from distconv.core.errors import DistconvError
from distconv.core.names import bare


class InterruptedBySignalError(Exception):
    """A signal ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class TimedOutError(DistconvError):
    """`--timeout` ran out."""

    reason = "TIMEOUT"


class FailedInputsError(DistconvError):
    """Some of many inputs failed; each was reported when it did. `code` is the first one's."""

    reason = "INPUTS_FAILED"

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Reports errors in the way that was asked for."""

    as_json: bool = False
    debug: bool = False

    def end(self, error: BaseException) -> int:
        """Report `error` and return the exit code that stands for it."""
        match error:
            case click.exceptions.Exit():
                code = error.exit_code
            case SystemExit() | BrokenPipeError():
                # Whoever read the output has gone (click exits then). Quietly: Python must
                # not complain as it flushes.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                code = ExitCode.INTERNAL
            case click.exceptions.NoArgsIsHelpError():
                code = self._help(error)
            case click.ClickException():
                code = self._usage(error)
            case DistconvError():
                self.report(error)
                code = code_of(error)
            case KeyboardInterrupt() | click.Abort():
                code = self._interrupted(signal.SIGINT)
            case InterruptedBySignalError():
                code = self._interrupted(error.number)
            case _:
                code = self._unforeseen(error)
        return code

    def report(self, error: DistconvError) -> None:
        """Say what went wrong."""
        failure = getattr(error, "failure", None)
        if failure is None:
            self._say(error.reason, error.message, metadata=error.metadata)
            return
        job = error.metadata.get("job", "")
        self._say(
            failure.reason,
            f"job {bare(job, 'jobs')} failed: {failure.message}",
            detail=failure.stderr_tail[-5:],
            metadata=error.metadata,
        )

    def _interrupted(self, number: int) -> int:
        self._say("INTERRUPTED", "interrupted")
        return 128 + number

    def _help(self, error: click.exceptions.NoArgsIsHelpError) -> int:
        """Print the help of a group that was given no command; its text is no sentence."""
        print(error.format_message(), file=sys.stderr, flush=True)
        context = error.ctx
        path = context.command_path if context is not None else "dcctl"
        self._document("USAGE", f"'{path}' takes a command; see '{path} --help'")
        return ExitCode.USAGE

    def _usage(self, error: click.ClickException) -> int:
        context = getattr(error, "ctx", None)
        hint = f"; see '{context.command_path} --help'" if context is not None else ""
        self._say("USAGE", error.format_message().rstrip(".") + hint)
        return ExitCode.USAGE

    def _unforeseen(self, error: BaseException) -> int:
        hint = "; run it again with --debug to see where, and report that"
        if self.debug:
            traceback.print_exception(error)
            hint = ""
        what = f"{type(error).__name__}: {error}"
        self._say("INTERNAL", f"dcctl met with something unforeseen: {what}{hint}")
        return ExitCode.INTERNAL

    def _say(
        self,
        reason: str,
        message: str,
        *,
        detail: tuple[str, ...] = (),
        metadata: dict[str, str] | None = None,
    ) -> None:
        tail = "".join(f"\n  | {line}" for line in detail)
        print(f"error: {printable(message)}{tail}", file=sys.stderr, flush=True)
        self._document(reason, message, metadata)

    def _document(self, reason: str, message: str, metadata: dict[str, str] | None = None) -> None:
        if self.as_json:
            body = {"reason": reason, "message": message, "metadata": metadata or {}}
            print(json.dumps({"error": body}, ensure_ascii=False), flush=True)


def code_of(error: DistconvError) -> ExitCode:
    """Return the exit code for an error of the tree."""
    if isinstance(error, FailedInputsError):
        return error.code
    if isinstance(error, TimedOutError):
        return ExitCode.TIMEOUT
    failure = getattr(error, "failure", None)
    return of_error(error) if failure is None else of_failure(failure.reason)


def told(error: DistconvError) -> dict[str, str]:
    """Return what a document of several things says of one that failed."""
    return {"reason": error.reason, "message": error.message}
