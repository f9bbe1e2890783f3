"""Gather what is wrong with the requests of a batch, so that one answer names it all."""

from distconv.core.errors import DistconvError, InvalidArgumentError

# Details of a status travel in HTTP/2 headers, 8 KiB in all by default.
_MAX_NAMED = 20
_MAX_CHARS = 150


class Wrongs:
    """The errors of requests by their index; the first decides what is raised."""

    def __init__(self, *, of_batch: bool) -> None:
        """Outside a batch the one error is raised as it is."""
        self.of_batch = of_batch
        self._errors: list[tuple[int, DistconvError]] = []

    def add(self, index: int, error: DistconvError) -> None:
        """Note what is wrong with a request."""
        self._errors.append((index, error))

    def raise_if_any(self) -> None:
        """Raise the first error, which names the others too, if there is one."""
        if not self._errors:
            return
        index, first = self._errors[0]
        if not self.of_batch:
            raise first
        rest = len(self._errors) - 1
        more = f" ({rest} more of the batch {'is' if rest == 1 else 'are'} wrong)" if rest else ""
        field = _field(index, first)
        raised = type(first)(
            f"{field}: {first.message}{more}", metadata={**first.metadata, "field": field}
        )
        raised.violations = tuple(
            (_field(k, error), error.message[:_MAX_CHARS]) for k, error in self._errors[:_MAX_NAMED]
        )
        raise raised from first


def _field(index: int, error: DistconvError) -> str:
    inner = error.metadata.get("field", "")
    if not inner and not isinstance(error, InvalidArgumentError):
        inner = "job"
    return f"requests[{index}]{f'.{inner}' if inner else ''}"
