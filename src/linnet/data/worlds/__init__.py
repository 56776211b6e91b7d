"""Worlds made by rule: text whose every sentence can be checked.

    stories.story(seed, index)      one story, the same on every machine
    stories.stories(seed, start)    the endless stream of them
    passkey.passkey(seed, i, n)     one of n words that hides a key and asks for it
    check.check(text)               which sentences are of the world, and is it one consistent story?

To be read in this order: lexicon → plots → shapes (the grammar) → stories (the writer) → check (the reader).
"""
