"""
Remember answers for short texts only.

Texts come from clients: a selector or a name may be a megabyte, and a memory of a few thousand such would be the
server's end. What is long is rare, and computed anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

TEXT_LENGTH_MAX = 1024

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


def remember_short(maxsize: int) -> Callable[[Callable[Parameters, Answer]], Callable[Parameters, Answer]]:
    """Like functools.lru_cache, but calls with a text longer than TEXT_LENGTH_MAX leave no trace."""

    def decorate(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
        kept = functools.lru_cache(maxsize=maxsize)(function)

        @functools.wraps(function)
        def answer(*arguments: Parameters.args, **named: Parameters.kwargs) -> Answer:
            for argument in arguments:
                if isinstance(argument, (str, bytes)) and len(argument) > TEXT_LENGTH_MAX:
                    return function(*arguments, **named)
            return kept(*arguments, **named)  # type: ignore[arg-type]

        return answer

    return decorate
