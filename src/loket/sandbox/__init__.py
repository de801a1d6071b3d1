"""The outside world in small: every system that a municipality talks to, as real servers on 127.0.0.1.

Shares no code with Loket, so that one mistake cannot pass on both sides.
"""
