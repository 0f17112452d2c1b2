"""Valid options of an engine version by chance, the same for the same seed."""

from __future__ import annotations

from random import Random
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.option import Option

TEXTS = ("auto", "two words", "quo'te", 'dou"ble', "$HOME", "50%", "größe", "a=b", "back\\slash", "tab\there", ";")


def option_set(version: VersionCatalog, random: Random, leave: frozenset[str], texts: tuple[str, ...] = TEXTS) -> dict:
    """One to twelve options with values. leave: canonical names in snake case that are not to be drawn."""
    free = [o for o in version.options if o.kind != "positional" and o.key not in leave and not o.deprecated]
    return {o.key: value(o, random, texts) for o in random.sample(free, random.randint(1, min(12, len(free))))}


def value(option: Option, random: Random, texts: tuple[str, ...] = TEXTS) -> Any:
    """A value that this option takes."""
    if option.kind == "flag":
        return True
    if option.kind == "switch":
        return random.random() < 0.5
    if option.kind == "list":
        count = int(option.nargs) if option.nargs.isdigit() else random.randint(1, 3)
        return [_word(option, random, texts) for _ in range(count)]
    return _word(option, random, texts)


def _word(option: Option, random: Random, texts: tuple[str, ...]) -> Any:
    if option.choices:
        return random.choice(option.choices)
    kind = random.choice(option.type.split("|"))
    if option.kind == "json" or kind == "json":
        return {"key": random.randint(0, 9)}
    return {
        "int": random.randint(1, 4096),
        "float": random.randint(1, 99) / 100,
        "bool": random.random() < 0.5,
        "human-int": random.choice(["1k", "2M", 4096]),
        "str": random.choice(texts),
    }[kind]
