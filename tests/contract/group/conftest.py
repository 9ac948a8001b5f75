"""One cluster for all tests of this package; each has a group of its own."""

from collections.abc import Iterator

import pytest

from tests.support.nats_cluster import Cluster, nats_cluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with nats_cluster(tmp_path_factory.mktemp("nats")) as found:
        yield found
