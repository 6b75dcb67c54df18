"""Answers for short texts are remembered, for long ones not."""

from tiphys.api.remembered import TEXT_LENGTH_MAX, remember_short


def test_only_short_texts_leave_a_trace():
    asked = []

    @remember_short(8)
    def length(text, more=0):
        asked.append(text)
        return len(text) + more

    long = "x" * (TEXT_LENGTH_MAX + 1)
    assert [length("a"), length("a"), length(long), length(long)] == [1, 1, len(long), len(long)]
    assert asked == ["a", long, long]
