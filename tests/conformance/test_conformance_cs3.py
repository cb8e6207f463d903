"""The CS3 contract, kept by what is here and by the real systems it stands for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from conformance.cs3.embedded import embedded
from conformance.cs3.real import real
from conformance.cs3.suite import CASES, CS3Contract, System, Target, complaints
from support.reva import REVADS


def test_every_difference_is_one_and_has_its_reason() -> None:
    assert complaints(list(CASES)) == []


class TestEmbeddedDecomposed(CS3Contract):
    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    async def target(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
        async with embedded(tmp_path_factory.mktemp("decomposed"), System.V2) as target:
            yield target


class TestEmbeddedNoLocks(CS3Contract):
    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    async def target(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
        async with embedded(tmp_path_factory.mktemp("nolocks"), System.V3) as target:
            yield target


class Real(CS3Contract):
    kind: str
    system: System

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    async def target(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
        async with real(self.kind, tmp_path_factory.mktemp(self.kind), self.system) as target:
            yield target


@pytest.mark.reva
class TestRevaOlder(Real):
    kind, system = "v2", System.OLDER


@pytest.mark.reva
@pytest.mark.skipif("opencloud" not in REVADS, reason="not built, and CS3COLLAB_REVAD_OPENCLOUD names none")
class TestRevaV2(Real):
    kind, system = "opencloud", System.V2


@pytest.mark.reva
@pytest.mark.skipif("v3" not in REVADS, reason="not built, and CS3COLLAB_REVAD_V3 names none")
class TestRevaV3(Real):
    kind, system = "v3", System.V3
