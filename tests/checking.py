"""Array shapes and types, checked at every call while the tests run."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""As type checkers see it, a whole number is also a float."""
