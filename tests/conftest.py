"""What every test shares: no example has a time limit, because a busy machine is no failure.

With CI=true a test skipped for a missing tool is a failure, and examples are the same in every run.
"""

import os
import sys
from collections.abc import Generator

import hypothesis
import pytest

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the many processes of the tests would compile the project again each
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices this small cost four times the CPU with threads

CI = os.environ.get("CI") == "true"

hypothesis.settings.register_profile(
    "project", deadline=None, derandomize=CI, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("project")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and CI and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
