"""The test suite. `checking` is imported here because the run-time checker is looked up by its dotted name."""

from tests import checking as checking
