"""The words of the story world, by class.

A *fact* of a story has one value from its first mention to its last: who it is about, what the thing is, its color,
the place. Facts take their values from the classes in NAMES, THINGS and PLACES. A *free* word (FREE) is chosen anew
wherever it stands: it says how, never what.

Every word that can follow "a" begins with a consonant sound, so that no template has to think about "an". A name has
one sex for ever, so that a pronoun follows from a name. The classes are small on purpose: a model of a million
parameters should meet every word some hundred times in a few million tokens.
"""

from __future__ import annotations

# who: class → name → sex ("f" or "m")
NAMES: dict[str, dict[str, str]] = {
    "child": dict.fromkeys("Lily Mia Anna Emma Sara Lucy Nora Rosa Ella Zoe Amy Ivy Clara Molly".split(), "f")
    | dict.fromkeys("Tom Ben Max Sam Leo Jack Finn Noah Tim Luke Adam Oscar Hugo Peter".split(), "m"),
    "animal": dict.fromkeys("Daisy Poppy Hazel Willow Penny Tilly Pearl Dora".split(), "f")
    | dict.fromkeys("Benny Rusty Toby Barney Bruno Milo Otto Freddy".split(), "m"),
    "pet": dict.fromkeys("Luna Coco Misty Bella".split(), "f") | dict.fromkeys("Rex Buddy Rocky Biscuit".split(), "m"),
    "family": dict.fromkeys("Mom Grandma".split(), "f") | dict.fromkeys("Dad Grandpa".split(), "m"),
}

# what they are: class → kind → sex, where the kind says it
KINDS: dict[str, dict[str, str | None]] = {
    "child": {"girl": "f", "boy": "m"},
    "animal": dict.fromkeys("rabbit bear fox mouse squirrel hedgehog duck frog badger beaver".split()),
    "pet": dict.fromkeys("dog cat puppy kitten".split()),
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
    "toy": tuple("ball doll truck train robot boat drum car plane puppet".split()),
    "wear": tuple("hat scarf cap coat sweater jacket shawl".split()),
    "treasure": tuple("key ring button coin shell feather marble bell".split()),
    "gift": tuple("necklace bracelet basket cushion scarf mug picture".split()),
    "treat": tuple("cookie muffin pear peach bun banana sandwich".split()),
    "dish": tuple("cake pie pudding pizza".split()),
    "plant": tuple("sunflower tulip rose pumpkin tomato melon".split()),
    "fruit": tuple("berries nuts cherries plums".split()),
    "instrument": tuple("flute drum guitar piano violin trumpet".split()),
    "baby": tuple("puppy kitten duckling lamb chick".split()),
    "bird": tuple("robin sparrow bluebird finch".split()),
    "color": tuple("red blue green yellow pink purple white brown".split()),
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
