"""How often Python searches for garbage while a run is open."""

import gc

from tinkery_core.garbage import ALLOCATIONS, rare_collections


def test_collections_are_rare_in_the_body_and_usual_after_it() -> None:
    usual = gc.get_threshold()
    with rare_collections():
        assert gc.get_threshold() == (ALLOCATIONS, *usual[1:])
    assert gc.get_threshold() == usual
