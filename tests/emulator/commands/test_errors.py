"""The boundary around parsers of strangers' files."""

import pytest

from emulator.commands.errors import InputError, refusing


@pytest.mark.parametrize(
    "error", [OSError("no\nmore"), RuntimeError(""), KeyError("a"), RecursionError("deep"), Exception("odd. Very")]
)
def test_whatever_a_parser_raises_refuses_the_file(error: Exception) -> None:
    expected = r"^a\.h5: expected spectra, got a damaged or other one \([^\n]+\)$"
    with pytest.raises(InputError, match=expected), refusing("a.h5: expected spectra"):
        raise error


def test_a_message_is_one_line_whatever_it_quotes():
    breaks = ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029")
    assert str(InputError("columns a" + "b".join(breaks) + "c")).splitlines() == ["columns a b b b b b b b b c"]


def test_what_a_parser_says_is_cut_short():
    with pytest.raises(InputError) as raised, refusing("a.h5: expected spectra"):
        raise ValueError("x" * 10_000)
    assert str(raised.value) == f"a.h5: expected spectra, got a damaged or other one ({'x' * 200})"


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), SystemExit(3), InputError("said already")])
def test_what_is_not_of_the_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, refusing("a.h5: expected spectra"):
        raise error
    assert raised.value is error
