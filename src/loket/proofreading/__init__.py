"""What can be wrong with a procedure beyond its shape, found before any case meets it. No I/O."""

from loket.proofreading.whole import proofread

__all__ = ["proofread"]
