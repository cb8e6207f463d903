"""Fixtures that several files here share."""

from support.hostile import stack as stack
