from __future__ import annotations

import random
from collections import Counter

from allegra_tls_kit.turns import CONNECTIONS_TO_ONE_HOST, NAMES_AT_ONCE, Turns


def test_no_host_has_more_than_four_at_a_time_and_each_endpoint_has_its_turn_once() -> None:
    chance = random.Random(4)
    hosts = [f"host{chance.randrange(30)}" for _ in range(1000)]
    turns = Turns((host, host > "host2") for host in hosts)
    out: list[tuple[int, str]] = []
    given: list[int] = []
    while turns or out:
        while len(out) < 50 and (turn := turns.next()) is not None:
            assert hosts[turn[0]] == turn[1]
            out.append(turn)
            given.append(turn[0])
        assert max(Counter(host for _, host in out).values()) <= CONNECTIONS_TO_ONE_HOST
        turns.done(out.pop(chance.randrange(len(out)))[1])
    assert sorted(given) == list(range(1000))
    for host in set(hosts):
        of_it = [number for number in given if hosts[number] == host]
        assert of_it == sorted(of_it)


def test_a_host_with_a_long_queue_keeps_nobody_waiting() -> None:
    turns = Turns([("big", True)] * 100 + [("small", True), ("name", False)])
    begun = [turn[1] for _ in range(6) if (turn := turns.next()) is not None]
    assert Counter(begun) == {"big": CONNECTIONS_TO_ONE_HOST, "small": 1, "name": 1}
    assert turns.next() is None
    turns.done("big")
    assert turns.next() == (CONNECTIONS_TO_ONE_HOST, "big")
    assert turns.next() is None


def test_names_are_begun_as_others_are_looked_up_and_addresses_do_not_wait_for_them() -> None:
    turns = Turns([(f"name{n}", False) for n in range(NAMES_AT_ONCE + 2) for _ in range(2)] + [("10.0.0.1", True)])
    begun = Counter(turn[1] for turn in iter(turns.next, None))
    assert begun["10.0.0.1"] == 1
    assert len(begun) == NAMES_AT_ONCE + 1
    assert turns
    turns.looked_up("name0")
    turns.looked_up("name0")
    turns.done("name1")
    assert [turn[1] for turn in iter(turns.next, None)] == [f"name{NAMES_AT_ONCE + n}" for n in range(2) for _ in range(2)]
    assert not turns
