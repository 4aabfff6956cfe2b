"""What the folders of a data set mean: which are splits, which name the classes, and which one the user meant."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from certero.data.folder_words import CONDITION_WORDS, SPLIT_OF_WORD, WORDS_BESIDE
from certero.errors import DataError
from certero.names import class_name, find_class, look, without_accents
from certero.sentences import Sentence, first_names, in_a_row, message, sentence

LabelLevel = int | Literal["leaf"]
Folders = tuple[str, ...]

_SHOWN = 6


def split_named(name: str) -> str | None:
    """The split that a folder's name or a table's cell stands for, in English or Spanish; None if it is no split.

    >>> [split_named(name) for name in ("Training", "seg_test", "valid-images", "validación", "dev", "testtube")]
    ['train', 'test', 'val', 'val', 'val', None]
    """
    words = _letters(name)
    joined = "".join(words)
    if joined in SPLIT_OF_WORD:  # hold-out, train val
        return SPLIT_OF_WORD[joined]
    telling = [word for word in words if word not in WORDS_BESIDE and len(word) > 1]
    return SPLIT_OF_WORD.get(telling[0]) if len(telling) == 1 else None


@dataclass(frozen=True)
class Layout:
    """How a photo's folders tell its split and its class.

    Args:
        splits: whether there are given splits; a photo outside their folders then has neither split nor class.
        read: the folders of a photo below the root -> (split, class), each None if there is none.
        notes: what users should know about it.
    """

    splits: bool
    read: Callable[[Folders], tuple[str | None, str | None]]
    notes: tuple[Sentence, ...] = ()


def read_layout(
    photos: Iterable[Folders], opened: Collection[str], label_level: LabelLevel | None, classes: Sequence[str] = ()
) -> Layout:
    """Which folders are splits and which are classes.

    Args:
        photos: for each photo, its folders below the root.
        opened: names of the folders directly below the root, those without photos included.
        label_level: which folder names the class, counted below the split's; None if the user did not say.
        classes: classes of the model that the photos are for, if there is one; they show which folders are meant.

    Raises:
        DataError: folders that look like splits and hold different classes; folders that repeat each other, where the
            user has to say which of them are the classes.
    """
    tree = _Tree(set(photos))
    level: LabelLevel = 1 if label_level is None else label_level
    words = _find_splits(sorted(opened))
    if len(set(words.values())) > 1 and _hold_classes(tree, words, level):
        tops = {name: tree.below(name, words[name]) for name in words}
        return Layout(True, lambda folders: _below_split(folders, words, tops, level), _say_words(words))
    if label_level in (None, 1) and _split_inside(tree):
        return Layout(True, _class_above_split)
    notes: tuple[Sentence, ...] = ()
    if label_level is None:
        level, notes = _level_of_repeated(tree, words, classes)
    return Layout(False, lambda folders: (None, _label(folders, level)), notes)


def where_classes_are(paths: Sequence[str]) -> tuple[str, list[str]] | None:
    """The folder, relative and POSIX, below which the photos' folders differ, and those folders; None if they never do.

    Args:
        paths: of the photos, relative and POSIX.

    >>> where_classes_are(["photos/red/1.jpg", "photos/blue/2.jpg"])
    ('photos', ['blue', 'red'])
    """
    folders = [path.split("/")[:-1] for path in paths]
    depth = 0
    while True:
        names = {parts[depth] if len(parts) > depth else "" for parts in folders}
        if len(names) != 1 or "" in names:
            break
        depth += 1
    inside = sorted(names - {""})
    return ("/".join(folders[0][:depth]), inside) if folders and depth and len(inside) > 1 else None


def some(names: Collection[str]) -> str:
    """The names for a message, shortened if there are many."""
    return first_names(sorted(names), _SHOWN)


def _find_splits(names: Sequence[str]) -> dict[str, str]:
    """Which folders name splits: each by itself, or two of a set: asl_alphabet_train and asl_alphabet_test."""
    found = {name: split for name in names if (split := split_named(name))}
    sets: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        words = [word for word in _letters(name) if word not in WORDS_BESIDE]
        splits = [SPLIT_OF_WORD[word] for word in words if word in SPLIT_OF_WORD]
        if name not in found and len(splits) == 1:
            sets[tuple(word for word in words if word not in SPLIT_OF_WORD)][name] = splits[0]
    for of_one in sets.values():
        if len(set(of_one.values())) > 1:
            found |= of_one
    return found


class _Tree:
    """The folders that hold photos.

    Args:
        folders: for each photo, its folders.
    """

    def __init__(self, folders: set[Folders]) -> None:
        self._by_top: dict[str, set[Folders]] = defaultdict(set)
        for parts in folders:
            if parts:
                self._by_top[parts[0]].add(parts[1:])

    @property
    def tops(self) -> list[str]:
        """Folders directly below the root that hold photos somewhere."""
        return sorted(self._by_top)

    def below(self, top: str, split: str) -> int:
        """How many folders to go down for the classes of a split: 2 if it holds just `seg_train` or `images`."""
        inside = self._by_top.get(top, set())
        depth = 1
        while inside and all(len(parts) > 1 for parts in inside):
            (first, *more) = {parts[0] for parts in inside}
            if more or (split_named(first) != split and first != top and not WORDS_BESIDE.issuperset(_letters(first))):
                break
            inside = {parts[1:] for parts in inside}
            depth += 1
        return depth

    def labels(self, top: str, depth: int, level: LabelLevel) -> set[str]:
        """Names of the classes below a folder."""
        return {label for parts in self._by_top.get(top, set()) if (label := _label((top, *parts)[depth:], level))}

    def loose(self, top: str) -> bool:
        """Whether there are photos directly in the folder."""
        return () in self._by_top.get(top, set())


def _hold_classes(tree: _Tree, words: Mapping[str, str], level: LabelLevel) -> bool:
    """Whether folders with names of splits are splits; False if they are more likely classes with such names.

    Raises:
        DataError: each holds other classes, or none holds any.
    """
    labels = {name: tree.labels(name, tree.below(name, split), level) for name, split in words.items()}
    holding = [name for name, found in labels.items() if found]
    if not holding:
        others = [name for name in tree.tops if name not in words]
        if others or not any(tree.loose(name) for name in words):
            return False
        raise DataError(
            "splits must hold one folder a class (DATA/train/CLASS/photo.jpg); the folders "
            "%(folders)s hold photos and no class folders. Move the photos into folders named after "
            "their class, list them in a table with the columns path, label and split, or rename "
            "%(folders)s if they are the classes.",
            folders=some(words),
        )
    by_split: dict[str, set[str]] = defaultdict(set)
    for name in holding:
        by_split[words[name]] |= {look(label) for label in labels[name]}
    sets = list(by_split.values())
    if len(sets) > 1 and not any(a & b for i, a in enumerate(sets) for b in sets[:i]):
        told = in_a_row((in_a_row([name, some(labels[name])], ": ") for name in holding), "; ")
        raise DataError(
            "splits must hold the same class folders; the folders %(folders)s look like splits and "
            "share none (%(told)s). Give the folders of a class one name in each, or rename "
            "%(folders)s if they are the classes.",
            folders=some(words),
            told=told,
        )
    return True


def _say_words(words: Mapping[str, str]) -> tuple[Sentence, ...]:
    """A note on the splits, unless the folders have the usual names."""
    if all(name.lower() in ("train", "val", "valid", "validation", "test") for name in words):
        return ()
    return (
        sentence(
            "the folders %(folders)s are taken as the splits %(splits)s",
            folders=", ".join(words),
            splits=", ".join(words.values()),
        ),
    )


def _below_split(
    folders: Folders, words: Mapping[str, str], depths: Mapping[str, int], level: LabelLevel
) -> tuple[str | None, str | None]:
    split = words.get(folders[0]) if folders else None
    return (None, None) if split is None else (split, _label(folders[depths[folders[0]] :], level))


def _split_inside(tree: _Tree) -> bool:
    """Whether the class folders hold the splits, not the other way round; a class without splits joins train.

    Raises:
        DataError: they are folds, each with splits of its own.
    """
    inside = {top: tree.labels(top, 0, 2) for top in tree.tops}
    words = {top: {split_named(name) for name in names} for top, names in inside.items() if names}
    if len(words) < 2 or any(None in found for found in words.values()) or len(set().union(*words.values())) < 2:
        return False
    if _are_conditions(list(words)) and any(tree.labels(top, 0, 3) for top in words):
        own = some(set().union(*inside.values()))
        raise DataError(
            "DATA must be divided once; %(folders)s each hold splits of their own (%(own)s). Point to one of them.",
            folders=some(words),
            own=own,
        )
    return True


def _class_above_split(folders: Folders) -> tuple[str | None, str | None]:
    if not folders:
        return None, None
    return (split_named(folders[1]) if len(folders) > 1 else None), class_name(folders[0])


def _level_of_repeated(
    tree: _Tree, words: Mapping[str, str], classes: Sequence[str]
) -> tuple[LabelLevel, tuple[Sentence, ...]]:
    """Which folders name the classes if each top folder may hold the same ones, and what to note about it.

    Raises:
        DataError: the second ones probably do.
    """
    tops = tree.tops
    below = {top: _alike(tree.labels(top, 0, 2)) for top in tops}
    repeating = [top for top in tops if any(below[top] & below[other] for other in tops if other != top)]
    if len(repeating) < 2:
        return 1, ()
    level, names = _parting(tree, repeating)
    if classes:
        known = [sum(find_class(name, classes) is not None for name in each) for each in (tops, names)]
        return (level if known[1] > known[0] else 1), ()
    named = [top for top in repeating if top in words]
    first = any(map(_is_condition_folder, repeating)) or _are_conditions(repeating)
    second = any(map(_is_condition_folder, names)) or _are_conditions(names)
    if named or (first and not second):
        splits = (
            message("say --label-level 1, or rename the folders train and test if they are splits")
            if named
            else message("say --label-level 1")
        )
        raise DataError(
            "it must be clear which folders name the classes; %(folders)s each hold the same folders "
            "(%(names)s). If those are the classes, say --label-level %(level)s; if %(folders)s are, "
            "%(otherwise)s.",
            folders=some(repeating),
            names=some(names),
            level=level,
            otherwise=splits,
        )
    if second and not first:
        return 1, ()
    told = sentence(
        "%(first)s hold the same folders (%(second)s); if those are the classes, say --label-level %(level)d",
        first=some(repeating),
        second=some(names),
        level=level,
    )
    return 1, (told,)


def _parting(tree: _Tree, tops: Sequence[str]) -> tuple[int, set[str]]:
    """The first level below the top on which folders have several names, and these; else the second level."""
    level = 2
    while names := set().union(*(tree.labels(top, 0, level) for top in tops)):
        if len(names) > 1:
            return level, names
        level += 1
    return 2, set().union(*(tree.labels(top, 0, 2) for top in tops))


def _alike(names: Iterable[str]) -> set[str]:
    return {look(name) for name in names}


def _are_conditions(names: Collection[str]) -> bool:
    """Whether folders are named after times, places, cameras or numbers: bed1 and bed2, monday and tuesday."""
    letters = {tuple(_letters(name)) for name in names}
    numbered = all(re.search(r"\d", name) for name in names)
    return (numbered and len(letters) == 1) or all(map(_is_condition_folder, names))


def _is_condition_folder(name: str) -> bool:
    words = _letters(name)
    return any(map(_is_condition, words)) and all(
        _is_condition(word) or word in WORDS_BESIDE or len(word) == 1 for word in words
    )


def _is_condition(word: str) -> bool:
    return word in CONDITION_WORDS or word.removesuffix("s") in CONDITION_WORDS


def _letters(name: str) -> list[str]:
    """The words of a name, in lower case and without accents; `trainSet` is two."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", without_accents(apart))


def _label(folders: Folders, level: LabelLevel) -> str | None:
    if level == "leaf":
        name = folders[-1] if folders else None
    else:
        name = folders[level - 1] if 1 <= level <= len(folders) else None
    return None if name is None else class_name(name)
