"""The words of the story world, by class.

A *fact* of a story has one value from its first mention to its last: who it is about, what the thing is, its color,
the place. Facts take their values from the classes in NAMES, THINGS and PLACES. A *free* word (FREE) is chosen anew
wherever it stands: it says how, never what.

Every word that can follow "a" begins with a consonant sound, so that no template has to think about "an". A name has
one sex for ever, so that a pronoun follows from a name. The heroes of stories and their friends have names of their own
(child and friend, animal and neighbor), as in a series of books: who a name is follows from the name, and no two of a
story can be called the same. The classes of names and things are small on purpose: a model of a million parameters has
to learn to copy each of their words, and does so after some thousand sights of it.
"""

from __future__ import annotations


def _list(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# who: class → name → sex ("f" or "m")
NAMES: dict[str, dict[str, str]] = {
    "child": dict.fromkeys(_list("Lily Mia Anna Emma"), "f") | dict.fromkeys(_list("Tom Ben Max Sam"), "m"),
    "friend": dict.fromkeys(_list("Sara Lucy Rosa Zoe"), "f") | dict.fromkeys(_list("Leo Jack Finn Peter"), "m"),
    "animal": dict.fromkeys(_list("Daisy Poppy Hazel"), "f") | dict.fromkeys(_list("Rusty Toby Barney"), "m"),
    "neighbor": dict.fromkeys(_list("Willow Penny Tilly"), "f") | dict.fromkeys(_list("Bruno Milo Otto"), "m"),
    "pet": dict.fromkeys(_list("Luna Coco Misty"), "f") | dict.fromkeys(_list("Rex Buddy Rocky"), "m"),
    "family": dict.fromkeys(_list("Mom Grandma"), "f") | dict.fromkeys(_list("Dad Grandpa"), "m"),
}

# what they are: class → kind → sex, where the kind says it
KINDS: dict[str, dict[str, str | None]] = {
    "child": {"girl": "f", "boy": "m"},
    "friend": {"girl": "f", "boy": "m"},
    "animal": dict.fromkeys(_list("rabbit fox mouse squirrel hedgehog")),
    "neighbor": dict.fromkeys(_list("bear duck frog badger beaver")),
    "pet": dict.fromkeys(_list("dog cat puppy kitten")),
}

PRONOUNS: dict[str, dict[str, str]] = {
    "he": {"f": "she", "m": "he"},
    "him": {"f": "her", "m": "him"},
    "his": {"f": "her", "m": "his"},
    "himself": {"f": "herself", "m": "himself"},
    "He": {"f": "She", "m": "He"},
    "His": {"f": "Her", "m": "His"},
}

# what: class → values
THINGS: dict[str, tuple[str, ...]] = {
    "toy": _list("ball doll truck train robot boat drum plane"),
    "wear": _list("hat scarf cap coat sweater jacket"),
    "treasure": _list("key ring button coin shell bell"),
    "gift": _list("necklace bracelet basket cushion scarf mug picture"),
    "treat": _list("cookie muffin pear peach bun banana sandwich"),
    "dish": _list("cake pie pudding pizza"),
    "plant": _list("sunflower tulip rose pumpkin tomato melon"),
    "fruit": _list("berries nuts cherries plums"),
    "instrument": _list("flute drum guitar piano violin trumpet"),
    "baby": _list("puppy kitten duckling lamb chick"),
    "bird": _list("robin sparrow bluebird finch"),
    "color": _list("red blue green yellow pink white"),
    "skill": ("swim", "skate", "whistle", "juggle", "dance", "ride a bike", "climb", "jump rope"),
    "job": ("water the plants", "feed the hens", "sweep the floor", "wash the dishes", "clean the windows", "rake the leaves"),
    "inside": ("under the bed", "behind the sofa", "in the closet", "under the table", "behind the door", "in a drawer"),
    "outside": ("under a bush", "behind a tree", "in the tall grass", "next to a rock", "under a bench", "in a pile of leaves"),
    "book": ("a dragon", "a pirate", "a princess", "a whale", "a brave knight", "a tiny mouse"),
}

# where: class → place → the same place with its preposition
PLACES: dict[str, dict[str, str]] = {
    "outdoors": {
        "the park": "in the park",
        "the garden": "in the garden",
        "the forest": "in the forest",
        "the meadow": "in the meadow",
        "the beach": "on the beach",
        "the lake": "by the lake",
        "the river": "by the river",
        "the hill": "on the hill",
        "the farm": "on the farm",
        "the playground": "at the playground",
    },
    "water": {"the lake": "on the lake", "the river": "on the river", "the pond": "on the pond", "the sea": "on the sea"},
    "room": {
        "the attic": "in the attic",
        "the cellar": "in the cellar",
        "the barn": "in the barn",
        "the garage": "in the garage",
        "the hall": "in the hall",
    },
}

# how: chosen anew each time
FREE: dict[str, tuple[str, ...]] = {
    "sad": ("sad", "upset", "unhappy"),
    "happy": ("happy", "glad"),
    "scared": ("scared", "afraid", "frightened"),
    "angry": ("angry", "cross", "mad"),
    "sunny": ("sunny", "warm", "bright", "fine"),
    "good": ("good", "nice", "sweet", "wonderful"),
    "lovely": ("lovely", "wonderful", "beautiful", "special"),
    "day": ("day", "morning", "afternoon"),
    "said": ("said", "cried", "called"),
}
