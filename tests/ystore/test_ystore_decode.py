"""What the child makes of updates that come late, in any order, or never."""

from __future__ import annotations

import random

import pytest
from pycrdt import Doc, Text

from ystore import decode


def written(dice: random.Random, count: int) -> list[bytes]:
    """Updates of up to three people in one text, who hear of each other sooner or later."""
    docs = [Doc(client_id=n + 1) for n in range(dice.randint(1, 3))]
    heard = [0] * len(docs)
    made: list[bytes] = []
    for _ in range(count):
        who = dice.randrange(len(docs))
        doc, text = docs[who], docs[who].get("t", type=Text)
        while heard[who] < len(made) and dice.random() < 0.8:
            doc.apply_update(made[heard[who]])
            heard[who] += 1
        before = doc.get_state()
        size = len(text)
        if size and dice.random() < 0.4:
            at = dice.randrange(size)
            del text[at : min(size, at + dice.randint(1, 3))]
        else:
            text.insert(dice.randint(0, size), "abcdef"[: dice.randint(1, 4)])
        made.append(doc.get_update(before))
    return made


def shown(*updates: bytes) -> str:
    doc = Doc()
    for one in updates:
        doc.apply_update(one)
    return str(doc.get("t", type=Text))


@pytest.mark.parametrize("seed", range(60))
def test_what_is_squashed_on_the_way_is_the_document_once_all_is_there(seed: int) -> None:
    dice = random.Random(seed)
    made = written(dice, dice.randint(4, 60))
    order = dice.sample(made, len(made)) if seed % 3 == 0 else made
    late = [one for one in order if dice.random() < 0.2]
    come = [one for one in order if one not in late] + late
    kept: list[bytes] = []
    while come:
        size = dice.randint(1, 12)
        kept, come = [*kept, *come[:size]], come[size:]
        difference, content = decode.verify(kept)
        assert difference == "" or (come and "lacks" in difference)
        assert shown(content, *made) == shown(*made)
        if not difference:
            kept = [content]
    assert shown(*kept) == shown(*made)


def test_what_shows_less_in_one_update_is_refused_until_what_it_waits_for_is_there() -> None:
    """As Yjs does, yrs shows nothing of somebody past what cannot be placed yet; but it shows what it gets by itself."""
    doc = Doc(client_id=1)
    text, made = doc.get("t", type=Text), []
    for at, letter in ((0, "a"), (0, "b"), (1, "c"), (3, "d")):
        before = doc.get_state()
        text.insert(at, letter)
        made.append(doc.get_update(before))
    begin = decode.squash([made[0], made[2]])
    assert (shown(begin, made[3]), shown(decode.squash([begin, made[3]]))) == ("ad", "a")
    assert decode.verify([begin, made[3]])[0]
    difference, content = decode.verify([begin, made[3], made[1]])
    assert (difference, shown(content)) == ("", "bcad")
