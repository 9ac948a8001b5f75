"""Renders the chart of the gateway, as `helm template` does, with Helm's own engine and without a cluster.

`python -m docker.helm.render` writes `docker/kubernetes/gateway.yaml` anew: the chart with
`values/existing.yaml`, for those who use kubectl alone.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

HERE = Path(__file__).parent
MANIFEST = HERE.parent / "kubernetes" / "gateway.yaml"
Values = dict[str, Any]
NATS = """\
apiVersion: v2
name: nats
version: 1.3.0
"""
"""Stands for the chart of NATS, which is fetched by `helm dependency build`."""
HEAD = """\
# The gateway on Kubernetes, with kubectl alone.  Made of the chart in docker/helm by `make generated`; the chart also
# has groups, NATS, configurations from the head office, and the Prometheus Operator: see docs/kubernetes.md.
#   kubectl create configmap gateway --from-file=gateway.yaml
#   kubectl create secret generic gateway --from-file=broker=broker-password --from-file=ca.crt
# The file names them: password: {file: /secrets/broker}, tls: {ca: /secrets/ca.crt}; http.host is 0.0.0.0, outbox.path
# and security.pki are below /var/lib/connected-factory.  A changed ConfigMap is taken as a reload; a changed secret is
# read at the next connect.  One replica: two would fight over the client id at the broker.  The image's tag: X.Y.Z.
"""


@contextmanager
def chart_folder() -> Iterator[Path]:
    """A copy of the chart that has all that it depends on, by name."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "gateway"
        shutil.copytree(HERE / "gateway", copy)
        stub = copy / "charts" / "nats"
        stub.mkdir(parents=True)
        (stub / "Chart.yaml").write_text(NATS, encoding="utf-8")
        yield copy


def rendered(values: Values, name: str = "edge", namespace: str = "plants") -> dict[str, str]:
    """The text of each template that gives one, by its file.  Raises `helm_python.HelmError` where a check fails."""
    from helm_python import Chart

    with chart_folder() as folder, Chart.load(folder) as chart:
        chart.validate_schema(values)
        told = chart.render(values, name=name, namespace=namespace)
        return {Path(path).name: text.strip() for path, text in told.items() if text.strip()}


def manifests(values: Values, name: str = "edge") -> list[Any]:
    """The manifests, without the notes."""
    texts = [text for path, text in sorted(rendered(values, name).items()) if path.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def values_of(name: str) -> Values:
    """One of the examples in `values`."""
    found: Values = yaml.safe_load((HERE / "values" / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def plain_manifest() -> str:
    """The manifest for kubectl: without what only Helm looks at."""
    told = rendered(values_of("existing"), "gateway")
    texts = [text for path, text in sorted(told.items()) if path.endswith(".yaml")]
    lines = "\n---\n".join(texts).splitlines()
    of_helm = re.compile(r"\s*(app\.kubernetes\.io/(managed-by|version)|helm\.sh/chart):")
    return HEAD + "\n".join(line for line in lines if not of_helm.match(line)) + "\n"


if __name__ == "__main__":
    MANIFEST.write_text(plain_manifest(), encoding="utf-8")
    sys.stdout.write(f"{MANIFEST} is written\n")
