"""Settings for these tests."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a timing is a benchmark, never a test
settings.load_profile("untimed")
