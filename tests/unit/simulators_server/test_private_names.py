"""What the simulators take from asyncua by private names: each is named here, and what breaks when it goes.

A new release of asyncua may drop any of them without a word.  These tests name the place at once, where otherwise a
client would find out.
"""

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from functools import cache

import pytest
from asyncua import Server
from asyncua.server.address_space import AddressSpace
from asyncua.server.binary_server_asyncio import BinaryServer
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.server.subscription_service import SubscriptionService
from asyncua.server.uaprocessor import UaProcessor

import simulators.server

BREAKS: dict[type, dict[str, str]] = {
    Server: {
        "_application_uri": "certificates name our application; clients compare it with the endpoint",
        "_policies": "the listener would offer no security policy",
        "_setup_server_nodes": "the endpoints, and what ServerStatus shows, would stay empty",
    },
    BinaryServer: {
        "_policies": "new connections would get no security policy",
        "_make_protocol": "refused and stalled connections, and our own processor of requests",
        "_server": "stop() would not close the port that we bound",
        "_close_task_loop": "closed connections would never be cleaned up",
    },
    InternalServer: {
        "_external_sessions": "the limit of sessions, their count and the fault kill_sessions",
    },
    InternalSession: {
        "_timeout_task": "a session that times out would take its subscriptions with it (Part 4, 5.14.1.1)",
    },
    UaProcessor: {
        "_connection": "a subscription of an anonymous client could move to an unsigned channel (Part 4, 5.14.7)",
        "_process_message": "the faults slow_answers and error_answers",
        "_publish_requests": "requests of a dead connection would be answered",
        "_publish_results_subs": "a transferred subscription would be answered on its old connection",
    },
    InternalSubscription: {
        "_closing": "the publishing loop of a deleted subscription would never end",
        "_notification_seq": "faults numbers_fall_back",
        "_not_acknowledged_results": "Republish, acknowledgements, and the bound of what is kept for both",
        "_pop_publish_result": "PublishTime, MoreNotifications, and the bound of what is kept",
        "_pop_triggered_datachanges": "data changes would not be published at all",
        "_publish_cycles_count": "the lifetime would not begin anew after Republish and Transfer",
        "_publishing_enabled": "SetPublishingMode",
        "_subscription_loop": "publishing would drift from its interval",
        "_triggered_events": "the mark of an event queue that ran over",
        "_triggered_statuschanges": "StatusChangeNotification (faults kill_subscriptions)",
    },
    SubscriptionService: {
        "_clamp_keep_alive_count": "the revised keep-alive count",
        "_clamp_lifetime_count": "the revised lifetime count",
        "_sub_id_counter": "ids of subscriptions would repeat",
    },
    MonitoredItemService: {
        "_create_data_change_monitored_item": "data filters and index ranges would not be checked",
        "_monitored_item_counter": "the first value of an item with an index range would be whole",
        "_create_events_monitored_item": "event filters would not be checked",
        "_delete_monitored_items": "queues of deleted items would stay; items of removed nodes could not be deleted",
        "_is_data_changed": "DataChangeFilter triggers other than StatusValue",
        "_make_monitored_item_common": "items would have no queue of their own",
        "_modify_monitored_item": "ModifyMonitoredItems would not reach the queue",
        "_monitored_datachange": "writes would not find the items they concern",
        "_monitored_events": "events would not find the items they concern",
        "_monitored_items": "the same, for every service on items",
        "_revise_queue_size": "the revised queue size",
    },
    AddressSpace: {
        "_handle_to_attribute_map": "an item of a node that was taken away could not be deleted",
    },
}


def private_names(tree: ast.AST, *, assigned: bool = False) -> set[str]:
    """The private names that a piece of source defines or uses (`assigned`: defines or assigns)."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and (not assigned or isinstance(node.ctx, ast.Store)):
            found.add(node.attr)
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


@cache
def source_of(kind: type) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(kind)))


@cache
def names_of(kind: type) -> set[str]:
    """The private names that a class of asyncua has, its own bases included."""
    own = [base for base in kind.__mro__ if base.__module__.startswith("asyncua")]
    return set().union(*(private_names(source_of(base), assigned=True) for base in own))


def our_classes() -> Iterator[type]:
    for module in pkgutil.walk_packages(simulators.server.__path__, "simulators.server."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name:
                yield kind


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in BREAKS.items() for name in names])
def test_asyncua_still_has_the_private_names_in_use(kind: type, name: str) -> None:
    assert name in names_of(kind), f"{kind.__name__}.{name} is gone: {BREAKS[kind][name]}"


@pytest.mark.parametrize("kind", list(our_classes()), ids=lambda kind: kind.__name__)
def test_only_listed_private_names_are_used(kind: type) -> None:
    used = private_names(source_of(kind))
    bases = [base for base in kind.__mro__ if base.__module__.startswith("asyncua")]
    own = {name for base in kind.__mro__ if base.__module__.startswith("simulators") for name in vars(base)}
    taken = {name for base in bases for name in used & names_of(base)}
    listed = {name for base in bases for name in BREAKS.get(base, {})}
    assert taken <= listed, f"{kind.__name__} takes {sorted(taken - listed)}: say in BREAKS what breaks without it"
    known = {name for names in BREAKS.values() for name in names}
    others = {name for name in used & set().union(*(names_of(base) for base in BREAKS)) if name not in own}
    if bases:
        assert others <= known, f"{kind.__name__} takes {sorted(others - known)} of an object of asyncua"
