"""What the output's name says of its container, and where an output goes."""

from pathlib import Path

import click

from distconv.client.job import Job
from distconv.core.errors import InvalidArgumentError
from distconv.core.profile import Container

# Names that players and people use for what these containers hold.
_BY_SUFFIX = {
    ".mp4": Container.MP4,
    ".m4v": Container.MP4,
    ".m4a": Container.MP4,
    ".mkv": Container.MKV,
    ".mka": Container.MKV,
    ".webm": Container.WEBM,
}
# Endings that promise media of a kind that distconv does not write.
_OTHER_MEDIA = frozenset(
    (
        ".3gp", ".aac", ".avi", ".flac", ".flv", ".m2ts", ".mov", ".mp3", ".mpeg", ".mpg", ".mts",
        ".mxf", ".ogg", ".ogv", ".opus", ".ts", ".wav", ".wmv",
    )
)  # fmt: skip


def container_for(output: Path, asked: str | None) -> Container | None:
    """Return the container to make; None leaves it to the profile.

    Raises click.UsageError when the name and what was asked contradict each
    other, or the name asks for a container that distconv does not write.
    """
    named = _BY_SUFFIX.get(output.suffix.lower())
    if asked is not None:
        if named is not None and named is not Container(asked):
            raise click.UsageError(
                f"the output is named '{output.name}', but --container says {asked}"
            )
        return Container(asked)
    if named is None and output.suffix:
        raise click.UsageError(
            f"'{output.suffix}' is not a container that distconv writes; name the output "
            f"{', '.join('.' + c for c in Container)}, or say --container"
        )
    return named


def check_ending(output: Path, container: Container, *, what: str) -> None:
    """Check that the name of a file does not promise another kind of media than it will hold.

    `what` says of what, as "the result of job 01k9x". A name without an ending, or with one
    of no media (`.part`), is left alone. Raises InvalidArgumentError (field `output`).
    """
    ending = output.suffix.lower()
    if output.is_dir() or _BY_SUFFIX.get(ending) is container:
        return
    if ending in _BY_SUFFIX or ending in _OTHER_MEDIA:
        fitting = output.with_suffix(f".{container}")
        raise InvalidArgumentError(
            f"{what} is {container.upper()} and not what '{output}' says; name it '{fitting}'",
            field="output",
        )


def placed(output: Path, *, stem: str, container: Container) -> Path:
    """Return the file to write: `output`, or one in it named after the source if it is a folder."""
    return within(output, f"{stem}.{container}")


def within(output: Path, name: str) -> Path:
    """Return `output`, or the file `name` in it if it is a folder.

    A server's word is no reason to leave the folder: a path in `name` is left out.
    """
    return output / Path(name).name if output.is_dir() else output


def result_container(job: Job) -> Container:
    """Return the container of a job's result."""
    return job.profile_spec.container if job.profile_spec is not None else Container.MKV


def result_name(job: Job) -> str:
    """Return the file name of a job's result: its source's, with the ending of what it is."""
    return f"{Path(job.source.file_name).stem or job.id}.{result_container(job)}"
