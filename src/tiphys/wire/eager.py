"""
Run a coroutine now, and make a task of it only if it has to wait.

Most requests are answered from memory without waiting for anything. A task for each would cost more than the answer:
its creation, two turns of the loop, and the wake-up of whoever waits for it. So the first step runs in the caller's
stack; only if the coroutine suspends is its rest given to a task.

One thing needs care: `asyncio.timeout` and `TaskGroup` ask for the current task on their way in, and keep it. During
the first step that is a `Stand`, which passes `cancel` and its kin on to the task that takes over. asyncio documents
`_enter_task` and `_leave_task` for such extensions; Python 3.12 has eager tasks that do the same, 3.11 has not.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, cast


class Stand:
    """Holds the place of the current task until there is one."""

    __slots__ = ("_cancels", "_message", "_task")

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._cancels = 0
        self._message: Any = None

    def cancel(self, msg: Any = None) -> bool:
        if self._task is not None:
            return self._task.cancel(msg)
        self._cancels += 1
        self._message = msg
        return True

    def cancelling(self) -> int:
        return self._cancels if self._task is None else self._task.cancelling()

    def uncancel(self) -> int:
        if self._task is not None:
            return self._task.uncancel()
        self._cancels = max(0, self._cancels - 1)
        return self._cancels

    def done(self) -> bool:
        return self._task is not None and self._task.done()

    def get_name(self) -> str:
        return "eager" if self._task is None else self._task.get_name()

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """`task` takes over, with the cancellations that came before it."""
        self._task = task
        for _ in range(self._cancels):
            task.cancel(self._message)


class Rest(Coroutine[Any, Any, None]):
    """A coroutine that has suspended already: its first `send` repeats what it waits for."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for: list[Any] | None = [waits_for]

    def send(self, value: Any) -> Any:
        if self._waits_for is not None:
            (waits_for,) = self._waits_for
            self._waits_for = None
            return waits_for
        return self._coroutine.send(value)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        self._waits_for = None
        return self._coroutine.throw(typ if val is None else val)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        raise TypeError("the rest of a coroutine is for a task, not for await")


def start(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
    """
    Run the first step; None if that was all, else the task that does the rest. Raises what the first step raises.

    Must be called outside of any task (from a callback of the loop).
    """
    stand = Stand()
    context = contextvars.copy_context()
    _enter_task(loop, cast(asyncio.Task[Any], stand))
    try:
        waits_for = context.run(coroutine.send, None)
    except StopIteration:
        return None
    finally:
        _leave_task(loop, cast(asyncio.Task[Any], stand))
    task = loop.create_task(Rest(coroutine, waits_for), context=context)
    stand.adopt(task)
    return task
