"""A text that fits a pattern, for who fills in a form and only knows how it must look.

Reads what forms use of regular expressions: letters, classes, groups, alternatives, repetitions.
"""

import re
from dataclasses import dataclass

MOST_REPEATS = 40
"""Characters that a repetition without an end is made long with, where a text must have some length."""
_CLASSES = {"d": "7", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}


def example(pattern: str, *, shortest: int = 0) -> str | None:
    """A text of at least `shortest` characters in which the pattern occurs; None when none was found."""
    for repeats in range(MOST_REPEATS + 1):
        try:
            text = _Reader(pattern, repeats).alternatives()
        except IndexError:  # it ends in the middle of something
            return None
        if len(text) >= shortest:
            return text if re.search(pattern, text) else None
    return None


@dataclass
class _Reader:
    pattern: str
    repeats: int
    """How often a repetition is taken more than it must, as far as it may."""
    at: int = 0

    def alternatives(self) -> str:
        """Up to the end of a group or of the pattern: the first of the alternatives."""
        found = self._row()
        while self.at < len(self.pattern) and self.pattern[self.at] == "|":
            self.at += 1
            self._row()
        return found

    def _row(self) -> str:
        made = ""
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            part = self._atom()
            made += part * self._times()
        return made

    def _atom(self) -> str:
        sign = self._take()
        if sign == "(":
            if self.pattern.startswith("?", self.at):  # (?:…), (?i) and (?P<name>…)
                self.at = min(place + 1 for end in ":)>" if (place := self.pattern.find(end, self.at)) >= 0)
                if self.pattern[self.at - 1] == ")":
                    return ""
            inner = self.alternatives()
            self._take()
            return inner
        if sign == "[":
            return self._class()
        if sign == "\\":
            escaped = self._take()
            return "" if escaped in "bBAzZ" else _CLASSES.get(escaped, escaped)
        return {"^": "", "$": "", ".": "a"}.get(sign, sign)

    def _class(self) -> str:
        """The first sign of a class; of a negated one a sign that it does not name."""
        negated = self.pattern[self.at] == "^"
        self.at += negated
        begin = self.at
        while self.pattern[self.at] != "]" or self.at == begin:
            self.at += 2 if self.pattern[self.at] == "\\" else 1
        inner = self.pattern[begin : self.at]
        self.at += 1
        candidates = "aA7 -./:_" if negated else f"{inner[:1]}aA7 -"
        whole = f"[{'^' if negated else ''}{inner}]"
        if not negated and inner.startswith("\\"):
            candidates = _CLASSES.get(inner[1], inner[1]) + candidates
        return next(sign for sign in candidates if re.fullmatch(whole, sign))

    def _times(self) -> int:
        """How often the atom before is taken: as often as it must, and `repeats` more where it may."""
        sign = self.pattern[self.at : self.at + 1]
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(sign, (1, 1))
        if sign in ("*", "+", "?") and sign:
            self.at += 1
        elif counted := re.compile(r"\{(\d+)(,(\d*))?\}").match(self.pattern, self.at):
            least = int(counted[1])
            most = (int(counted[3]) if counted[3] else None) if counted[2] else least
            self.at = counted.end()
        if self.pattern.startswith("?", self.at):  # as few as possible
            self.at += 1
        return least + self.repeats if most is None else min(least + self.repeats, most)

    def _take(self) -> str:
        sign = self.pattern[self.at]
        self.at += 1
        return sign
