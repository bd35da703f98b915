"""Stamps: what is encoded is what is read back."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks import stamps


@given(sent=st.integers(min_value=0, max_value=10**15), age=st.integers(min_value=0, max_value=300_000_000))
def test_age_is_the_time_passed_since_the_stamp(sent: int, age: int) -> None:
    """Any moment, also one at which the six letters wrap, gives back its age to the microsecond."""
    assert stamps.age_us(stamps.encode(sent), sent + age) == age


def test_stamps_are_found_in_text_that_was_joined() -> None:
    """Tokens that a server coalesced into one delta still give one stamp each, with its mark."""
    text = b"The^" + stamps.encode(1) + b"~" + stamps.encode(2) + b" sun~" + stamps.encode(3)
    assert list(stamps.find(text)) == [(b"^", stamps.encode(1)), (b"~", stamps.encode(2)), (b"~", stamps.encode(3))]


def test_a_stamp_keeps_the_width_of_its_placeholder() -> None:
    """The framing is computed before the stamp is written, so both are equally long."""
    assert len(stamps.SENT_MARK + stamps.encode(stamps.now_us())) == len(stamps.UNSENT) == stamps.WIDTH
