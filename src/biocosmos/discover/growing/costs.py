"""What naming pictures costs a person, in seconds. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.settings import check, setting

# Operators of the keystroke-level model: Card, Moran and Newell, "The keystroke-level model for user performance time with
# interactive systems", Communications of the ACM 23(7), 1980: a key by an average typist, pointing with a mouse, a press and
# release of its button, a hand from mouse to keyboard, a decision.
KEY, POINT, BUTTON, HAND, DECIDE = 0.28, 1.10, 0.20, 0.40, 1.35
# One fixation of a scene lasts 260 to 330 ms: Rayner, "Eye movements and attention in reading, scene perception, and visual
# search", Quarterly Journal of Experimental Psychology 62(8), 2009, table 1.
FIXATION = 0.30
TYPED_LETTERS, SHORT_CODE, SUGGESTIONS = 8, 3, 9


@dataclass(frozen=True)
class Costs:
    """Seconds of each thing a person does. Defaults are sums of published operators, not of measurements with our page."""

    look: float = setting(FIXATION, "To look at one picture of a page: one fixation.", low=0)
    turn: float = setting(DECIDE + KEY, "To go to the next page, and to decide that one is done: a decision and a key.", low=0)
    click: float = setting(POINT + BUTTON, "To click one picture: to point at it and press.", low=0)
    invert: float = setting(KEY, "To tick what belongs instead of what does not: a key.", low=0)
    new_name: float = setting(
        DECIDE + HAND + (TYPED_LETTERS + 1) * KEY + HAND,
        "To type a taxon for the first time: a decision, hands to the keyboard and back, eight letters and return.",
        low=0,
    )
    known_name: float = setting(
        DECIDE + POINT + BUTTON, "To choose a taxon that was used before from a list: a decision, pointing, a press.", low=0
    )
    alone: float = setting(
        FIXATION + DECIDE + (SHORT_CODE + 1) * KEY,
        "To label one picture alone: a fixation, a decision, three letters of a code and return; hands stay on the keyboard.",
        low=0,
    )

    suggested: float = setting(
        FIXATION + DECIDE + KEY,
        "To label one picture alone by one of nine suggested taxa: a fixation, a decision, its key.",
        low=0,
    )
    typed: float = setting((SHORT_CODE + 1) * KEY, "Beside that, where it is none of them: three letters and return.", low=0)

    def __post_init__(self) -> None:
        check(self)

    def page(self, pictures: int, strangers: int) -> float:
        """Seconds for a page of so many pictures, so many of which do not belong: whatever is fewer is clicked."""
        belong = pictures - strangers
        fewer = min(strangers, belong + self.invert / self.click) if self.click else 0.0
        return self.turn + pictures * self.look + fewer * self.click
