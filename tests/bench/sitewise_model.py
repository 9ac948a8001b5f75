"""SiteWise payloads held against AWS's own model: `python -m tests.bench.sitewise_model`.

botocore goes into an environment of its own below `var/signers`, made at first use.  Its validator checks the entries
of everything that a plant produces, with values of every OPC UA type, as BatchPutAssetPropertyValue.  Exit code 1 when
it refuses any.
"""

import subprocess
import sys
import venv
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from gateway.model import Batch
from gateway.payload.choose import encoder_for
from tests.support.payloads import Counting, batch_of, batches, config_of, tags_of

ROOT = Path(__file__).parents[2]
_SCRIPT = """
import json, sys
import botocore.session
from botocore.validate import ParamValidator
model = botocore.session.get_session().get_service_model("iotsitewise")
shape = model.operation_model("BatchPutAssetPropertyValue").input_shape
wrong = count = 0
for line in sys.stdin:
    body = {"entries": json.loads(line)["entries"]}
    report = ParamValidator().validate(body, shape)
    count += 1
    if report.has_errors():
        wrong += 1
        print(report.generate_report(), line[:500])
print(count, "payloads,", wrong, "refused")
sys.exit(bool(wrong))
"""


def payloads(examples: int) -> list[bytes]:
    """What plants with any values produce, and one with many values of many tags."""
    made = list[bytes]()

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(batches())
    def produce(batch: Batch) -> None:
        encoder = encoder_for(config_of({"format": "sitewise"}), "line-1", "e.1")
        made.extend(message.payload for message in encoder.encode(batch, Counting().next_seq))

    produce()
    batch = batch_of([(11, float(n)) for n in range(300)], tags=tags_of(40), handles=[n % 40 for n in range(300)])
    encoder = encoder_for(config_of({"format": "sitewise"}), "line-1", "e.1")
    return [*made, *(message.payload for message in encoder.encode(batch, Counting().next_seq))]


def main() -> int:
    folder = ROOT / "var" / "signers" / "botocore"
    program = folder / "bin" / "python"
    if not program.exists():
        venv.create(folder, with_pip=True)
        install = [str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "botocore"]
        if subprocess.run(install, check=False).returncode:
            print("botocore cannot be installed here")
            return 0
    told = b"\n".join(payloads(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
    return subprocess.run([str(program), "-c", _SCRIPT], input=told, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
