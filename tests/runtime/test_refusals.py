"""What crun says of a command that it could not start, in the words that users know."""

import pytest

from tiphys.runtime.refusals import Refused, read_refusal, refusal_of

COMMON = "OCI runtime exec failed: exec failed: unable to start container process: "


@pytest.mark.parametrize(
    ("program", "reason", "code", "text"),
    [
        (
            "nope", "executable file `nope` not found in $PATH: No such file or directory", 127,
            'exec: "nope": executable file not found in $PATH',
        ),
        ("/nope", "executable file `/nope` not found in $PATH", 127, 'exec: "/nope": no such file or directory'),
        ("/etc/passwd", "open executable: Permission denied", 126, 'exec: "/etc/passwd": permission denied'),
        ("/etc", "open executable: Operation not permitted", 126, 'exec: "/etc": permission denied'),
        ("sh", "cannot join the cgroup", 126, "cannot join the cgroup"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_from_what_may_not_run(program, reason, code, text):
    refusal = refusal_of(reason, [program])
    assert (refusal.code, refusal.text) == (code, COMMON + text)


def test_a_log_without_a_word_refuses_nothing(tmp_path):
    log = tmp_path / "log"
    assert read_refusal(log, ["sh"]) is None
    log.write_text("\n")
    assert read_refusal(log, ["sh"]) is None
    log.write_text("2026-11-24T22:51:24.084899Z: executable file `nope` not found in $PATH\n")
    assert read_refusal(log, ["nope"]).code == 127


async def test_on_a_terminal_the_line_ends_as_there():
    refused = Refused(refusal_of("not found", ["nope"]))
    assert [data[-2:] async for _, data in refused.output()] == [b"\r\n"] and await refused.wait() == 127
