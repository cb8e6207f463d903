"""The CS3 contract, on what is here and on the real systems it stands for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from conformance.cs3.embedded import embedded
from conformance.cs3.suite import CASES, CS3Contract, System, Target, complaints


def test_every_difference_is_one_and_has_its_reason() -> None:
    assert complaints(list(CASES)) == []


class TestEmbeddedDecomposed(CS3Contract):
    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    async def target(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
        async with embedded(tmp_path_factory.mktemp("decomposed"), System.V2) as target:
            yield target
