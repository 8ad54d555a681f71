"""The table of episodes against a plain list."""

import numpy as np

from diswm.data.ring import Ring, Stored


def test_it_holds_what_a_list_would_hold():
    rng, ring, plain, start = np.random.default_rng(0), Ring(), [], 0
    for number in range(2_000):
        new = Stored(number, start, int(rng.integers(1, 9)))
        start = new.stop
        ring.append(new)
        plain.append(new)
        for _ in range(rng.integers(3) if len(plain) > 100 else 0):  # about as many go as come
            old = plain.pop(0 if rng.random() < 0.9 else int(rng.integers(len(plain))))
            ring.remove(old)
        if number % 50 == 0:
            assert list(ring) == plain
            assert len(ring) == len(plain)
            assert np.stack([ring.ids, ring.starts, ring.lengths], 1).tolist() == [list(one) for one in plain]
    again = Ring([list(one) for one in plain])
    assert list(again) == plain
    assert [type(number) for number in next(iter(again))] == [int] * 3  # fit for JSON


def test_its_memory_follows_what_is_held_and_not_what_has_passed():
    ring = Ring()
    for number in range(5_000):
        ring.append(Stored(number, number, 1))
        if number >= 10:
            ring.remove(Stored(number - 10, number - 10, 1))
    assert len(ring._table) <= 128  # 10 are held, 64 free rows at least


def test_an_empty_one():
    assert (len(Ring()), list(Ring()), Ring().lengths.tolist()) == (0, [], [])
