"""The plots of the story world, by theme. A new plot is a new paragraph in one of these files."""

from __future__ import annotations

from linnet.data.worlds.plots import feasts, forest, friends, growing, lost, mishaps, neighbors, outdoors

PLOTS = tuple(module.PLOTS for module in (lost, mishaps, friends, feasts, growing, forest, neighbors, outdoors))
