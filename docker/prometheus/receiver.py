"""A receiver of Alertmanager that writes each alert to a file, a JSON object per line.

    receiver.py FILE [ADDRESS] [PORT]

The file is begun anew when it is larger than `MOST_BYTES`; the one before stays as FILE.1.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

MOST_BYTES = 10_000_000
MOST_BODY = 1_000_000


def write(body: bytes, file: Path) -> int:
    """Write the alerts of one notification; how many they are.  Raises `ValueError` for what is no notification."""
    said = json.loads(body)
    alerts = said.get("alerts") if isinstance(said, dict) else None
    if not isinstance(alerts, list):
        raise ValueError("no alerts in it")  # noqa: TRY004  # what a peer sends, not what a caller does
    if file.exists() and file.stat().st_size > MOST_BYTES:
        file.rename(file.with_name(f"{file.name}.1"))
    with file.open("a", encoding="utf-8") as lines:
        for alert in alerts:
            lines.write(json.dumps(alert, sort_keys=True) + "\n")
    return len(alerts)


def server(file: Path, address: str, port: int) -> HTTPServer:
    """A server that is bound, and serves when it is asked to."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            try:
                write(self.rfile.read(min(size, MOST_BODY)), file)
            except ValueError:
                self.send_error(400)
                return
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    return HTTPServer((address, port), Receiver)


if __name__ == "__main__":
    file, address, port = [*sys.argv[1:], *["0.0.0.0", "9095"][len(sys.argv) - 2 :]]
    server(Path(file), address, int(port)).serve_forever()
