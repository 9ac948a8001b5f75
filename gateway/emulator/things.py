"""What clouds keep of a device beside its messages: its twin (IoT Hub), its shadow and its jobs (AWS).  Pure.

`answers` is what the cloud says to a message of the device, `desire` and `assign` what it says by itself.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Said = tuple[str, Mapping[str, object]]
"""Topic and body of a message to the device."""
Document = dict[str, object]
_TWIN = "$iothub/twin"


@dataclass(slots=True)
class Thing:
    """One device."""

    desired: Document = field(default_factory=dict)
    reported: Document = field(default_factory=dict)
    versions: Document = field(default_factory=dict)
    """Of each desired property: the version in which it changed."""
    version: int = 1
    jobs: dict[str, Mapping[str, object]] = field(default_factory=dict)
    """By name: the documents of jobs that wait."""
    ended: dict[str, str] = field(default_factory=dict)
    """By name: the status of jobs that have one."""


@dataclass(slots=True)
class Things:
    """All devices of a cloud.  `is_aws`: it has shadows and jobs, otherwise twins."""

    is_aws: bool
    known: dict[str, Thing] = field(default_factory=dict)

    def of(self, device: str) -> Thing:
        return self.known.setdefault(device, Thing())

    def desire(self, device: str, patch: Mapping[str, object]) -> list[Said]:
        """Change what shall be."""
        thing = self.of(device)
        thing.version += 1
        _merge(thing.desired, patch)
        _merge(thing.versions, _stamped(patch, {"timestamp" if self.is_aws else "$lastUpdatedVersion": thing.version}))
        if self.is_aws:
            return self._delta(device)
        body = {**patch, "$version": thing.version}
        return [(f"{_TWIN}/PATCH/properties/desired/?$version={thing.version}", body)]

    def assign(self, device: str, job: str, document: Mapping[str, object]) -> list[Said]:
        """Give the device something to do."""
        self.of(device).jobs[job] = document
        return [self._next(device, f"$aws/things/{device}/jobs/notify-next")]

    def answers(self, device: str, topic: str, payload: bytes) -> list[Said]:
        """What the cloud says to this message; nothing, if it is none of these."""
        try:
            body = json.loads(payload or b"{}")
        except ValueError:
            return []
        if not isinstance(body, dict):
            return []
        return self._of_aws(device, topic, body) if self.is_aws else self._of_hub(device, topic, body)

    def _of_hub(self, device: str, topic: str, body: Document) -> list[Said]:
        thing, rid = self.of(device), topic.rpartition("/")[2]
        if topic.startswith(f"{_TWIN}/GET/"):
            desired: Document = {**thing.desired, "$version": thing.version, "$metadata": thing.versions}
            return [(f"{_TWIN}/res/200/{rid}", {"desired": desired, "reported": thing.reported})]
        if topic.startswith(f"{_TWIN}/PATCH/properties/reported/"):
            _merge(thing.reported, body)
            return [(f"{_TWIN}/res/204/{rid}&$version={thing.version}", {})]
        return []

    def _of_aws(self, device: str, topic: str, body: Document) -> list[Said]:
        thing, home = self.of(device), f"$aws/things/{device}"
        if topic == f"{home}/shadow/get":
            delta = self._difference(device)
            whole = {"desired": thing.desired, "reported": thing.reported, "delta": delta}
            return [(f"{topic}/accepted", {"state": whole, "metadata": {"desired": thing.versions}, "version": 1})]
        if topic == f"{home}/shadow/update":
            state = body.get("state")
            _merge(thing.reported, state.get("reported", {}) if isinstance(state, dict) else {})
            return [(f"{topic}/accepted", body), *self._delta(device)]
        if topic == f"{home}/jobs/$next/get":
            return [self._next(device, f"{topic}/accepted")]
        found = re.fullmatch(rf"{re.escape(home)}/jobs/([^/$]+)/update", topic)
        if found is not None and found[1] in thing.jobs:
            thing.ended[found[1]] = str(body.get("status"))
            del thing.jobs[found[1]]
            return [(f"{topic}/accepted", {}), self._next(device, f"{home}/jobs/notify-next")]
        return []

    def _next(self, device: str, topic: str) -> Said:
        jobs = self.of(device).jobs
        if not jobs:
            return topic, {"execution": {}}
        job, document = next(iter(jobs.items()))
        execution = {"jobId": job, "status": "QUEUED", "executionNumber": 1, "jobDocument": document}
        return topic, {"execution": execution}

    def _delta(self, device: str) -> list[Said]:
        thing, state = self.of(device), self._difference(device)
        if not state:
            return []
        body = {"version": thing.version, "state": state, "metadata": thing.versions}
        return [(f"$aws/things/{device}/shadow/update/delta", body)]

    def _difference(self, device: str) -> Document:
        thing = self.of(device)
        return _unlike(thing.desired, thing.reported)


def _merge(into: Document, patch: object) -> None:
    for key, value in patch.items() if isinstance(patch, dict) else ():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            below = into.get(key)
            made: Document = below if isinstance(below, dict) else {}
            into[key] = made
            _merge(made, value)
        else:
            into[key] = value


def _stamped(patch: Mapping[str, object], stamp: Mapping[str, object]) -> Document:
    return {key: _stamped(each, stamp) if isinstance(each, dict) else dict(stamp) for key, each in patch.items()}


def _unlike(desired: Mapping[str, object], reported: Mapping[str, object]) -> Document:
    found: Document = {}
    for key, value in desired.items():
        there = reported.get(key)
        if isinstance(value, dict):
            if below := _unlike(value, there if isinstance(there, dict) else {}):
                found[key] = below
        elif value != there:
            found[key] = value
    return found
