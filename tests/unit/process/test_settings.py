"""Settings that are refused: which, from where, and why."""

from typing import Self

import pytest
from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from distconv.core.errors import InvalidArgumentError
from distconv.process.settings import ProcessSettings, TextList, load


class _Settings(ProcessSettings):
    least: int = Field(default=1, ge=1)
    most: int = 9

    @field_validator("most")
    @classmethod
    def _check_most(cls, most: int) -> int:
        if most > 99:
            raise ValueError("more than anybody has")
        return most

    @model_validator(mode="after")
    def _check_both(self) -> Self:
        if self.least > self.most:
            raise ValueError("least is more than most")
        return self


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"least": 0}, r"setting 'least' \(flag\): Input should be greater than or equal to 1$"),
        ({"most": 100}, r"setting 'most' \(flag\): more than anybody has$"),
        ({"least": 5, "most": 4}, r"settings: least is more than most$"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(flags: dict[str, int], why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why):
        load(_Settings, table="test", flags=flags, config_file=None)


def test_a_list_in_a_variable_is_not_as_in_toml() -> None:
    lists = TypeAdapter[tuple[str, ...]](TextList)
    assert lists.validate_python("[::1]:7400, host:7400") == ("[::1]:7400", "host:7400")
    for text in ('["a=/x"]', " [ 'a=/x' ]", "[]"):
        with pytest.raises(ValidationError, match="without brackets and quotes"):
            lists.validate_python(text)
